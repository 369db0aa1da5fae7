/**
 * Many callers at once: dialling, talking in rounds until told to stop, and reading the figures of a stretch of it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Caller, CallerOptions } from './callers/caller.js'
import type { Counts, Tally } from './callers/tally.js'
import type { Server } from './processes.js'

/** What happened between two probes of the server. */
export interface Stretch {
  readonly counts: Counts
  readonly seconds: number
  /** The server's own CPU time, user and system. */
  readonly cpuMs: number
  readonly loopDelayP99Ms: number
}

/** How many calls are set up at the same time; a provider's calls do not all begin in one instant. */
const DIAL_AT_ONCE = 50

let called = 0

/** Calls are numbered through, because a server may remember a call for a while after its socket closed. */
export function nextCall (): number {
  return called++
}

/** Callers of one kind, on one server. Fails as soon as one of them does. */
export class Crowd<C extends Caller> {
  readonly callers: C[] = []
  readonly #make: (options: CallerOptions) => C
  readonly #server: Server
  readonly #tokens: number
  readonly #tally: Tally
  #stopping = false
  /** Settles when all rounds are over. */
  #talk: Promise<unknown> = Promise.resolve()

  constructor (make: (options: CallerOptions) => C, server: Server, tokens: number, tally: Tally) {
    this.#make = make
    this.#server = server
    this.#tokens = tokens
    this.#tally = tally
  }

  /** Begins so many calls; resolves when all were greeted. */
  async dial (count: number): Promise<void> {
    for (let done = 0; done < count; done += DIAL_AT_ONCE) {
      const some = Array.from({ length: Math.min(DIAL_AT_ONCE, count - done) }, () => this.#dialOne())
      await Promise.all(some.map(caller => caller.begin()))
    }
  }

  /** Lets every caller go through `round` again and again. */
  talk (round: (caller: C, index: number) => Promise<void>): void {
    this.#stopping = false
    this.#talk = Promise.all(this.callers.map(async (caller, index) => {
      while (!this.#stopping) await round(caller, index)
    }))
    this.#talk.catch(() => {})
  }

  /** Resolves when every caller has ended its round. */
  async stop (): Promise<void> {
    this.#stopping = true
    await this.#orBroken(this.#talk)
  }

  /** Waits while the callers talk, or keep silent. */
  async wait (ms: number): Promise<void> {
    const ending = new AbortController()
    try {
      await this.#orBroken(Promise.race([delay(ms, undefined, { signal: ending.signal }), failureOf(this.#talk)]))
    } finally {
      ending.abort()
    }
  }

  /** Measures so many milliseconds of it. */
  async measure (ms: number): Promise<Stretch> {
    return await this.#orBroken(measured(this.#server, this.#tally, () => this.wait(ms)))
  }

  hangUp (): void {
    for (const caller of this.callers.splice(0)) caller.hangUp()
  }

  #dialOne (): C {
    const caller = this.#make({ url: this.#server.url, call: nextCall(), tokens: this.#tokens, tally: this.#tally })
    this.callers.push(caller)
    return caller
  }

  async #orBroken<T> (work: Promise<T>): Promise<T> {
    return await Promise.race([work, ...this.callers.map(caller => caller.broken)])
  }
}

/** Measures a stretch, which lasts as long as `wait` does. */
export async function measured (server: Server, tally: Tally, wait: () => Promise<void>): Promise<Stretch> {
  return await server.profiled(async () => {
    const before = await server.probe()
    tally.take()
    const startedAt = performance.now()
    await wait()
    const after = await server.probe()
    return {
      counts: tally.take(),
      seconds: (performance.now() - startedAt) / 1000,
      cpuMs: (after.cpuUs - before.cpuUs) / 1000,
      loopDelayP99Ms: after.loopDelayP99Ms
    }
  })
}

/** Rejects when the work does, and never resolves. */
export async function failureOf (work: Promise<unknown>): Promise<never> {
  await work
  return await new Promise<never>(() => {})
}
