/**
 * A conversation as a provider repeats it in every request.
 */

/** Turns one utterance into JSON text; `startSec` is the time in the call at which it began. */
type UtteranceEncoder = (role: 'agent' | 'user', content: string, startSec: number) => string

/**
 * The transcript grows up to a window, so that the work of a turn stays the same however many turns a run manages. The
 * utterances are encoded once: the load generator must not become what is measured.
 */
export class Transcript {
  readonly #encode: UtteranceEncoder
  readonly #window: number
  #utterances: string[] = []
  #clockSec = 0

  constructor (encode: UtteranceEncoder, window = 8) {
    this.#encode = encode
    this.#window = window
  }

  add (role: 'agent' | 'user', content: string): void {
    if (content === '') return
    this.#utterances.push(this.#encode(role, content, this.#clockSec))
    if (this.#utterances.length > this.#window) this.#utterances = this.#utterances.slice(-this.#window)
    this.#clockSec += content.length / 15
  }

  /** The JSON array. */
  toString (): string {
    return `[${this.#utterances.join(',')}]`
  }
}

/** Retell: with the timing of every word. */
export const retellUtterance: UtteranceEncoder = (role, content, startSec) => {
  let at = startSec
  const words = content.split(' ').map(word => {
    const start = at
    at += 0.1 + word.length / 20
    return { word, start: round(start), end: round(at) }
  })
  return JSON.stringify({ role, content, words })
}

/** Millis: a chat history. */
export const millisUtterance: UtteranceEncoder = (role, content) => {
  return JSON.stringify({ role: role === 'agent' ? 'assistant' : 'user', content })
}

function round (seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}
