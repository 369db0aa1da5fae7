import { endCall } from '../contract/agent.js'
import type { LeavingAction } from '../providers/codec.js'
import type { CallCeiling } from '../telemetry/refusals.js'

// Long enough for a goodbye; then the call is over, whether or not the provider agrees.
const GOODBYE_TIMEOUT_MS = 20_000

/** The end of a call that reached a ceiling: from then on a goodbye is all that is said. */
export class Dismissal {
  readonly limit: CallCeiling
  #goodbye: LeavingAction | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (limit: CallCeiling) {
    this.limit = limit
  }

  /** What is said, and ends the call. @param line looks for the words, which are the same each time */
  goodbye (line: () => string): LeavingAction {
    return (this.#goodbye ??= endCall({ say: line() }))
  }

  /** From the first goodbye on there is so much time for it. */
  begin (hangUp: () => void): void {
    this.#timer ??= setTimeout(hangUp, GOODBYE_TIMEOUT_MS)
  }

  /** The call is over. */
  end (): void {
    clearTimeout(this.#timer)
  }
}
