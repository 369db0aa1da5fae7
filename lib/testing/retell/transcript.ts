/**
 * Transcripts in Retell's format, with tool calls in their places.
 */
import type { JsonObject } from '../../contract/json.js'
import type { Spoken } from '../caller-events.js'
import { wordsOf, type Reply } from '../reply.js'

const MS_PER_WORD = 300

/** Tool calls and results, each with its place: after this many utterances, and after the heard words of a reply. */
export class ToolEntries {
  readonly #entries: Array<{ readonly entry: object, readonly utterances: number, readonly reply: Reply | undefined }> = []

  /** @param reply the current one, of which the caller may have heard words */
  add (entry: object, utterances: number, reply: Reply | undefined): void {
    const isSpeaking = reply?.isOver === false && reply.text.trim() !== ''
    this.#entries.push({ entry, utterances, reply: isSpeaking ? reply : undefined })
  }

  /** Inserts the entries between the utterances before and after them. */
  insertInto (transcript: readonly object[]): object[] {
    const all = [...transcript]
    for (const { entry, utterances, reply } of this.#entries.toReversed()) {
      const wasHeard = Boolean(reply?.heard?.trim())
      all.splice(utterances + (wasHeard ? 1 : 0), 0, entry)
    }
    return all
  }
}

/** Utterances with the timing of each word, in seconds. */
export function toUtterances (spoken: readonly Spoken[]): JsonObject[] {
  let count = 0
  return spoken.map(({ role, content }) => ({
    role,
    content,
    words: wordsOf(content).map(word => {
      const start = count++
      return { word: word.trim(), start: start * MS_PER_WORD / 1000, end: count * MS_PER_WORD / 1000 }
    })
  }))
}
