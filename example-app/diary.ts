/**
 * Appointments, in memory. Yours are in a database, or behind somebody's API.
 */
import { ToolError } from 'fastify-voice-agent'

const OPENING_TIMES = {
  Monday: ['9 am', '11 am', '3 pm'],
  Tuesday: ['9 am', '2 pm'],
  Wednesday: ['4 pm'],
  Thursday: ['10 am', '11 am', '5 pm'],
  Friday: ['9 am', '10 am']
}

/** The days of the diary, as it wants them written. */
export const DAYS = Object.keys(OPENING_TIMES)

/** One week of one desk. */
export class Diary {
  readonly #free = new Map<string, readonly string[]>(Object.entries(OPENING_TIMES))
  /** By the idempotency key that each was booked with. */
  readonly #booked = new Map<string, string>()

  /** The times of a day that nobody has booked. */
  free (day: string): readonly string[] {
    const times = this.#free.get(day)
    if (times === undefined) throw new ToolError(`we are closed on ${day}`)
    return times
  }

  /** Books a free time. Whoever asks again with the same key has it already. */
  book (day: string, time: string, key: string): string {
    const before = this.#booked.get(key)
    if (before !== undefined) return before
    const slot = `${day} at ${time}`
    const free = this.free(day)
    if (!free.includes(time)) throw new ToolError(`${slot} is not free`)
    this.#free.set(day, free.filter(other => other !== time))
    this.#booked.set(key, slot)
    return slot
  }
}
