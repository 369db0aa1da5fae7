import type { Clock } from '../clock.js'

const KEEPALIVE_MS = 2_000

/** How long a keep-alive may stay unanswered before Retell reconnects. */
export const WATCHDOG_MS = 5_000

/** Retell's keep-alives on one connection, and the timer that reconnects when none is answered. */
export class Keepalive {
  readonly #clock: Clock
  readonly #send: (timestamp: number) => void
  readonly #missed: () => void
  #beatTimer: unknown
  #watchdog: unknown
  readonly #pings = new Set<number>()
  #lastPing = 0

  /** @param missed called when no keep-alive was answered in time */
  constructor (clock: Clock, send: (timestamp: number) => void, missed: () => void) {
    this.#clock = clock
    this.#send = send
    this.#missed = missed
  }

  start (): void {
    this.#clock.clearTimeout(this.#beatTimer as never)
    this.#beatTimer = this.#clock.setTimeout(() => {
      this.#ping()
      this.start()
    }, KEEPALIVE_MS)
  }

  /** Forgets all pending keep-alives. */
  stop (): void {
    for (const timer of [this.#beatTimer, this.#watchdog]) this.#clock.clearTimeout(timer as never)
    this.#watchdog = undefined
    this.#pings.clear()
  }

  /** A keep-alive was answered. @returns false if none was sent with this timestamp */
  answered (timestamp: number): boolean {
    this.#clock.clearTimeout(this.#watchdog as never)
    this.#watchdog = undefined
    return this.#pings.delete(timestamp)
  }

  #ping (): void {
    // Timestamps are unique, also when the clock stands still.
    const timestamp = this.#lastPing = Math.max(Date.now(), this.#lastPing + 1)
    this.#pings.add(timestamp)
    this.#send(timestamp)
    this.#watchdog ??= this.#clock.setTimeout(this.#missed, WATCHDOG_MS)
  }
}
