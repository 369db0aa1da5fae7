import type { Utterance } from '../contract/agent.js'
import type { CallRecord, CallSummary } from '../telemetry/report.js'
import type { LiveTurn } from './turn.js'

/** What had been heard by the last that is known of a call. Nothing of it is put together before somebody reads it. */
export class LastHeard {
  #read: () => readonly Utterance[] = () => []

  /** The provider tells of it. */
  updated (transcript: readonly Utterance[]): void {
    this.#read = () => transcript
  }

  /** A turn is over. What it said the provider had no occasion to report. */
  turnEnded (turn: LiveTurn): void {
    this.#read = () => turn.floor.text === '' ? turn.transcript : [...turn.transcript, { role: 'agent', content: turn.floor.text }]
  }

  /** The call is over. */
  summary (record: CallRecord): CallSummary {
    const read = this.#read
    return { ...record, get transcript () { return read() } }
  }
}
