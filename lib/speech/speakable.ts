/**
 * The speech filter. Voice platforms read every character aloud, and models write markdown, emoji and addresses even if their instructions
 * forbid it. Some write their reasoning and tool calls as well.
 */
import { unspoken, type Action, type Speech } from '../contract/agent.js'
import { Markup } from './markup.js'
import { NonSpeech, type Cut, type NonSpeechOptions } from './non-speech.js'
import { SayableCharacters } from './sayable-characters.js'

/** Options of {@link SpeechFilter} and {@link speakable}. */
export interface SpeechFilterOptions extends NonSpeechOptions {}

/**
 * The filter for one answer in pieces, for code that has no stream for {@link speakable}. The concatenated output does not depend on how
 * the answer is split.
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

  /** Figures of removed text that is not speech, such as reasoning and tool calls; without markdown, emoji and addresses. */
  get cut (): Cut {
    return this.#nonSpeech.cut
  }

  /** The text of each tool call that was removed, an incomplete one included. */
  get calls (): readonly string[] {
    return this.#nonSpeech.calls
  }

  /** Returns the text that can be spoken now. */
  push (text: string): string {
    return this.#markup.push(this.#characters.push(this.#nonSpeech.push(text)))
  }

  /** Returns the held text, as if nothing followed. Later text continues the same line. */
  end (): string {
    const words = this.#markup.push(this.#characters.push(this.#nonSpeech.end()))
    this.#characters.end()
    return words + this.#markup.end()
  }
}

/** Returns a text without the parts that cannot be spoken. */
export function speakable (text: string, options?: SpeechFilterOptions): string
/**
 * Filters the pieces of an agent: `yield * speakable(model.stream(…))`. Actions pass unchanged, after all words ahead of them. A last
 * action reports removed text that is not speech, for the turn's report. Returning early closes `tokens`; an error of `tokens` is thrown
 * at once, without the held text.
 */
export function speakable (
  tokens: AsyncIterable<Speech> | Iterable<Speech>, options?: SpeechFilterOptions
): AsyncGenerator<string | Action, void, undefined>
export function speakable (
  tokens: string | AsyncIterable<Speech> | Iterable<Speech>, options?: SpeechFilterOptions
): string | AsyncGenerator<string | Action, void, undefined> {
  const filter = new SpeechFilter(options)
  return typeof tokens === 'string' ? filter.push(tokens) + filter.end() : filtered(tokens, filter)
}

async function * filtered (
  tokens: AsyncIterable<Speech> | Iterable<Speech>, filter: SpeechFilter
): AsyncGenerator<string | Action, void, undefined> {
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
