import type { TerminalAction } from '../contract/agent.js'
import { atLoopEnd } from '../timing/loop-end.js'
import { hasSentence } from '../speech/sentence.js'
import { lacks, type Codec, type SpeechOptions, type TurnId } from '../providers/codec.js'
import type { Place, Spoken, ToolRecord } from './spoken.js'

/** Where frames go. */
export interface Outlet {
  send (frame: string): void
}

/** One turn's right to speak, and what it did with it. Made by a turn, written by the {@link Speaker} alone. */
export class Floor implements Spoken {
  readonly id: TurnId
  /** All that was said, with what is about to leave. */
  text = ''
  /** Stretches of it that were said in passing. */
  readonly inPassing: Array<readonly [from: number, to: number]> = []
  readonly tools: ToolRecord[] = []
  place: Place | undefined
  // When, by `performance.now()`.
  /** The first words of the answer left, or those said in its stead. */
  firstSaidAt: number | undefined
  /** The first words left that were said in passing. */
  firstFillerAt: number | undefined
  /** The first sentence of the answer was complete. */
  firstSentenceAt: number | undefined
  lastSentAt: number | undefined
  frames = 0
  /** Words that are ready and leave with the next frame. */
  pending = ''
  /** Has a word of the answer been said? Fillers are none. */
  answering = false
  /** The last piece that was said, with the two characters before it. */
  ending = ''
  /** Would a word said now run into the one before? */
  endsOpen = false
  /** Are the next words a part of their own? */
  isParted = false
  /** May the provider be waiting for the end of a sentence before it speaks? */
  isBegun = false

  constructor (id: TurnId) {
    this.id = id
  }

  /** How many characters were said. */
  get characters (): number {
    return this.text.length
  }
}

/**
 * The only writer to a socket. A word leaves only if its turn still has the floor. The first one leaves at once; of the
 * others those that are ready when the event loop has dealt with all that it read leave in one frame.
 */
export class Speaker {
  readonly #outlet: Outlet
  readonly #codec: Codec
  #floor: Floor | undefined
  #due = false

  constructor (outlet: Outlet, codec: Codec) {
    this.#outlet = outlet
    this.#codec = codec
  }

  /** Gives the floor to a turn. What an older one had not sent is dropped, and what it says from now on. */
  give (floor: Floor): void {
    this.#dropPending()
    this.#floor = floor
  }

  /** Takes the floor from a turn, if it is its own. */
  take (floor: Floor): void {
    if (floor !== this.#floor) return
    this.#dropPending()
    this.#floor = undefined
  }

  /** Says something, unless the turn lost the floor. */
  say (floor: Floor, text: string): void {
    if (floor !== this.#floor || text === '') return
    const first = !floor.answering
    floor.answering = true
    floor.isBegun = true
    const words = parted(floor, text)
    said(floor, words)
    answered(floor, words)
    floor.pending += words
    if (first) this.flush()
    else this.#schedule()
  }

  /** Says something that has properties of its own. What was ready goes with it, unless only the new words have them. */
  sayWith (floor: Floor, text: string, options: SpeechOptions): void {
    if (floor !== this.#floor) return
    if (options.uninterruptible) this.flush()
    const words = parted(floor, text)
    said(floor, words)
    answered(floor, words)
    this.#flushWith(floor, words, options)
  }

  /** Says something in passing, now, set apart from the words around it. */
  sayInPassing (floor: Floor, text: string): void {
    if (floor !== this.#floor || text === '') return
    const words = apart(floor, /\s$/.test(text) ? text : `${text} `)
    const from = floor.text.length
    said(floor, words)
    floor.firstFillerAt ??= performance.now()
    this.#flushWith(floor, words, { flush: true })
    floor.inPassing.push([from, floor.text.length])
  }

  /** Ends a part of what a turn says: nothing more will come for a while, so that it is spoken now, and set apart from what follows. */
  part (floor: Floor): void {
    if (floor !== this.#floor) return
    floor.isParted = true
    if (floor.isBegun && !lacks(this.#codec, 'flush')) this.sayWith(floor, '', { flush: true })
  }

  /**
   * Says a turn's last words, set apart from those before by a space, and takes the floor from it.
   * @param inPassing whether they are an apology
   * @returns frames that must wait until the words were played
   */
  complete (floor: Floor, text: string, action?: TerminalAction, inPassing = false): readonly string[] {
    if (floor !== this.#floor) return []
    const spoken = floor.characters > floor.pending.length
    const lastWords = apart(floor, text)
    const from = floor.text.length
    // Before the floor is gone: an action that cannot be written must not keep the turn from being completed without it.
    const frames = this.#codec.completion(floor.id, floor.pending + lastWords, spoken, action)
    this.#floor = undefined
    said(floor, lastWords)
    answered(floor, lastWords)
    if (floor.firstSaidAt !== undefined) floor.firstSentenceAt ??= performance.now()
    if (inPassing) floor.inPassing.push([from, floor.text.length])
    for (const frame of frames.now) this.#send(floor, frame)
    return frames.afterPlayback
  }

  /** Sends a frame that is not a turn's speech, behind the words that are ready. */
  send (frame: string): void {
    this.flush()
    this.#outlet.send(frame)
  }

  /** Sends the words that are ready. */
  flush (): void {
    this.#due = false
    const floor = this.#floor
    if (floor === undefined || floor.pending === '') return
    this.#send(floor, this.#codec.speech(floor.id, floor.pending))
    floor.pending = ''
  }

  #flushWith (floor: Floor, words: string, options: SpeechOptions): void {
    floor.isBegun = options.flush !== true
    this.#send(floor, this.#codec.speech(floor.id, floor.pending + words, options))
    floor.pending = ''
  }

  #send (floor: Floor, frame: string): void {
    this.#outlet.send(frame)
    floor.frames++
    floor.lastSentAt = performance.now()
  }

  // What never left was not said.
  #dropPending (): void {
    const floor = this.#floor
    if (floor === undefined || floor.pending === '') return
    floor.text = floor.text.slice(0, floor.text.length - floor.pending.length)
    floor.pending = ''
  }

  #schedule (): void {
    if (this.#due) return
    this.#due = true
    // What else the loop has read goes first: a caller who waits for a first word waits in silence, this one does not.
    atLoopEnd(this)
  }
}

function apart (floor: Floor, text: string): string {
  return floor.endsOpen && /^\S/.test(text) ? ` ${text}` : text
}

function parted (floor: Floor, text: string): string {
  if (!floor.isParted || text === '') return text
  floor.isParted = false
  return apart(floor, text)
}

function said (floor: Floor, text: string): void {
  if (text === '') return
  floor.text += text
  floor.ending = floor.ending.slice(-2) + text
  floor.endsOpen = /\S$/.test(text)
}

// Words of the answer are on their way.
function answered (floor: Floor, text: string): void {
  if (text === '' || floor.firstSentenceAt !== undefined) return
  // A sentence may end in one piece, and be known to have ended by the next one. Slicing the whole text would copy it for each piece.
  const ending = floor.firstSaidAt === undefined ? text : floor.ending
  floor.firstSaidAt ??= performance.now()
  if (hasSentence(ending)) floor.firstSentenceAt = performance.now()
}
