import type { Dispatcher } from 'undici'

/** Bytes that wait to be read before the server is asked to pause. A reply is a few KiB. */
const HIGH_WATER_BYTES = 256 * 1024

/** How long a response may take to its end once nobody reads it any more. Within that time its connection can be used again. */
const END_MS = 500

/** As undici gives them, with names in lower case. */
type RawHeaders = Readonly<Record<string, string | string[] | undefined>>

/** The head of a response. */
export class ResponseHead {
  readonly status: number
  readonly #headers: RawHeaders

  constructor (status: number, headers: RawHeaders) {
    this.status = status
    this.#headers = headers
  }

  /** What the server says of the body: `text/event-stream`. `unknown` where that is nothing, or no media type. */
  get mediaType (): string {
    const [type] = String(this.#headers['content-type']).split(';')
    return /^[\w.+-]{1,40}\/[\w.+-]{1,40}$/.test(type!.trim()) ? type!.trim() : 'unknown'
  }

  /** Made when asked for: of an answer that is a good one nobody reads them. */
  get headers (): Headers {
    const headers = new Headers()
    for (const [name, value] of Object.entries(this.#headers)) headers.set(name, String(value))
    return headers
  }
}

/**
 * One request and its response, read as it comes. Made for one reader; handed to a dispatcher once, or once more while
 * nothing of a response has come. Leaving the iteration, or {@link Exchange.abort}, cancels the request.
 */
export class Exchange implements Dispatcher.DispatchHandler, AsyncIterableIterator<Buffer> {
  /** Resolves with the first bytes, rejects when there are none. */
  readonly head: Promise<ResponseHead>
  #controller: Dispatcher.DispatchController | undefined
  #began!: (head: ResponseHead) => void
  #failed!: (error: unknown) => void
  readonly #chunks: Buffer[] = []
  /** How many of them were read. Removing each from the front would move all others. */
  #read = 0
  #waiting = 0
  #reader: { resolve (step: IteratorResult<Buffer>): void, reject (error: unknown): void } | undefined
  readonly #onEnd: () => void
  /** How it ended: `error` is undefined where it ended well. */
  #end: { readonly error: unknown } | undefined
  /** Set once nobody reads it any more: cancels it. */
  #leaving: NodeJS.Timeout | undefined

  /** @param onEnd called when a response has come to its end, and its connection may be used again */
  constructor (onEnd = () => {}) {
    this.#onEnd = onEnd
    this.head = new Promise((resolve, reject) => {
      this.#began = resolve
      this.#failed = reject
    })
    // Whoever only reads is told there.
    this.head.catch(() => {})
  }

  /** Ends it, with this error for whoever waits. */
  abort (error: unknown): void {
    if (this.#end !== undefined) return
    // The dispatcher wants an Error, and tells us of it, which is no news.
    const reason = error instanceof Error ? error : new Error('aborted')
    this.#finish(error ?? reason)
    this.#controller?.abort(reason)
  }

  // What the dispatcher tells

  onRequestStart (controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#end !== undefined) controller.abort(new Error('aborted'))
  }

  onResponseStart (_controller: Dispatcher.DispatchController, status: number, headers: RawHeaders): void {
    if (status < 200) return // informational: the response follows
    this.#began(new ResponseHead(status, headers))
  }

  onResponseData (controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#reader !== undefined) return this.#give({ done: false, value: chunk })
    if (this.#leaving !== undefined) return
    this.#chunks.push(chunk)
    this.#waiting += chunk.length
    if (this.#waiting > HIGH_WATER_BYTES) controller.pause()
  }

  onResponseEnd (): void {
    this.#onEnd()
    this.#finish(undefined)
  }

  onResponseError (_controller: Dispatcher.DispatchController, error: Error): void {
    this.#finish(error)
  }

  // What the reader asks

  [Symbol.asyncIterator] (): this {
    return this
  }

  next (): Promise<IteratorResult<Buffer>> {
    const chunk = this.#chunks[this.#read]
    if (chunk !== undefined) {
      this.#waiting -= chunk.length
      this.#drop()
      if (this.#controller?.paused === true && this.#waiting === 0) this.#controller.resume()
      return Promise.resolve({ done: false, value: chunk })
    }
    if (this.#end === undefined) return new Promise((resolve, reject) => { this.#reader = { resolve, reject } })
    return this.#end.error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.#end.error)
  }

  /** All that is left of it. */
  async text (): Promise<string> {
    const chunks: Buffer[] = []
    for await (const chunk of this) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  return (): Promise<IteratorResult<Buffer>> {
    this.abort(new Error('the reader left'))
    return Promise.resolve({ done: true, value: undefined })
  }

  /**
   * Reads no more, as the answer is complete. Drops what still comes, so that the connection can be used again, and cancels
   * the request where the end of the response takes too long.
   */
  leave (): void {
    if (this.#end !== undefined) return
    this.#leaving = setTimeout(() => this.abort(undefined), END_MS).unref()
    if (this.#controller?.paused === true) this.#controller.resume()
  }

  #drop (): void {
    if (++this.#read * 2 < this.#chunks.length) return
    this.#chunks.splice(0, this.#read)
    this.#read = 0
  }

  #give (step: IteratorResult<Buffer>): void {
    const reader = this.#reader
    this.#reader = undefined
    reader?.resolve(step)
  }

  #finish (error: unknown): void {
    if (this.#end !== undefined) return
    this.#end = { error }
    clearTimeout(this.#leaving)
    if (error === undefined) return this.#give({ done: true, value: undefined })
    this.#failed(error)
    this.#reader?.reject(error)
    this.#reader = undefined
  }
}
