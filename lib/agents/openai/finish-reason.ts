/** How an answer ended: as the model wanted, at a limit, by a filter, or because something failed. */
export type Ending = 'complete' | 'cut-off' | 'filtered' | 'failed'

const REASONS: Readonly<Record<Ending, readonly string[]>> = {
  complete: [
    'stop', 'tool_calls', 'tool_call', 'tool_use', 'function_call', 'end_turn', 'stop_sequence', 'eos', 'eos_token', 'complete', 'completed'
  ],
  'cut-off': ['length', 'max_tokens', 'model_length', 'model_context_window_exceeded'],
  filtered: ['content_filter', 'safety', 'sensitive', 'recitation', 'prohibited_content', 'blocklist'],
  failed: ['error', 'abort', 'aborted', 'cancelled', 'network_error', 'insufficient_system_resource', 'timeout']
}

const ENDINGS = new Map(Object.entries(REASONS).flatMap(([ending, reasons]) => reasons.map(reason => [reason, ending as Ending] as const)))

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
