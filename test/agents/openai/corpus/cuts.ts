/**
 * Eleven ways in which the bytes of an answer reach the agent. What is heard is the same in all of them.
 */
import type { Recording } from './recording.js'

/** What a server does behind the last byte: ends the response, leaves it open, or closes the connection within it. */
export type Ending = 'end' | 'open' | 'close'

/** Bytes to be written one after the other. */
export interface Delivery {
  readonly pieces: readonly Buffer[]
  readonly ending: Ending
}

/** A way to deliver the answer. */
export interface Cut {
  readonly name: string
  deliver (recording: Recording): Delivery
}

/** The bytes of an answer, as its server writes them. */
export function bytesOf ({ events }: Recording): string {
  return events.map(event => typeof event === 'string' ? event : `data: ${JSON.stringify(event)}\n\n`).join('')
}

function delivered (pieces: ReadonlyArray<string | Buffer>, ending: Ending = 'end'): Delivery {
  return { pieces: pieces.map(piece => Buffer.from(piece as string)).filter(({ length }) => length > 0), ending }
}

function eventsIn (text: string): string[] {
  return text.split(/(?<=\n\n)/)
}

/** Cuts ahead of each byte that fits. */
function cutAhead (text: string, fits: (byte: number, before: number) => boolean): Buffer[] {
  const bytes = Buffer.from(text)
  const places = [0, ...Array.from(bytes.keys()).filter(at => at > 0 && fits(bytes[at]!, bytes[at - 1]!)), bytes.length]
  return places.slice(1).map((to, index) => bytes.subarray(places[index], to))
}

const CR = 13

// Where nothing marks the end, only the end of the response does.
function endingOf ({ hasEnd = true }: Recording, ending: Ending): Ending {
  return hasEnd ? ending : 'end'
}

export const cuts: readonly Cut[] = [
  { name: 'in one piece', deliver: recording => delivered([bytesOf(recording)]) },
  { name: 'an event at a time', deliver: recording => delivered(eventsIn(bytesOf(recording))) },
  { name: 'several events at a time', deliver: recording => delivered(bytesOf(recording).match(/(?:.*?\n\n){1,3}|.+$/gs)!) },
  { name: 'one byte at a time', deliver: recording => delivered(cutAhead(bytesOf(recording), () => true)) },
  { name: 'cut within characters', deliver: recording => delivered(cutAhead(bytesOf(recording), byte => byte >= 0x80 && byte < 0xC0)) },
  { name: 'with CRLF, cut between CR and LF', deliver: recording => delivered(cutAhead(bytesOf(recording).replaceAll('\n', '\r\n'), (_byte, before) => before === CR)) },
  { name: 'with CR alone', deliver: recording => delivered(cutAhead(bytesOf(recording).replaceAll('\n', '\r'), (_byte, before) => before === CR)) },
  { name: 'with comments between events', deliver: recording => delivered(eventsIn(bytesOf(recording).replaceAll('\n\n', '\n\n: ping\n\n:\n'))) },
  { name: 'without the mark of the end', deliver: recording => delivered([bytesOf(recording).replace(/data: ?\[DONE\]\n\n$/, '').trimEnd()]) },
  { name: 'and then left open', deliver: recording => delivered([bytesOf(recording)], endingOf(recording, 'open')) },
  { name: 'and then cut off', deliver: recording => delivered(eventsIn(bytesOf(recording)), endingOf(recording, 'close')) }
]
