import { StringDecoder } from 'node:string_decoder'

/**
 * Reads server-sent events. The result is the data of each event; an error that a server reports in another way is returned
 * as an event with the data `{"error":…}`. Bytes may be split anywhere. Lines end in LF or CRLF, or in CR alone where the
 * first line of the stream does.
 *
 * Servers deviate from the standard, so these are read, too: events that are one line end apart, lines of JSON without
 * `data:`, an `error:` field, and a body that is JSON and no stream. A server whose last event lacks its blank line needs
 * {@link EventStream.end}.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export class EventStream {
  readonly #decoder = new StringDecoder('utf8')
  #line = ''
  #isFresh = true
  /** How lines end is known by the end of the first one. */
  #isFirstLine = true
  /** The last character of the first line so far is a CR, and the next one decides. */
  #hasHeldReturn = false
  #endsInReturn = false
  #data: string | undefined
  /** Is the data a single line? */
  #isLine = true
  #isError = false
  /** Does each line of data hold a whole event? */
  #isDense = false
  /** JSON outside of any field. */
  #bare: string | undefined
  #hasData = false
  #isAlien = false

  /** Was there a line of data? Otherwise the server has sent something else than events. */
  get hasData (): boolean {
    return this.#hasData
  }

  /** The data of the events that are complete with these bytes. */
  read (bytes: Buffer): string[] {
    const piece = this.#decode(bytes)
    const events: string[] = []
    const first = piece.indexOf('\n')
    // Only the new piece is searched: a long line in many pieces would otherwise be read through once for each of them.
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

  /** The data of the event that the end of the stream completes. Call it once, and only where the stream was not cut. */
  end (): string[] {
    const events: string[] = []
    this.#readLine(this.#line, 0, this.#line.endsWith('\r') ? this.#line.length - 1 : this.#line.length, events)
    this.#dispatch(events)
    if (this.#bare !== undefined) events.push(this.#bare)
    return events
  }

  #decode (bytes: Buffer): string {
    const piece = this.#decoder.write(bytes)
    if (this.#isFirstLine) return this.#readStart(piece)
    return this.#endsInReturn ? piece.replaceAll('\r', '\n') : piece
  }

  #readStart (piece: string): string {
    if (piece === '') return piece
    const hasMark = this.#isFresh && piece.charCodeAt(0) === BYTE_ORDER_MARK
    const text = (this.#hasHeldReturn ? '\r' : '') + (hasMark ? piece.slice(1) : piece)
    this.#isFresh = false
    const end = text.search(/[\r\n]/)
    if (end === -1) return text
    const isReturn = text[end] === '\r'
    this.#hasHeldReturn = isReturn && end === text.length - 1
    if (this.#hasHeldReturn) return text.slice(0, -1)
    this.#isFirstLine = false
    this.#endsInReturn = isReturn && text[end + 1] !== '\n'
    return this.#endsInReturn ? text.replaceAll('\r', '\n') : text
  }

  #readLine (text: string, from: number, end: number, events: string[]): void {
    if (from >= end) return this.#dispatch(events)
    if (!text.startsWith('data:', from)) return this.#readOther(text.slice(from, end), events)
    this.#readData(text.slice(text.charCodeAt(from + 5) === SPACE ? from + 6 : from + 5, end), events)
  }

  #readData (data: string, events: string[]): void {
    this.#hasData = true
    if (this.#data === undefined) {
      this.#data = data
      this.#isLine = true
    } else if (this.#isLine && isWhole(data) && isWhole(this.#data)) {
      // Joined they would be no JSON.
      events.push(this.#data)
      this.#data = data
      this.#isDense = true
    } else {
      this.#data += `\n${data}`
      this.#isLine = false
    }
    if (this.#isDense && isWhole(data)) this.#dispatch(events)
  }

  #readOther (line: string, events: string[]): void {
    if (ERROR_EVENT.test(line)) {
      this.#isError = true
    } else if (line.startsWith('error:')) {
      this.#hasData = true
      events.push(failure(line.slice('error:'.length).trim()))
    } else if (this.#bare !== undefined) {
      this.#bare += `\n${line}`
    } else if (!this.#isAlien && /^\s*[{[]/.test(line)) {
      if (isWhole(line)) events.push(line)
      else this.#bare = line
    } else if (!FIELD.test(line)) {
      // The page of a proxy may have lines that look like JSON.
      this.#isAlien = !this.#hasData
    }
  }

  #dispatch (events: string[]): void {
    if (this.#isError) events.push(failure(this.#data ?? ''))
    else if (this.#data !== undefined) events.push(this.#data)
    this.#data = undefined
    this.#isError = false
  }
}

/** Does it look like a whole object, or like the mark of the end? */
function isWhole (data: string): boolean {
  const text = data.trim()
  return (text.startsWith('{') && text.endsWith('}')) || text === '[DONE]'
}

function failure (text: string): string {
  return `{"error":${text.trimStart().startsWith('{') ? text : JSON.stringify(text)}}`
}

const ERROR_EVENT = /^event: ?error\s*$/
const FIELD = /^(?::|data$|event|id|retry)/
const BYTE_ORDER_MARK = 0xFEFF
const CARRIAGE_RETURN = 13
const SPACE = 32
