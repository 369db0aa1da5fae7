/**
 * One agent's attempt at one turn. It can be stopped at any moment; later words of the agent are dropped.
 */
import { setMaxListeners } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { isAction, type Action, type Agent, type ChatMessage, type Reply, type Turn } from '../../contract/agent.js'
import { DeadlineError, TurnAbortedError } from '../../contract/errors.js'
import { openReply, type Source } from '../../speech/reply.js'
import { unspeakable } from '../../speech/unspeakable.js'

/**
 * Owns the agent's AbortSignal and reply. Its creator closes it; until then it listens to the turn's signal, whose abort reaches the agent
 * at once. An agent that has ended by itself is not aborted.
 */
export class Attempt {
  readonly #turn: Turn
  readonly #ask: () => Reply
  readonly #controller = new AbortController()
  readonly #deadline: NodeJS.Timeout | undefined
  #source: Source | undefined
  #interrupt: ((error: unknown) => void) | undefined
  #stoppedBy: unknown
  #over = false

  /** @param firstTokenMs the time, in ms, that the agent has until `answered()`; no limit by default */
  constructor (app: FastifyInstance, agent: Agent, turn: Turn, firstTokenMs?: number) {
    this.#turn = turn
    this.#ask = () => agent.call(app, viewOf(turn, this.#controller.signal))
    setMaxListeners(0, this.#controller.signal) // each running tool adds two listeners
    turn.signal.addEventListener('abort', this.#onTurnAborted)
    if (firstTokenMs === undefined) return
    this.#deadline = setTimeout(() => {
      this.#stop(new TurnAbortedError('deadline'), new DeadlineError('first-token', firstTokenMs))
    }, firstTokenMs)
  }

  /** Resolves with the agent's next piece; the first call asks the agent. Rejects with its error, or with the reason why it was stopped. */
  next (): Promise<IteratorResult<unknown>> {
    return new Promise((resolve, reject) => {
      this.throwIfStopped()
      this.#interrupt = reject
      this.#pull().then(resolve, reject)
    })
  }

  /** Call it after every wait for `next()`: a piece that arrives after the agent was stopped must be dropped. */
  throwIfStopped (): void {
    if (this.#stoppedBy !== undefined) throw this.#stoppedBy
  }

  /** Clears the deadline. */
  answered (): void {
    clearTimeout(this.#deadline)
  }

  /** Aborts the agent's signal and closes its reply, unless it has ended. */
  close (): void {
    this.#stop()
  }

  async #pull (): Promise<IteratorResult<unknown>> {
    // Opened and assigned in the same tick, or #stop could miss it.
    this.#source ??= this.#open(await this.#ask())
    const step = await this.#source.next()
    if (step.done) this.#release()
    return step
  }

  #open (reply: unknown): Source {
    const source = openReply(typeof reply === 'string' ? [reply] : reply ?? [])
    // The attempt may have been stopped while the agent was called.
    if (this.#stoppedBy !== undefined) source.close()
    this.throwIfStopped()
    return source
  }

  readonly #onTurnAborted = (): void => { this.#stop(this.#turn.signal.reason) }

  #stop (reason?: unknown, error = reason): void {
    if (this.#over) return
    this.#release()
    this.#controller.abort(reason)
    this.#stoppedBy = error ?? this.#controller.signal.reason
    this.#source?.close()
    this.#interrupt?.(this.#stoppedBy)
  }

  #release (): void {
    this.#over = true
    clearTimeout(this.#deadline)
    this.#turn.signal.removeEventListener('abort', this.#onTurnAborted)
  }
}

/**
 * True if the piece is part of an answer, and not a filler, a pause or a report.
 * @throws VOICE_AGENT_ERR_SPEECH when it cannot be spoken
 */
export function isAnswer (piece: unknown): boolean {
  if (piece === undefined || piece === null) return false
  if (typeof piece === 'string') return piece !== ''
  if (!isAction(piece)) throw unspeakable(piece, 'yielded')
  return !NO_ANSWERS.has(piece.action)
}

const NO_ANSWERS: ReadonlySet<Action['action']> = new Set(['filler', 'flush', 'pause', 'usage', 'unspoken'])

// Field by field: the turn's getters need the turn itself as `this`.
function viewOf (turn: Turn, signal: AbortSignal): Turn {
  let messages: ChatMessage[] | undefined
  return {
    get id () { return turn.id },
    get reason () { return turn.reason },
    get call () { return turn.call },
    get transcript () { return turn.transcript },
    // A copy, since an agent may append to the array and be stopped in the middle of a step.
    get messages () { return (messages ??= structuredClone(turn.messages)) },
    get log () { return turn.log },
    signal
  }
}
