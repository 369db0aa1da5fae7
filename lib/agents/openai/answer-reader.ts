import { whenLate } from '../../timing/timeout.js'
import type { Exchange } from './exchange.js'

/** How long the rest of an answer may take once the server has said how it ended. The figures of its tokens come in that time. */
export const REST_MS = 500

/** How far an answer is read. */
export interface Progress {
  /** The server has said how the answer ended: only figures are to come. */
  readonly isFinished: boolean
  /** The server has said that nothing is to come. */
  readonly isOver: boolean
}

/**
 * The bytes of an answer up to its end, which need not be the end of the response: some servers keep the connection open, reset it
 * or send garbage behind the answer. None of that is waited for, or thrown. Made for one reader, and closed by that.
 */
export class AnswerReader implements AsyncIterableIterator<Buffer> {
  readonly #bytes: Exchange
  readonly #progress: Progress
  #late: Promise<undefined> | undefined
  #stopWaiting: (() => void) | undefined

  constructor (bytes: Exchange, progress: Progress) {
    this.#bytes = bytes
    this.#progress = progress
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  next (): Promise<IteratorResult<Buffer>> {
    const { isFinished, isOver } = this.#progress
    if (isOver) return Promise.resolve(this.#finish())
    const step = this.#bytes.next()
    if (isFinished) return this.#nextOfRest(step)
    this.#stopWaiting?.()
    return step
  }

  return (): Promise<IteratorResult<Buffer>> {
    this.#stopWaiting?.()
    return this.#bytes.return()
  }

  async #nextOfRest (step: Promise<IteratorResult<Buffer>>): Promise<IteratorResult<Buffer>> {
    this.#late ??= new Promise(resolve => { this.#stopWaiting = whenLate(REST_MS, () => resolve(undefined)) })
    const next = await Promise.race([step, this.#late]).catch(() => undefined)
    return next === undefined || next.done === true ? this.#finish() : next
  }

  #finish (): IteratorResult<Buffer> {
    this.#stopWaiting?.()
    this.#bytes.leave()
    return { done: true, value: undefined }
  }
}
