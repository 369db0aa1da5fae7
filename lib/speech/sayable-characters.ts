/**
 * Removes characters that no voice can speak from streamed text: pictures, controls and invisible ones. Only half a surrogate pair has to
 * wait for the following text.
 */

// Symbols that are text unless a font makes pictures of them, and are said; arrows and the suits of cards among them.
const PICTURE = /^(?![©®™‼⁉ℹⓂ㊗㊙〰〽♭♮♯\u2190-\u21ff♠♣♥♦])[\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}]/u

/** Pictures of what there is a sign or a word for. */
const SPELT = new Map(Object.entries({
  '🔟': '10', '❓': '?', '❔': '?', '❗': '!', '❕': '!', '➕': '+', '➖': '-', '✖': '×', '➗': '÷', '➡': '→', '⬅': '←', '⬆': '↑', '⬇': '↓'
}))

// Of a keycap only its frame goes: its digit is a word, and could not be said before the next character if it went with it.
const INVISIBLE = /^[\p{Cc}\p{Cs}\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\p{Me}\ufe0e-\ufe0f\ufeff\ufff9-\ufffd\u{e0000}-\u{e007f}]/u

const BREAK = /^[\n\v\f\r\u0085\u2028\u2029]/
const JOINER = /^[\u200c\u200d]/
// Persian and Hindi are misspelt without their joiners; where letters stand alone there is nothing to join.
const JOINED = /(?![\p{sc=Latin}\p{sc=Greek}\p{sc=Cyrillic}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}])[\p{L}\p{M}]$/u

/** A superset of the above: text without a match needs no work. */
const DOUBTFUL = /[\p{Cc}\p{Cs}\p{Extended_Pictographic}\p{Regional_Indicator}\p{Emoji_Modifier}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\p{Me}\ufe0e-\ufe0f\ufeff\ufff9-\ufffd\u{e0000}-\u{e007f}]/u

/** One text, in any pieces. */
export class SayableCharacters {
  /** The end of the output: its last character matters. */
  #said = ''
  /** The first half of a surrogate pair. */
  #half = ''
  /** The last character, if it was left out. */
  #skipped = ''
  /** True if a picture was left out since the last output. */
  #hasGap = false

  push (text: string): string {
    if (this.#skipped === '' && this.#half === '' && !DOUBTFUL.test(text)) {
      if (text !== '') this.#said = text
      return text
    }
    const whole = this.#half + text
    this.#half = /[\ud800-\udbff]$/.exec(whole)?.[0] ?? ''
    let words = ''
    for (const character of whole.slice(0, whole.length - this.#half.length)) words += this.#read(character)
    return words
  }

  /** Drops half a pair that was not completed. */
  end (): void {
    this.#half = ''
  }

  #read (character: string): string {
    if (BREAK.test(character)) return this.#break(character)
    if (character === '\t') return this.#say(' ')
    // 🙂‍↔️ is one picture.
    const isPart = this.#hasGap && this.#skipped === '\u200d' && /\p{Extended_Pictographic}/u.test(character)
    const spelt = SPELT.get(character)
    if (spelt !== undefined && !isPart) return this.#say(spelt)
    const isPicture = isPart || PICTURE.test(character)
    const joinsNothing = JOINER.test(character) && (this.#skipped !== '' || !JOINED.test(this.#said))
    if (!isPicture && !joinsNothing && !INVISIBLE.test(character)) return this.#say(character)
    this.#hasGap ||= isPicture
    this.#skipped = character
    return ''
  }

  // CRLF is one break. Of a carriage return is remembered that it was one.
  #break (character: string): string {
    const isSecondHalf = character === '\n' && this.#said === '\r'
    this.#say(character)
    return isSecondHalf ? '' : '\n'
  }

  // "Hi 👋 there" has one space too many without its picture, "Hi👋there" one too few.
  #say (character: string): string {
    const hadGap = this.#hasGap
    const before = this.#said
    this.#skipped = ''
    this.#hasGap = false
    if (hadGap && character === ' ' && /(?:^|\s)$/.test(before)) return ''
    this.#said = character
    return hadGap && /[\p{L}\p{N}]$/u.test(before) && /^[\p{L}\p{N}]/u.test(character) ? ` ${character}` : character
  }
}
