import { hasSentence } from '../speech/sentence.js'

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

/** What the agent says in one turn, as far as it has come. Times are in ms, from the request. */
export class Reply {
  /** The provider's id of the turn. */
  readonly id: string | number
  readonly reason: 'greeting' | 'response' | 'reminder' | 'interjection'
  /** All that the provider took. */
  text = ''
  /** What of it the caller heard: all, unless they spoke over it. */
  heard: string | undefined
  outcome: ReplyOutcome = 'streaming'
  action: ReplyAction | undefined
  /** Is what is spoken to be heard to its end? */
  isUninterruptible = false
  /** To the first frame with a word in it. */
  firstTokenMs: number | undefined
  /** To the end of the first sentence, where providers begin to speak. */
  firstSentenceMs: number | undefined
  /** To the end of the reply, however it ended; it may still be spoken. */
  durationMs: number | undefined
  /** When it was asked for, by the same clock as everything else: since the call began. */
  readonly askedMs: number
  readonly #now: () => number
  readonly #msPerWord: number
  /** When each word is spoken to its end; none where they are spoken as fast as they come. */
  readonly wordsMs: number[] = []
  #waiting: Array<() => void> = []

  /** @param msPerWord how long a word takes to be spoken */
  constructor (id: string | number, reason: Reply['reason'], now: () => number, msPerWord = 0) {
    this.id = id
    this.reason = reason
    this.#now = now
    this.#msPerWord = msPerWord
    this.askedMs = now()
  }

  /** Does it still stream? */
  get isLive (): boolean {
    return this.outcome === 'streaming'
  }

  /** Is it neither streamed nor spoken any more? */
  get isOver (): boolean {
    return this.heard !== undefined
  }

  /** Since the request, in ms. */
  get elapsedMs (): number {
    return this.#now() - this.askedMs
  }

  /** What was spoken of it by now. */
  get spoken (): string {
    if (this.#msPerWord === 0) return this.text
    const { elapsedMs } = this
    return wordsOf(this.text).slice(0, this.wordsMs.filter(ms => ms <= elapsedMs).length).join('')
  }

  /** When so many words of those that have come are spoken to their end, in ms from the request. */
  spokenMs (words = Infinity): number {
    return this.wordsMs[Math.min(words, this.wordsMs.length) - 1] ?? 0
  }

  /** Resolves once the reply is over, and what is heard of it was spoken. Never rejects: look at {@link Reply.outcome}. */
  async over (): Promise<this> {
    while (!this.isOver) await this.#change()
    return this
  }

  /** Resolves once so many words have come, or no more will. */
  async words (count: number): Promise<this> {
    while (this.isLive && wordsOf(this.text).length < count) await this.#change()
    return this
  }

  /** What is said, piece by piece as it comes. */
  async * [Symbol.asyncIterator] (): AsyncGenerator<string, void, undefined> {
    let from = 0
    while (this.isLive || this.text.length > from) {
      const piece = this.text.slice(from)
      from += piece.length
      if (piece === '') await this.#change()
      else yield piece
    }
  }

  /** Speech came. For callers alone. */
  add (text: string): void {
    this.text += text
    const { elapsedMs } = this
    if (text.trim() !== '') this.firstTokenMs ??= elapsedMs
    if (hasSentence(this.text)) this.firstSentenceMs ??= elapsedMs
    const words = this.#msPerWord === 0 ? 0 : wordsOf(this.text).length
    while (this.wordsMs.length < words) this.wordsMs.push(Math.max(this.spokenMs(), elapsedMs) + this.#msPerWord)
    this.#tell()
  }

  /** No more comes. For callers alone. */
  end (outcome: Exclude<ReplyOutcome, 'streaming'>): void {
    this.outcome = outcome
    this.durationMs ??= this.elapsedMs
    if (outcome === 'completed' && this.text.trim() !== '') this.firstSentenceMs ??= this.durationMs
    this.#tell()
  }

  /** Nothing more of it is spoken. For callers alone. */
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

/** The words of a text, each with the blanks behind it. */
export function wordsOf (text: string): string[] {
  return text.match(/\S+\s*/g) ?? []
}

/** What is recognised of a text first. Speech is recognised word by word; half of them stand for all that comes on the way. */
export function firstHalf (text: string): string {
  const words = wordsOf(text)
  return words.slice(0, Math.ceil(words.length / 2)).join('')
}
