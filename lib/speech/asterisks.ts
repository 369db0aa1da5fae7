/**
 * Distinguishes the asterisks of markdown from a key, a code to dial or arithmetic. The closing asterisk is too far away to wait for, but
 * the characters on both sides nearly always suffice.
 */

// A half of a surrogate pair is one of a letter: pictures are gone.
const LETTER = /^[\p{L}\p{N}\p{M}\p{Cs}]/u
const LATIN = /[a-z\d\u00c0-\u024f]/i
const QUOTE = /["'„‚\p{Pi}\p{Pf}]/u
const CLOSING = /[\p{Pe}.,;:!?/…。，、！？；：]/u
/** On both sides, where nothing is closed. German closes a quote with what opens an English one. */
const AHEAD = /^(?:\s|\p{Ps}|\p{Pi}[\p{L}\p{N}\p{M}\p{Pf}])/u

/** Where a word goes on behind them: its end, or their partner. */
const UNFINISHED_WORD = /^[\p{L}\p{N}\p{M}]{0,20}$/u
const MARKED_WORD = /^[\p{L}\p{N}\p{M}]{1,20}\*/u

interface Code { isWritten: RegExp, mayCome: RegExp }

// *67, *67#, *21*5, *#06#; but *9:30*, *12.50*, *3 slots*, *30 minutes*, *#1 choice*.
const CODE: Code = {
  isWritten: /^(?:#(?:\d+(?:[#*]|$)|[^\p{L}\d]|$)|\d+(?:$|\n|#|\*\d|[.,:](?![\d*])|[\p{Pe}\p{Pf}"'!?;…。，、！？；：_~`])|\d{2,4} (?![\p{L}\p{M}.']{1,20}\*))/u,
  mayCome: /^(?:#?\d*|\d+[.,:*]|\d{2,4} [\p{L}\p{M}.']{0,20})$/u
}
// **21*5, **62#; but **9:30**, **30 minutes**.
const CODE_OF_TWO: Code = { isWritten: /^\d+(?:#|\*\d)/, mayCome: /^\d+\*?$/ }

/** The asterisks of one text. */
export class Asterisks {
  /** One for `*`, two for `**`, three for both. */
  #open = 0

  endLine (): void {
    this.#open = 0
  }

  /** Are so many of them text? `rest` is what follows, as far as it is known. Undefined: more of it tells. */
  areText (count: number, before: string, rest: string, isEnd: boolean): boolean | undefined {
    const kind = Math.min(count, 3)
    const after = rest[0] ?? ''
    const both = (pattern: RegExp): boolean => pattern.test(before) && pattern.test(after)
    // 3 * 4, 3*4, 2**3
    if (both(/^\s?$/) || both(/\d/)) return true
    // f*ck, 5*x, (a+b)*c
    if (count === 1 && (both(LATIN) || (/[)\]}]/.test(before) && LATIN.test(after)))) return true
    if ((this.#open & kind) !== 0 && !AHEAD.test(before + after)) {
      this.#open &= ~kind
      return false
    }
    const areText = opensNothing(count, before, rest, isEnd)
    if (areText === false) this.#open |= kind
    return areText
  }
}

function opensNothing (count: number, before: string, rest: string, isEnd: boolean): boolean | undefined {
  const after = rest[0] ?? ''
  const isOne = count === 1
  const code = isOne ? CODE : CODE_OF_TWO
  if (/[\d#]/.test(after)) {
    if (!isEnd && code.mayCome.test(rest)) return undefined
    if (code.isWritten.test(rest)) return true
  }
  if (LETTER.test(before) && LETTER.test(after)) {
    // In scripts without blanks between words "f**k" does not occur, and emphasis must not be late.
    if (!isOne && !(LATIN.test(before) && LATIN.test(after))) return false
    if (!isEnd && UNFINISHED_WORD.test(rest)) return undefined
    return !MARKED_WORD.test(rest)
  }
  if (!isOne) return false
  if (/^\s?$/.test(after) || LETTER.test(before)) return true
  if (!QUOTE.test(after)) return CLOSING.test(after)
  if (rest.length === 1 && !isEnd) return undefined
  return QUOTE.test(before) || !LETTER.test(rest.slice(1))
}
