import { hasSentence } from '../speech/sentence.js'

/** An agent's action at the end of a reply. */
export type ReplyAction =
  | { readonly type: 'end-call' }
  | { readonly type: 'transfer-call', readonly destination: string }
  | { readonly type: 'press-digits', readonly digits: string }

/**
 * The state of a reply: it still streams, was completed, was superseded by a newer one, was cut off by the caller, or was lost with
 * its connection.
 */
export type ReplyOutcome = 'streaming' | 'completed' | 'superseded' | 'interrupted' | 'lost'

/** The agent's speech in one turn, as far as it has arrived. Times are in ms, from the request. */
export class Reply {
  /** The provider's id of the turn. */
  readonly id: string | number
  readonly reason: 'greeting' | 'response' | 'reminder' | 'interjection'
  /** All text that the provider accepted. */
  text = ''
  /** The part that the caller heard; undefined until the reply is over. */
  heard: string | undefined
  outcome: ReplyOutcome = 'streaming'
  action: ReplyAction | undefined
  /** True if the caller cannot interrupt the reply. */
  isUninterruptible = false
  /** To the first frame with a word. */
  firstTokenMs: number | undefined
  /** To the end of the first sentence, when providers begin to speak. */
  firstSentenceMs: number | undefined
  /** To the end of the stream, with any outcome; speaking may take longer. */
  durationMs: number | undefined
  /** The time of the request, since the call began. */
  readonly askedMs: number
  readonly #now: () => number
  readonly #msPerWord: number
  /** The end of each word's speech; empty without a pace. */
  readonly wordsMs: number[] = []
  #waiting: Array<() => void> = []

  /** @param msPerWord the duration of a spoken word; 0 without a pace */
  constructor (id: string | number, reason: Reply['reason'], now: () => number, msPerWord = 0) {
    this.id = id
    this.reason = reason
    this.#now = now
    this.#msPerWord = msPerWord
    this.askedMs = now()
  }

  /** True while the reply streams. */
  get isLive (): boolean {
    return this.outcome === 'streaming'
  }

  /** True when the reply neither streams nor is spoken any more. */
  get isOver (): boolean {
    return this.heard !== undefined
  }

  /** Since the request, in ms. */
  get elapsedMs (): number {
    return this.#now() - this.askedMs
  }

  /** The part that was spoken by now. */
  get spoken (): string {
    if (this.#msPerWord === 0) return this.text
    const { elapsedMs } = this
    return wordsOf(this.text).slice(0, this.wordsMs.filter(ms => ms <= elapsedMs).length).join('')
  }

  /** The end of speech of the first `words` that have arrived, in ms from the request. */
  spokenMs (words = Infinity): number {
    return this.wordsMs[Math.min(words, this.wordsMs.length) - 1] ?? 0
  }

  /** Resolves when the reply is over and spoken. Never rejects: see {@link Reply.outcome}. */
  async over (): Promise<this> {
    while (!this.isOver) await this.#change()
    return this
  }

  /** Resolves when this many words have arrived, or the stream has ended. */
  async words (count: number): Promise<this> {
    while (this.isLive && wordsOf(this.text).length < count) await this.#change()
    return this
  }

  /** Yields the text piece by piece as it arrives. */
  async * [Symbol.asyncIterator] (): AsyncGenerator<string, void, undefined> {
    let from = 0
    while (this.isLive || this.text.length > from) {
      const piece = this.text.slice(from)
      from += piece.length
      if (piece === '') await this.#change()
      else yield piece
    }
  }

  /** Adds text. For callers only. */
  add (text: string): void {
    this.text += text
    const { elapsedMs } = this
    if (text.trim() !== '') this.firstTokenMs ??= elapsedMs
    if (hasSentence(this.text)) this.firstSentenceMs ??= elapsedMs
    const words = this.#msPerWord === 0 ? 0 : wordsOf(this.text).length
    while (this.wordsMs.length < words) this.wordsMs.push(Math.max(this.spokenMs(), elapsedMs) + this.#msPerWord)
    this.#tell()
  }

  /** Ends the stream. For callers only. */
  end (outcome: Exclude<ReplyOutcome, 'streaming'>): void {
    this.outcome = outcome
    this.durationMs ??= this.elapsedMs
    if (outcome === 'completed' && this.text.trim() !== '') this.firstSentenceMs ??= this.durationMs
    this.#tell()
  }

  /** Ends the speech. For callers only. */
  silence (heard: string): void {
    this.heard = heard
    this.#tell()
  }

  #change (): Promise<void> {
    return new Promise(resolve => { this.#waiting.push(resolve) })
  }

  #tell (): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** The words of a text, each with the whitespace after it. */
export function wordsOf (text: string): string[] {
  return text.match(/\S+\s*/g) ?? []
}

/** A partial recognition of a text: half of its words stand for all intermediate results. */
export function firstHalf (text: string): string {
  const words = wordsOf(text)
  return words.slice(0, Math.ceil(words.length / 2)).join('')
}
