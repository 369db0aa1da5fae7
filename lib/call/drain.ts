import { within } from '../timing/timeout.js'
import type { CallRegistry } from './registry.js'
import type { LiveCall } from './call.js'

// As long as most answers take to be written.
const LAST_TURN_MS = 3_000

/**
 * Brings the live calls of a closing server to their end, or to another node. Resolves when none is left here, or
 * `timeoutMs` and a last turn of at most 3,000 ms later.
 * @param timeoutMs how long calls may go on
 */
export async function drain (calls: CallRegistry<LiveCall>, timeoutMs: number): Promise<void> {
  for (const call of [...calls]) call.stopWaiting()
  await within(timeoutMs, calls.empty())
  for (const call of [...calls]) call.leave()
  await within(Math.min(timeoutMs, LAST_TURN_MS), calls.empty())
  for (const call of [...calls]) call.drop()
}
