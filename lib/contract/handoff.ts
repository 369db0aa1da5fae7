/**
 * The state of a call that another node needs to continue it: the interface by which parts of a call write and read it.
 */
import type { Call } from './agent.js'

/** Where a part of a call, such as its ledger of tools, stores its state. No member throws or waits. */
export interface Handover {
  /** The fields that an earlier node saved. */
  readonly fields: Readonly<Record<string, string>>
  /**
   * Pending while the state of an earlier node is being read: anything that must not run twice waits for it. Undefined if the state is
   * known. Never rejects.
   */
  readonly uncertain: Promise<void> | undefined
  /** True if an earlier node may have done work that it could not save. */
  readonly isIncomplete: boolean
  /** Saves fields, ahead of everything that is saved later. */
  save (fields: Readonly<Record<string, string>>): void
  /** Saves fields even if another node has the call by now; that node is notified. */
  report (fields: Readonly<Record<string, string>>): void
  /** Calls the listener with the fields that an earlier node reports. */
  onReport (listener: (fields: Readonly<Record<string, string>>) => void): void
}

const handovers = new WeakMap<Call, Handover>()

/** Undefined if there is no cluster. */
export function handoverOf (call: Call): Handover | undefined {
  return handovers.get(call)
}

/** Must be called before the first {@link handoverOf} of the call. */
export function setHandover (call: Call, handover: Handover): void {
  handovers.set(call, handover)
}
