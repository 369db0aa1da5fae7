/**
 * Calls that come and go: where one ends the next one begins, so that about as many are live at any time.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { failureOf } from './crowd.js'

/** Fails as soon as one of its lives does. */
export class Population {
  readonly #stopping = new AbortController()
  readonly #lives: Promise<unknown>

  /**
   * @param live one life after the other, each to be brought to its end once the signal aborts
   * @param spreadMs the first ones begin spread over so long
   */
  constructor (count: number, spreadMs: number, live: (stopping: AbortSignal) => Promise<void>) {
    const { signal } = this.#stopping
    // Every life listens.
    setMaxListeners(0, signal)
    this.#lives = Promise.all(Array.from({ length: count }, async (_, i) => {
      await pause(spreadMs * i / count, signal)
      while (!signal.aborted) await live(signal)
    }))
    this.#lives.catch(() => {})
  }

  /** Waits while they live. */
  async wait (ms: number): Promise<void> {
    await Promise.race([delay(ms), failureOf(this.#lives)])
  }

  /** Lets no new life begin; resolves when all have come to their end. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    await this.#lives
  }
}

/** Waits for so long, or until the signal aborts. */
export async function pause (ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {})
}
