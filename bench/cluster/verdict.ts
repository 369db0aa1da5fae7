/**
 * What became of the calls of one run.
 */
import type { Office } from '../../test/helpers/real-cluster/office.js'

/** What a call must not meet. */
export const FAULTS = [
  'lost', 'unanswered', 'greeted twice', 'state lost', 'booked twice', 'booking missing', 'wrong words', 'finding', 'ended twice'
] as const

export type Fault = typeof FAULTS[number]

/** One of them. */
export interface Violation {
  readonly fault: Fault
  readonly call: string
  readonly what: string
  /** By the clock of `performance`, in ms. */
  readonly atMs: number
}

/** How long a caller waited for the first word of an answer, from the first time they asked. */
export interface Wait {
  readonly atMs: number
  readonly ms: number
}

/** Something that is to be booked. */
export interface Wish {
  readonly call: string
  readonly slot: string
  /** What the caller heard of it: undefined where the call ended before. */
  said: 'booked' | 'unknown' | undefined
}

/** Shared by all calls of a run. */
export class Verdict {
  readonly violations: Violation[] = []
  readonly waits: Wait[] = []
  readonly wishes: Wish[] = []
  /** How long a call was without a connection, in ms: from its end to the first frame on the next one. */
  readonly gapsMs: number[] = []
  calls = 0
  answers = 0
  /** Answers that were cut off, and asked for again. */
  cut = 0
  /** Calls whose greeting was lost with its node. */
  ungreeted = 0
  /** Answers that ended in an apology, as their node had been frozen. */
  apologies = 0
  /** When connections broke, or were given up as nobody answered on them, by call. */
  readonly broken = new Map<string, number[]>()
  redials = 0

  found (fault: Fault, call: string, what: string, atMs = performance.now()): void {
    this.violations.push({ fault, call, what, atMs })
  }

  /** To be called once, when no node can do anything any more. */
  settle (office: Office): void {
    for (const { call, slot, said } of this.wishes) {
      const made = office.bookingsOf(call, slot)
      if (made.length > 1) this.found('booked twice', call, `${slot}, ${made.length} times`, made[1]!.atMs)
      if (made.length === 0 && said === 'booked') this.found('booking missing', call, slot)
    }
    const ended = new Set<string>()
    for (const call of office.ends) {
      if (ended.has(call)) this.found('ended twice', call, 'the app was told so')
      ended.add(call)
    }
  }
}
