/**
 * The speech filter: voice platforms read every character aloud, and models write markdown, emoji and addresses although
 * they are told not to.
 */
import type { Action, Speech } from '../contract/agent.js'
import { Markup } from './markup.js'
import { SayableCharacters } from './sayable-characters.js'

/**
 * The filter for one answer that comes in pieces, for those who have no stream to hand to {@link speakable}. What it
 * returns, put together, does not depend on where the pieces were cut.
 *
 * A piece that is plain text is returned at once and as it is. Held back is only what the next characters decide on, and
 * never more than 100 UTF-16 units: half a surrogate pair; marks (`*`, `_`, `~`, backticks) until the character behind
 * them, `*` ahead of digits until they are a code to dial or none, inside a word until its end; `[` until it is a link or
 * none, or has more than 40 units behind it; the first characters of a word that may become `http://` or `www.` (`h`, `ht`, …,
 * `w`, `ww`, `www.`) and `<` ahead of it; the punctuation behind an address; `!` that stands alone; at the start of a line
 * a heading's, quote's, bullet's, rule's or fence's mark until the character that makes it one; between cells of a table
 * its lines. Addresses are left out as they come.
 */
export class SpeechFilter {
  readonly #characters = new SayableCharacters()
  readonly #markup = new Markup()

  /** What can be said now. */
  push (text: string): string {
    return this.#markup.push(this.#characters.push(text))
  }

  /** What is held back, as if nothing followed. If something does, it goes on in the same line. */
  end (): string {
    this.#characters.end()
    return this.#markup.end()
  }
}

/** A text without what cannot be said. */
export function speakable (text: string): string
/**
 * What an agent yields, without what cannot be said: `yield * speakable(model.stream(…))`. Actions pass as they are, after
 * all words that came before them. Leaving it closes `tokens`; what `tokens` throws is thrown at once, without what was held back.
 */
export function speakable (tokens: AsyncIterable<Speech> | Iterable<Speech>): AsyncGenerator<string | Action, void, undefined>
export function speakable (tokens: string | AsyncIterable<Speech> | Iterable<Speech>): string | AsyncGenerator<string | Action, void, undefined> {
  if (typeof tokens !== 'string') return filtered(tokens)
  const filter = new SpeechFilter()
  return filter.push(tokens) + filter.end()
}

async function * filtered (tokens: AsyncIterable<Speech> | Iterable<Speech>): AsyncGenerator<string | Action, void, undefined> {
  const filter = new SpeechFilter()
  for await (const token of tokens) {
    const isText = typeof token === 'string'
    const words = isText ? filter.push(token) : token ? filter.end() : ''
    if (words !== '') yield words
    if (!isText && token) yield token
  }
  const rest = filter.end()
  if (rest !== '') yield rest
}
