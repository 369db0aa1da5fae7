/** What there is to be found; docs/testing.md explains each. */
export const FINDING_CODES = [
  'after-completion', 'bare-action', 'before-start', 'binary-frame', 'broken-connection', 'closed', 'late-config', 'malformed',
  'metadata-on-phone-call', 'no-begin-message', 'no-keepalive', 'no-pong', 'no-response-type', 'not-json', 'orphaned-tool-result', 'repeated-tool-call',
  'repeated-tool-result', 'run-together-words', 'second-greeting', 'several-actions', 'silent-reply', 'stale-response', 'tool-arguments',
  'unasked-response', 'unasked-stream', 'unknown-type', 'unreachable', 'wrong-timestamp'
] as const

/** One of {@link FINDING_CODES}. */
export type FindingCode = typeof FINDING_CODES[number]

/** Something that the provider drops, that it ends the call for, or that its callers would suffer from. */
export interface Finding {
  /** What kind of thing it is. */
  readonly code: FindingCode
  /** What is wrong, and what becomes of it. */
  readonly message: string
  /** The frame, where it is about one. */
  readonly frame?: unknown
  /** Since the call began, in ms. */
  readonly atMs: number
}
