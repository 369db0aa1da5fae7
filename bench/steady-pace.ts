/**
 * Work that begins at a steady pace, however long what began before takes: as calls come in.
 */
import { setTimeout as delay } from 'node:timers/promises'

const TICK_MS = 5

/** Fails as soon as any of its work does. */
export class SteadyPace {
  readonly #timer: NodeJS.Timeout
  readonly #underWay = new Set<Promise<void>>()
  readonly #failed: Promise<never>

  constructor (perSecond: number, begin: () => Promise<void>) {
    let fail!: (error: unknown) => void
    this.#failed = new Promise((_resolve, reject) => { fail = reject })
    this.#failed.catch(() => {})
    const startedAt = performance.now()
    let begun = 0
    this.#timer = setInterval(() => {
      for (const due = (performance.now() - startedAt) / 1000 * perSecond; begun < due; begun++) {
        const work: Promise<void> = begin().catch(fail).finally(() => this.#underWay.delete(work))
        this.#underWay.add(work)
      }
    }, TICK_MS)
  }

  /** Waits while it goes on. */
  async wait (ms: number): Promise<void> {
    await Promise.race([delay(ms), this.#failed])
  }

  /** Begins nothing more; resolves when all has come to its end. */
  async stop (): Promise<void> {
    clearInterval(this.#timer)
    await Promise.race([Promise.all(this.#underWay), this.#failed])
  }
}
