/**
 * Retell's `update_only` frames: the whole transcript so far with word timings, sent again and again while people speak.
 */
import { retellUtterance } from './transcript.js'

const WORDS = 'the parcel left our depot on Monday and is now with the driver who should be at your door before noon'.split(' ')

/**
 * Frames of about so many bytes. Each is a little longer than the one before, as in a call, so that no two are equal.
 * Made beforehand: the load generator must not become what is measured.
 */
export function updateFrames (bytes: number, count: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => updateFrame(bytes, i))
}

function updateFrame (bytes: number, extraWords: number): Buffer {
  const utterances: string[] = []
  for (let size = 100, at = 0; size < bytes; at++) {
    const words = WORDS.slice(0, 5 + at % (WORDS.length - 5)).join(' ')
    utterances.push(retellUtterance(at % 2 === 0 ? 'agent' : 'user', words, at * 7))
    size += utterances.at(-1)?.length ?? 0
  }
  utterances.push(retellUtterance('user', WORDS.slice(0, 1 + extraWords % WORDS.length).join(' '), utterances.length * 7))
  const floor = extraWords === 0 ? '"turntaking":"user_turn",' : ''
  return Buffer.from(`{"interaction_type":"update_only",${floor}"transcript":[${utterances.join(',')}]}`)
}
