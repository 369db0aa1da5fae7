import { StringDecoder } from 'node:string_decoder'

/**
 * Reads server-sent events, of which nothing but the data is wanted: lines end in LF or CRLF, an event ends in a blank
 * line, and what an answer is cut off in is none. Bytes may be split anywhere.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export class EventStream {
  readonly #decoder = new StringDecoder('utf8')
  #line = ''
  #isFresh = true
  #data: string | undefined

  /** The data of the events that are complete with these bytes. */
  read (bytes: Buffer): string[] {
    const piece = this.#decode(bytes)
    const events: string[] = []
    const first = piece.indexOf('\n')
    // Looked for in what is new alone: a long line in many pieces would be read through once for each of them.
    if (first === -1) {
      this.#line += piece
      return events
    }
    const text = this.#line + piece
    let from = 0
    for (let end = this.#line.length + first; end !== -1; end = text.indexOf('\n', from)) {
      this.#readLine(text, from, text.charCodeAt(end - 1) === CARRIAGE_RETURN ? end - 1 : end, events)
      from = end + 1
    }
    this.#line = text.slice(from)
    return events
  }

  #decode (bytes: Buffer): string {
    const piece = this.#decoder.write(bytes)
    if (!this.#isFresh || piece === '') return piece
    this.#isFresh = false
    return piece.charCodeAt(0) === BYTE_ORDER_MARK ? piece.slice(1) : piece
  }

  #readLine (text: string, from: number, end: number, events: string[]): void {
    if (from >= end) {
      if (this.#data !== undefined) events.push(this.#data)
      this.#data = undefined
    } else if (text.startsWith('data:', from)) {
      const data = text.slice(text.charCodeAt(from + 5) === SPACE ? from + 6 : from + 5, end)
      this.#data = this.#data === undefined ? data : `${this.#data}\n${data}`
    }
  }
}

const BYTE_ORDER_MARK = 0xFEFF
const CARRIAGE_RETURN = 13
const SPACE = 32
