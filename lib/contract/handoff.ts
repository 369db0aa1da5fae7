/**
 * What of a call another node needs to go on with it: who writes it down, and who reads it.
 */
import type { Call } from './agent.js'

/** What a part of a call, such as its ledger of tools, leaves behind. Nothing of it throws or waits. */
export interface Handover {
  /** What an earlier node left, by name. */
  readonly fields: Readonly<Record<string, string>>
  /**
   * Until it has settled it is not known what an earlier node did, though there was one: what must not be done twice
   * waits. Undefined where all is known. Never rejects.
   */
  readonly uncertain: Promise<void> | undefined
  /** An earlier node may have done what it could not write any more. */
  readonly isIncomplete: boolean
  /** Leaves something behind, before whatever comes next. */
  save (fields: Readonly<Record<string, string>>): void
  /** The same for what is true whoever has the call by now: that node is told. */
  report (fields: Readonly<Record<string, string>>): void
  /** Has a listener told what an earlier node reports. */
  onReport (listener: (fields: Readonly<Record<string, string>>) => void): void
}

const handovers = new WeakMap<Call, Handover>()

/** Undefined where there is no other node. */
export function handoverOf (call: Call): Handover | undefined {
  return handovers.get(call)
}

/** To be told before anybody asks. */
export function setHandover (call: Call, handover: Handover): void {
  handovers.set(call, handover)
}
