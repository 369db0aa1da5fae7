/** What an agent did besides speaking, at the end of a reply. */
export type ReplyAction =
  | { readonly type: 'end-call' }
  | { readonly type: 'transfer-call', readonly destination: string }
  | { readonly type: 'press-digits', readonly digits: string }

/**
 * How a reply stands: it still streams, was completed, was given up for a newer one, was cut off by the caller, or was lost
 * with its connection.
 */
export type ReplyOutcome = 'streaming' | 'completed' | 'superseded' | 'interrupted' | 'lost'

const SENTENCE_END = /[.!?…。！？](?=\s|$)|[.!?…。！？]["')\]]/

/** What the agent says in one turn, as far as it has come. Times are in ms, from the request. */
export class Reply {
  /** The provider's id of the turn. */
  readonly id: string | number
  readonly reason: 'greeting' | 'response' | 'reminder'
  /** All that the provider took. */
  text = ''
  /** What of it the caller heard: all, unless they spoke over it. */
  heard: string | undefined
  outcome: ReplyOutcome = 'streaming'
  action: ReplyAction | undefined
  /** To the first frame with a word in it. */
  firstTokenMs: number | undefined
  /** To the end of the first sentence, where providers begin to speak. */
  firstSentenceMs: number | undefined
  /** To the end of the reply, however it ended. */
  durationMs: number | undefined
  readonly #askedAt: number
  readonly #now: () => number
  #waiting: Array<() => void> = []

  constructor (id: string | number, reason: Reply['reason'], now: () => number) {
    this.id = id
    this.reason = reason
    this.#now = now
    this.#askedAt = now()
  }

  get isLive (): boolean {
    return this.outcome === 'streaming'
  }

  /** Resolves once the reply is over. Never rejects: look at {@link Reply.outcome}. */
  async over (): Promise<this> {
    await this.#until(() => false)
    return this
  }

  /** Resolves once so many words have come, or the reply is over. */
  async words (count: number): Promise<this> {
    await this.#until(() => wordsOf(this.text).length >= count)
    return this
  }

  /** What is said, piece by piece as it comes. */
  async * [Symbol.asyncIterator] (): AsyncGenerator<string, void, undefined> {
    for (let from = 0; ;) {
      await this.#until(() => this.text.length > from)
      const piece = this.text.slice(from)
      if (piece === '') return
      from += piece.length
      yield piece
    }
  }

  /** Speech came. For callers alone. */
  add (text: string): void {
    this.text += text
    const passed = this.#now() - this.#askedAt
    if (text.trim() !== '') this.firstTokenMs ??= passed
    if (SENTENCE_END.test(this.text)) this.firstSentenceMs ??= passed
    this.#tell()
  }

  /** It is over. For callers alone. */
  end (outcome: Exclude<ReplyOutcome, 'streaming'>, heard = this.text): void {
    this.outcome = outcome
    this.heard = heard
    this.durationMs = this.#now() - this.#askedAt
    if (outcome === 'completed' && this.text.trim() !== '') this.firstSentenceMs ??= this.durationMs
    this.#tell()
  }

  async #until (isEnough: () => boolean): Promise<void> {
    while (this.isLive && !isEnough()) await new Promise<void>(resolve => { this.#waiting.push(resolve) })
  }

  #tell (): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** The words of a text, each with the blanks behind it. */
export function wordsOf (text: string): string[] {
  return text.match(/\S+\s*/g) ?? []
}
