/**
 * One agent, asked one turn: it can be taken off the turn at any moment, and then nothing it does is heard.
 */
import { setMaxListeners } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { isAction, type Agent, type ChatMessage, type Reply, type Turn } from '../../contract/agent.js'
import { DeadlineError, TurnAbortedError } from '../../contract/errors.js'
import { openReply, type Source } from '../../speech/reply.js'
import { unspeakable } from '../../speech/unspeakable.js'

/**
 * Owns the agent's AbortSignal and reply. Whoever makes it closes it; until then it listens to the turn's signal, whose
 * abort reaches the agent at once. An agent that came to its end by itself is not aborted.
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

  /** @param firstTokenMs how long the agent may take until `answered()`; for ever, unless given */
  constructor (app: FastifyInstance, agent: Agent, turn: Turn, firstTokenMs?: number) {
    this.#turn = turn
    this.#ask = () => agent.call(app, viewOf(turn, this.#controller.signal))
    setMaxListeners(0, this.#controller.signal) // each tool that runs has two
    turn.signal.addEventListener('abort', this.#onTurnAborted)
    if (firstTokenMs === undefined) return
    this.#deadline = setTimeout(() => {
      this.#stop(new TurnAbortedError('deadline'), new DeadlineError('first-token', firstTokenMs))
    }, firstTokenMs)
  }

  /** Asks the agent, the first time, and resolves with its next piece. Rejects with what it threw, or was stopped by. */
  next (): Promise<IteratorResult<unknown>> {
    return new Promise((resolve, reject) => {
      this.throwIfStopped()
      this.#interrupt = reject
      this.#pull().then(resolve, reject)
    })
  }

  /** To be called after every wait for `next()`: a piece that is on its way while the agent is stopped is not heard. */
  throwIfStopped (): void {
    if (this.#stoppedBy !== undefined) throw this.#stoppedBy
  }

  /** There is no deadline any more. */
  answered (): void {
    clearTimeout(this.#deadline)
  }

  /** Aborts the agent's signal and closes its reply, unless it has come to its end. */
  close (): void {
    this.#stop()
  }

  async #pull (): Promise<IteratorResult<unknown>> {
    // Not a tick between opening it and keeping it, or it could be missed by #stop.
    this.#source ??= this.#open(await this.#ask())
    const step = await this.#source.next()
    if (step.done) this.#release()
    return step
  }

  #open (reply: unknown): Source {
    const source = openReply(typeof reply === 'string' ? [reply] : reply ?? [])
    // Stopped before there was anything to close.
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
 * Is this piece part of an answer, and not what covers or shapes the wait for one?
 * @throws VOICE_AGENT_ERR_SPEECH when it cannot be spoken
 */
export function isAnswer (piece: unknown): boolean {
  if (piece === undefined || piece === null) return false
  if (typeof piece === 'string') return piece !== ''
  if (!isAction(piece)) throw unspeakable(piece, 'yielded')
  return piece.action !== 'filler' && piece.action !== 'flush' && piece.action !== 'pause' && piece.action !== 'usage' && piece.action !== 'unspoken'
}

// Field by field: the turn's getters need the turn itself as `this`.
function viewOf (turn: Turn, signal: AbortSignal): Turn {
  let messages: ChatMessage[] | undefined
  return {
    get id () { return turn.id },
    get reason () { return turn.reason },
    get call () { return turn.call },
    get transcript () { return turn.transcript },
    // A tool loop appends to them, and leaves them in the middle of a step when it is stopped.
    get messages () { return (messages ??= structuredClone(turn.messages)) },
    get log () { return turn.log },
    signal
  }
}
