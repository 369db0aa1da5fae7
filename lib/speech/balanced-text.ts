/**
 * The arguments of a tool call in text: JSON, or text in parentheses.
 */
import type { UnspokenKind } from '../contract/actions.js'
import type { Region } from './mark.js'

/** How far behind a call's name its arguments may begin, in UTF-16 units. */
const LONGEST_GAP = 64

/** Brackets that belong to the wire of a call, and do not open its arguments. */
const MARKS = ['[ARGS]', '[CALL_ID]']

/** A region that ends where its first bracket is closed. Brackets in quotes do not count. */
export class BalancedText implements Region {
  readonly kind: UnspokenKind = 'tool call'
  readonly #gap: number
  #skipped = 0
  #depth = 0
  #quote = ''
  #isEscaped = false
  #before = ''

  /** @param gap the most text ahead of the first bracket; without a bracket the region ends there */
  constructor (gap: 'none' | 'some' = 'none') {
    this.#gap = gap === 'none' ? 0 : LONGEST_GAP
  }

  read (text: string, isEnd: boolean): readonly [taken: number, isOver: boolean] {
    for (let at = 0; at < text.length; at++) {
      if (this.#depth === 0 && this.#gap > 0) {
        if (this.#skipped === this.#gap) return [at, true]
        const isMark = MARKS.some(mark => text.startsWith(mark, at))
        if (!isMark && !isEnd && MARKS.some(mark => mark.startsWith(text.slice(at)))) return [at, false]
        if (isMark || !/[[{(]/.test(text[at]!)) {
          this.#skipped++
          continue
        }
      }
      if (this.#closes(text[at]!)) return [at + 1, true]
    }
    return [text.length, false]
  }

  #closes (character: string): boolean {
    const before = this.#before
    this.#before = character
    if (this.#quote !== '') {
      if (this.#isEscaped) this.#isEscaped = false
      else if (character === '\\') this.#isEscaped = true
      else if (character === this.#quote) this.#quote = ''
      return false
    }
    // An apostrophe inside a word opens nothing.
    if (character === '"' || (character === "'" && /[\s([{,=:]/.test(before))) this.#quote = character
    if (/[([{]/.test(character)) this.#depth++
    return /[)\]}]/.test(character) && --this.#depth === 0
  }
}
