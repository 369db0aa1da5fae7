import type { Call, Turn } from '../../lib/contract/agent.js'
import { TurnAbortedError, type AbortReason } from '../../lib/contract/errors.js'

/** A turn for an agent that is tested without a call. Its test aborts it. */
export interface FakeTurn extends Turn {
  abort (reason?: AbortReason): void
}

// What is logged is not looked at.
const SILENT = { child: () => SILENT, debug () {}, info () {}, warn () {}, error () {} } as unknown as Turn['log']

/** A response to a caller who said `Hi`, unless told otherwise. */
export function fakeTurn (overrides: Partial<Turn> = {}): FakeTurn {
  const controller = new AbortController()
  return {
    id: 1,
    reason: 'response',
    call: { completedTurns: 0, record: () => true, waitUntil: () => {}, countTokens: () => {} } as unknown as Call,
    transcript: [],
    messages: [{ role: 'user', content: 'Hi' }],
    signal: controller.signal,
    log: SILENT,
    ...overrides,
    abort: (reason = 'superseded') => controller.abort(new TurnAbortedError(reason))
  }
}
