/**
 * One answer while it comes in.
 */
import { checkBeginning, checkFailed, checkReply, type Fault } from '../model-reply.js'
import { FALLBACK } from '../processes.js'

/** How a reply ended: said to the end and found right, or not waited for any more. */
type ReplyEnd = 'complete' | 'cut off'

/** What is known of a reply beforehand. */
interface ReplyOptions {
  readonly tokens: number
  /** What goes wrong with the model; otherwise nothing may. */
  readonly fault: Fault | undefined
  /** Who is not answered by then is left mute. */
  readonly timeoutMs: number
}

/** The answer to one request. Owned by its caller. */
export class Reply {
  readonly id: number
  readonly key: string
  /** Resolves when the reply ended, rejects when a word was wrong or missing. */
  readonly ended: Promise<ReplyEnd>
  readonly #options: ReplyOptions
  readonly #sentAt = performance.now()
  readonly #timer: NodeJS.Timeout
  #text = ''
  #received = 0
  #firstMs: number | undefined
  #resolve!: (end: ReplyEnd) => void
  #reject!: (error: Error) => void
  #awaited: { readonly tokens: number, readonly resolve: () => void } | undefined

  constructor (id: number, key: string, options: ReplyOptions) {
    this.id = id
    this.key = key
    this.#options = options
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // The scenario hears of it through whoever waits; a reply nobody waits for must not end the process.
    this.ended.catch(() => {})
    const { fault = 'no fault', timeoutMs } = options
    this.#timer = setTimeout(() => this.fail(new Error(`reply ${key}, ${fault}: not complete after ${timeoutMs} ms, got ${JSON.stringify(this.#text.slice(-60))}`)), timeoutMs)
  }

  get text (): string {
    return this.#text
  }

  /** @returns how many tokens came with this frame */
  add (content: string): number {
    if (content === '') return 0
    this.#firstMs ??= performance.now() - this.#sentAt
    this.#text += content
    // Every token but the last ends in a space.
    const before = this.#received
    for (let at = content.indexOf(' '); at !== -1; at = content.indexOf(' ', at + 1)) this.#received++
    if (this.#awaited !== undefined && this.#received >= this.#awaited.tokens) this.#awaited.resolve()
    return this.#received - before
  }

  /**
   * The reply is complete: every word is checked.
   * @returns what the server added to the wait for the first token, in ms; undefined when the model failed
   */
  complete (): number | undefined {
    const { tokens, fault } = this.#options
    if (fault !== undefined) {
      checkFailed(this.key, tokens, fault, FALLBACK, this.#text)
      this.#end('complete')
      return undefined
    }
    const heldMs = checkReply(this.key, tokens, this.#text)
    this.#end('complete')
    return (this.#firstMs ?? NaN) - heldMs
  }

  /** A newer request replaces this one, or its connection is gone: what came in so far is checked. */
  cutOff (): void {
    checkBeginning(this.key, this.#options.tokens, this.#text)
    this.#end('cut off')
  }

  fail (error: Error): void {
    clearTimeout(this.#timer)
    this.#reject(error)
    this.#awaited?.resolve()
  }

  /** Resolves when at least so many tokens are in, or the reply ended otherwise. */
  async heard (tokens: number): Promise<void> {
    if (this.#received >= tokens) return
    const enough = new Promise<void>(resolve => { this.#awaited = { tokens, resolve } })
    await Promise.race([enough, this.ended])
  }

  #end (end: ReplyEnd): void {
    clearTimeout(this.#timer)
    this.#resolve(end)
  }
}
