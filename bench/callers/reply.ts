/**
 * One answer while it comes in.
 */
import { checkBeginning, checkReply } from '../model-reply.js'

/** How a reply ended: said to the end and found right, or replaced by a newer request. */
type ReplyEnd = 'complete' | 'superseded'

const TIMEOUT_MS = 30_000

/** The answer to one request. Owned by its caller. */
export class Reply {
  readonly id: number
  readonly key: string
  /** Resolves when the reply ended, rejects when a word was wrong or missing. */
  readonly ended: Promise<ReplyEnd>
  readonly #tokens: number
  readonly #sentAt = performance.now()
  readonly #timer: NodeJS.Timeout
  #text = ''
  #received = 0
  #firstMs: number | undefined
  #resolve!: (end: ReplyEnd) => void
  #reject!: (error: Error) => void
  #awaited: { readonly tokens: number, readonly resolve: () => void } | undefined

  constructor (id: number, key: string, tokens: number) {
    this.id = id
    this.key = key
    this.#tokens = tokens
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // The scenario hears of it through whoever waits; a reply nobody waits for must not end the process.
    this.ended.catch(() => {})
    this.#timer = setTimeout(() => this.fail(new Error(`reply ${key}: not complete after ${TIMEOUT_MS} ms, got ${JSON.stringify(this.#text.slice(-60))}`)), TIMEOUT_MS)
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
   * @returns what the server added to the wait for the first token, in ms
   */
  complete (): number {
    const heldMs = checkReply(this.key, this.#tokens, this.#text)
    this.#end('complete')
    return (this.#firstMs ?? NaN) - heldMs
  }

  /** A newer request replaces this one: what came in so far is checked. */
  supersede (): void {
    checkBeginning(this.key, this.#tokens, this.#text)
    this.#end('superseded')
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
