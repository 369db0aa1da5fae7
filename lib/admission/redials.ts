import type { Provider } from '../contract/agent.js'

/** Retell dials at most four times when a connection breaks. */
const MAX_PER_MINUTE = 20

const MINUTE_MS = 60_000

/**
 * Counts how often each live call was dialled again within the last minute. A redial takes the place of the older socket and
 * passes all ceilings on new calls, so that it needs one of its own.
 */
export class Redials {
  /** When each call was dialled again within the minute. The call that was dialled last stands last. */
  readonly #times = new Map<string, number[]>()

  /** Was the call dialled again as often as a call may be? */
  isExceeded (provider: Provider, callId: string): boolean {
    return this.#recent(`${provider} ${callId}`).length >= MAX_PER_MINUTE
  }

  /** Counts one redial, for a minute. */
  count (provider: Provider, callId: string): void {
    const key = `${provider} ${callId}`
    const times = [...this.#recent(key), performance.now()]
    this.#times.delete(key)
    this.#times.set(key, times)
    // One goes for each that comes.
    const [oldest] = this.#times.keys()
    if (this.#recent(oldest!).length === 0) this.#times.delete(oldest!)
  }

  #recent (key: string): number[] {
    const since = performance.now() - MINUTE_MS
    return (this.#times.get(key) ?? []).filter(time => time > since)
  }
}
