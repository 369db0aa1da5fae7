/** How an answer ended: as the model wanted, at a limit, by a filter, or because something failed. */
export type Ending = 'complete' | 'cut-off' | 'filtered' | 'failed'

const ENDINGS: ReadonlyMap<string, Ending> = new Map<string, Ending>([
  ...['stop', 'tool_calls', 'tool_call', 'tool_use', 'function_call', 'end_turn', 'stop_sequence', 'eos', 'eos_token', 'complete', 'completed']
    .map(reason => [reason, 'complete'] as const),
  ...['length', 'max_tokens', 'model_length', 'model_context_window_exceeded'].map(reason => [reason, 'cut-off'] as const),
  ...['content_filter', 'safety', 'sensitive', 'recitation', 'prohibited_content', 'blocklist'].map(reason => [reason, 'filtered'] as const),
  ...['error', 'abort', 'aborted', 'cancelled', 'network_error', 'insufficient_system_resource', 'timeout'].map(reason => [reason, 'failed'] as const)
])

/** The `finish_reason` of an answer. */
export class FinishReason {
  /** In lower case; `other` for a word that no known server uses, as it may be anything. */
  readonly name: string
  readonly ending: Ending

  /** @param reason as the server wrote it */
  constructor (reason: string) {
    const name = reason.toLowerCase()
    const ending = ENDINGS.get(name)
    this.name = ending === undefined ? 'other' : name
    this.ending = ending ?? 'failed'
  }
}

/** Undefined where the server has not given a reason: some write an empty one, or `null`, into every chunk. */
export function finishReasonOf (reason: unknown): FinishReason | undefined {
  return typeof reason === 'string' && reason !== '' && reason !== 'null' ? new FinishReason(reason) : undefined
}
