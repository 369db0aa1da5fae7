import type { Provider } from '../contract/agent.js'

/** Far above Retell's own: it dials at most four times when a connection breaks. */
const MAX_PER_MINUTE = 20

const MINUTE_MS = 60_000

/**
 * Counts the redials of each live call within the last minute. A redial replaces the older socket and bypasses all limits on new
 * calls, so that it needs a limit of its own.
 */
export class Redials {
  /** Times of each call's redials within the minute. The call dialled last is last. */
  readonly #times = new Map<string, number[]>()

  /** True if the call has used up its redials. */
  isExceeded (provider: Provider, callId: string): boolean {
    return this.#recent(`${provider} ${callId}`).length >= MAX_PER_MINUTE
  }

  /** Counts one redial, for a minute. */
  count (provider: Provider, callId: string): void {
    const key = `${provider} ${callId}`
    const times = [...this.#recent(key), performance.now()]
    this.#times.delete(key)
    this.#times.set(key, times)
    // Each new entry evicts at most one old entry, so the map stays bounded.
    const [oldest] = this.#times.keys()
    if (this.#recent(oldest!).length === 0) this.#times.delete(oldest!)
  }

  #recent (key: string): number[] {
    const since = performance.now() - MINUTE_MS
    return (this.#times.get(key) ?? []).filter(time => time > since)
  }
}
