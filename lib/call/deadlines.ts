/**
 * Silence is bounded: how long a turn may wait for its agent.
 */
import type { Deadline } from '../contract/errors.js'

/** In ms; 0 switches one off. */
export interface DeadlineSettings {
  /** From calling the agent, or its last filler, to the first word of its answer. */
  readonly firstTokenMs: number
  /** From one piece of the answer to the next. */
  readonly tokenGapMs: number
  /** From calling the agent to the end of its reply. */
  readonly turnMs: number
  /** From calling the agent to a filler of ours, where not a word was said. */
  readonly fillerMs: number
}

/** What the deadlines of a turn act on. Each is called at most once. */
export interface DeadlineActions {
  expired (deadline: Deadline, ms: number): void
  fill (): void
}

/**
 * The deadlines of one turn, from when its agent is called. At most four timers a turn and none a token: a token pushes
 * the running one back. Whoever makes it stops it.
 */
export class Deadlines {
  readonly #settings: DeadlineSettings
  readonly #actions: DeadlineActions
  readonly #turn: NodeJS.Timeout | undefined
  readonly #filler: NodeJS.Timeout | undefined
  #wait: NodeJS.Timeout | undefined
  #answering = false
  #working = false

  constructor (settings: DeadlineSettings, actions: DeadlineActions) {
    this.#settings = settings
    this.#actions = actions
    this.#turn = this.#deadline('turn', settings.turnMs)
    this.#wait = this.#deadline('first-token', settings.firstTokenMs)
    this.#filler = after(settings.fillerMs, () => actions.fill())
  }

  /** A piece of the answer came: the wait for the next one begins. */
  answered (): void {
    if (this.#answering) return this.alive()
    this.#answering = true
    clearTimeout(this.#filler)
    this.hold()
    this.alive()
  }

  /** The agent did something that is no answer, such as a filler of its own: the same wait begins anew. */
  alive (): void {
    if (this.#working) return
    if (this.#wait !== undefined) this.#wait.refresh()
    else if (this.#answering) this.#wait = this.#deadline('token-gap', this.#settings.tokenGapMs)
    else this.#wait = this.#deadline('first-token', this.#settings.firstTokenMs)
  }

  /** Tools begin to run, which have deadlines of their own, or have all come to their end. */
  working (isWorking: boolean): void {
    this.#working = isWorking
    if (isWorking) return this.hold()
    this.alive()
    // Tools have fillers of their own; now the agent is waited for once more.
    if (!this.#answering) this.#filler?.refresh()
  }

  /** The agent is not waited for, but kept waiting, until the next piece. */
  hold (): void {
    clearTimeout(this.#wait)
    this.#wait = undefined
  }

  /** The turn is over. */
  stop (): void {
    clearTimeout(this.#turn)
    clearTimeout(this.#wait)
    clearTimeout(this.#filler)
  }

  #deadline (deadline: Deadline, ms: number): NodeJS.Timeout | undefined {
    return after(ms, () => {
      this.stop()
      this.#actions.expired(deadline, ms)
    })
  }
}

function after (ms: number, act: () => void): NodeJS.Timeout | undefined {
  return ms > 0 ? setTimeout(act, ms) : undefined
}
