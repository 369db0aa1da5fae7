/**
 * The speech filter: voice platforms read every character aloud, and models write markdown, emoji and addresses although
 * they are told not to. Some write their thoughts and their calls of tools as well.
 */
import { unspoken, type Action, type Speech } from '../contract/agent.js'
import { Markup } from './markup.js'
import { NonSpeech, type Cut, type NonSpeechOptions } from './non-speech.js'
import { SayableCharacters } from './sayable-characters.js'

/** Options of {@link SpeechFilter} and {@link speakable}. */
export interface SpeechFilterOptions extends NonSpeechOptions {}

/**
 * The filter for one answer that comes in pieces, for those who have no stream to hand to {@link speakable}. What it
 * returns, put together, does not depend on where the pieces were cut.
 *
 * A piece that is plain text is returned at once and as it is. Held back is only what the next characters decide on, and
 * never more than 128 UTF-16 units (the name of a tool that was given may add 128 to that): half a surrogate pair; marks (`*`, `_`, `~`,
 * backticks) until the character behind them, `*` ahead of digits until they are a code to dial or none, inside a word until its end; `[`
 * until it is a link, a source or none, or has more than 40 units behind it; the first characters of a word that may become `http://` or
 * `www.` (`h`, `ht`, …, `w`, `ww`, `www.`); `<`, `&`, `\`, `$`, `{` and `【` until what is behind them makes a mark or none, for 28 units;
 * the punctuation behind an address; `!` that stands alone; at the start of a line a heading's, quote's, bullet's, rule's or fence's mark
 * until the character that makes it one; between cells of a table its lines; at the start of an answer the first letters of `analysis`,
 * `assistant`, `commentary`, `final` and `to=`; a word that is, or begins like, the name of a tool that was given; behind the first mark of
 * a source a blank. Addresses, reasoning and calls of tools are left out as they come.
 */
export class SpeechFilter {
  readonly #nonSpeech: NonSpeech
  readonly #characters = new SayableCharacters()
  readonly #markup = new Markup()

  constructor (options: SpeechFilterOptions = {}) {
    this.#nonSpeech = new NonSpeech(options)
  }

  /** What was no speech at all, and is left out: reasoning, calls of tools and the like; not markdown, emoji and addresses. */
  get cut (): Cut {
    return this.#nonSpeech.cut
  }

  /** The text of each call of a tool that was left out. A call that has not ended is among them. */
  get calls (): readonly string[] {
    return this.#nonSpeech.calls
  }

  /** What can be said now. */
  push (text: string): string {
    return this.#markup.push(this.#characters.push(this.#nonSpeech.push(text)))
  }

  /** What is held back, as if nothing followed. If something does, it goes on in the same line. */
  end (): string {
    const words = this.#markup.push(this.#characters.push(this.#nonSpeech.end()))
    this.#characters.end()
    return words + this.#markup.end()
  }
}

/** A text without what cannot be said. */
export function speakable (text: string, options?: SpeechFilterOptions): string
/**
 * What an agent yields, without what cannot be said: `yield * speakable(model.stream(…))`. Actions pass as they are, after
 * all words that came before them. What was no speech at all is reported by a last action, for the turn's report. Leaving it closes
 * `tokens`; what `tokens` throws is thrown at once, without what was held back.
 */
export function speakable (tokens: AsyncIterable<Speech> | Iterable<Speech>, options?: SpeechFilterOptions): AsyncGenerator<string | Action, void, undefined>
export function speakable (tokens: string | AsyncIterable<Speech> | Iterable<Speech>, options?: SpeechFilterOptions): string | AsyncGenerator<string | Action, void, undefined> {
  const filter = new SpeechFilter(options)
  return typeof tokens === 'string' ? filter.push(tokens) + filter.end() : filtered(tokens, filter)
}

async function * filtered (tokens: AsyncIterable<Speech> | Iterable<Speech>, filter: SpeechFilter): AsyncGenerator<string | Action, void, undefined> {
  for await (const token of tokens) {
    const isText = typeof token === 'string'
    const words = isText ? filter.push(token) : token ? filter.end() : ''
    if (words !== '') yield words
    if (!isText && token) yield token
  }
  const rest = filter.end()
  if (rest !== '') yield rest
  if (filter.cut.characters > 0) yield unspoken(filter.cut)
}
