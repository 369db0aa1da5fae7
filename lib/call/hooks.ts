import type { FastifyBaseLogger } from 'fastify'
import type { Call, Turn, TranscriptUpdate } from '../contract/agent.js'
import { logFailure } from '../telemetry/failure.js'
import type { CallSummary, TurnReport } from '../telemetry/report.js'

/** The app's own hooks. What they throw or reject with is logged and changes nothing for the caller. */
export interface CallHooks {
  /**
   * A call began. What the provider tells of it is known, unless the caller was faster. Turns wait for a returned
   * promise, for at most 2,000 ms: a look-up that is slower finishes beside them, be it after the call.
   */
  onCallStart? (call: Call): void | Promise<void>
  /**
   * A call goes on here that began on another node, whose `state` it has. Turns wait for it as for `onCallStart`, which
   * does not run again.
   */
  onCallResume? (call: Call): void | Promise<void>
  /** People are speaking. Without this hook the frames that say so are not even parsed. */
  onTranscript? (call: Call, update: TranscriptUpdate): void | Promise<void>
  /** A turn is over. */
  onTurnEnd? (turn: Turn, report: TurnReport): void | Promise<void>
  /** A call is over. Runs exactly once for each call that began: on the node where it ended, if that lives on. */
  onCallEnd? (call: Call, summary: CallSummary): void | Promise<void>
}

/** Runs the app's hooks, and remembers those, and other work of the app's, that go on. */
export class HookRunner {
  readonly #hooks: CallHooks
  readonly #running = new Set<Promise<void>>()

  constructor (hooks: CallHooks) {
    this.#hooks = hooks
  }

  has (name: keyof CallHooks): boolean {
    return this.#hooks[name] !== undefined
  }

  /** Runs a hook; the promise, if it returned one, never rejects. The name is for the log. */
  run (log: FastifyBaseLogger, name: string, hook: (hooks: CallHooks) => void | Promise<void>): void | Promise<void> {
    const failed = (error: unknown): void => logFailure(log, error, `${name} failed`)
    try {
      const returned = hook(this.#hooks)
      // Nobody checks what a function in JavaScript returns.
      if (returned === undefined) return
      return this.#track(returned, failed)
    } catch (error) {
      failed(error)
    }
  }

  /** Remembers work of the app's that no hook returned. */
  waitFor (log: FastifyBaseLogger, work: Promise<unknown>): void {
    this.#track(work, error => logFailure(log, error, 'work after a turn failed')) // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  #track (work: Promise<unknown>, failed: (error: unknown) => void): Promise<void> {
    const running: Promise<void> = Promise.resolve(work).catch(failed).then(() => { this.#running.delete(running) })
    this.#running.add(running)
    return running
  }

  /** Resolves once none of it is running. */
  async settled (): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}
