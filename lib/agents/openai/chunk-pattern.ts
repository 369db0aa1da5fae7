/** Something else than a plain character of a JSON string. */
const ODD = /[\\\u0000-\u001f]/ // eslint-disable-line no-control-regex

/** Where the words are. In valid JSON that is a key and the beginning of its value, as quotes within strings are escaped. */
const CONTENT = '"content":"'

/** Padding that OpenAI puts behind each word, so that the length of a chunk does not tell its word. */
const PADDING = '"obfuscation":"'

// A server whose chunks are all different is not studied for long.
const MAX_LESSONS = 5

/**
 * Reads the words of a chunk that differs from an earlier one in nothing else: in one answer of a model's some 250 bytes are
 * repeated around every word, and to parse them anew costs more than the rest of a word does. Made for one answer.
 */
export class ChunkPattern {
  readonly #wordsOf: (chunk: unknown) => string
  /** What is always the same. Between the parts are the words, and the padding. */
  #parts: readonly string[] = []
  #lessons = 0
  /** What was told of, and is studied once another chunk comes: the first words of an answer do not wait for that. */
  #lesson: { readonly data: string, readonly words: string } | undefined

  /** @param wordsOf reads the words of a parsed chunk */
  constructor (wordsOf: (chunk: unknown) => string) {
    this.#wordsOf = wordsOf
  }

  /** The words of a chunk; undefined where it has to be parsed. */
  read (data: string): string | undefined {
    if (this.#lesson !== undefined) this.#study(this.#lesson)
    const [head, ...rest] = this.#parts
    if (head === undefined || !data.startsWith(head)) return undefined
    let words: string | undefined
    let from = head.length
    for (const part of rest) {
      const end = data.indexOf('"', from)
      const gap = data.slice(from, end)
      if (end === -1 || ODD.test(gap) || !data.startsWith(part, end)) return undefined
      words ??= gap
      from = end + part.length
    }
    // Where there are none the parser looks elsewhere.
    return from === data.length && words !== '' ? words : undefined
  }

  /** To be told of a chunk that was parsed, and had these words as its content and nothing else of interest. */
  learn (data: string, words: string): void {
    this.#lesson = { data, words }
  }

  #study ({ data, words }: { readonly data: string, readonly words: string }): void {
    this.#lesson = undefined
    if (words === '' || words.includes('"') || ODD.test(words) || ++this.#lessons > MAX_LESSONS) return
    const at = data.indexOf(`${CONTENT}${words}"`) + CONTENT.length
    if (at < CONTENT.length) return
    const head = data.slice(0, at)
    const tail = data.slice(at + words.length)
    // There may be more than one content.
    const other = `${words}.`
    if (this.#wordsOf(JSON.parse(head + other + tail)) !== other) return
    const padding = tail.indexOf(PADDING) + PADDING.length
    this.#parts = padding < PADDING.length ? [head, tail] : [head, tail.slice(0, padding), tail.slice(tail.indexOf('"', padding))]
  }
}
