/** JSON text that arrives in pieces, possibly thousands. Each piece is scanned once, and the text is parsed at most once. */
export class GrowingJson {
  #text = ''
  #latest = ''
  #isCumulative = true
  #depth = 0
  #isInString = false
  #isEscaped = false
  /** True once the outermost bracket is closed. */
  #isClosed = false
  #isComplete: boolean | undefined

  /** All pieces. */
  get text (): string {
    return this.#text
  }

  /** The last piece, if each piece repeats the one before it, as some servers write them; undefined otherwise. */
  get cumulated (): string | undefined {
    return this.#isCumulative ? this.#latest : undefined
  }

  add (piece: string): void {
    this.#text += piece
    if (piece !== '') {
      this.#isCumulative &&= piece.startsWith(this.#latest)
      this.#latest = BLANK.has(piece) ? '' : piece
    }
    for (let at = 0; at < piece.length && !this.#isClosed; at++) this.#read(piece.charCodeAt(at))
  }

  /** True for one complete object or list. Decided at the first read after the outermost bracket closed. */
  get isComplete (): boolean {
    return this.#isClosed && (this.#isComplete ??= isJson(this.#text))
  }

  #read (unit: number): void {
    if (this.#isEscaped) this.#isEscaped = false
    else if (unit === QUOTE) this.#isInString = !this.#isInString
    else if (this.#isInString) this.#isEscaped = unit === BACKSLASH
    else if (unit === OPEN_LIST || unit === OPEN_OBJECT) this.#depth++
    else if (unit === CLOSE_LIST || unit === CLOSE_OBJECT) this.#isClosed = --this.#depth <= 0
  }
}

function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Pieces that servers write ahead of the arguments. */
const BLANK: ReadonlySet<string> = new Set(['{}', 'null', ' '])
const QUOTE = 34
const OPEN_LIST = 91
const BACKSLASH = 92
const CLOSE_LIST = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125
