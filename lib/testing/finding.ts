/** All codes; docs/testing.md explains each. */
export const FINDING_CODES = [
  'after-completion', 'bare-action', 'before-start', 'binary-frame', 'broken-connection', 'closed', 'late-config', 'malformed',
  'metadata-on-phone-call', 'no-begin-message', 'no-keepalive', 'no-pong', 'no-response-type', 'not-json',
  'orphaned-tool-result', 'repeated-tool-call', 'repeated-tool-result', 'run-together-words', 'second-greeting', 'several-actions',
  'silent-reply', 'stale-response', 'tool-arguments',
  'unasked-response', 'unasked-stream', 'unknown-type', 'unreachable', 'wrong-timestamp'
] as const

/** One of {@link FINDING_CODES}. */
export type FindingCode = typeof FINDING_CODES[number]

/** A mistake of the server: the provider drops the frame or ends the call, or callers suffer. */
export interface Finding {
  readonly code: FindingCode
  /** The mistake and its consequence. */
  readonly message: string
  /** The frame, if the finding is about one. */
  readonly frame?: unknown
  /** Since the call began, in ms. */
  readonly atMs: number
}
