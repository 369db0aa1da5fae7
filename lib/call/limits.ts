/**
 * The ceilings of one call: what it may cost before it is ended with a goodbye.
 */
import type { Call } from '../contract/agent.js'
import { findLine } from '../speech/line.js'
import type { CallCeiling } from '../telemetry/refusals.js'

/** What is said before a call that reached a ceiling is ended: a line, or a function that finds one. `''` is silence. */
export type Goodbye = string | ((call: Call, limit: CallCeiling) => string)

/** Infinity is no ceiling. */
export interface CallLimits extends Readonly<Record<CallCeiling, number>> {
  /** Never throws. */
  goodbye (call: Call, limit: CallCeiling): string
}

const GOODBYE = 'I am sorry, we have to end our call here. Goodbye.'

/** Makes a function that always has a line, also where the app's own function fails. */
export function createGoodbye (goodbye: Goodbye = GOODBYE): CallLimits['goodbye'] {
  if (typeof goodbye === 'string') return () => goodbye
  return (call, limit) => findLine(call.log, 'goodbye', () => goodbye(call, limit)) ?? GOODBYE
}
