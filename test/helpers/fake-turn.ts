import type { Call, Turn } from '../../lib/agent.js'
import { TurnAbortedError, type AbortReason } from '../../lib/errors.js'

/** A turn for an agent that is tested without a call. Its test aborts it. */
export interface FakeTurn extends Turn {
  abort (reason?: AbortReason): void
}

/** A response to a caller who said `Hi`, unless told otherwise. */
export function fakeTurn (overrides: Partial<Turn> = {}): FakeTurn {
  const controller = new AbortController()
  return {
    id: 1,
    reason: 'response',
    call: {} as Call,
    transcript: [],
    messages: [{ role: 'user', content: 'Hi' }],
    signal: controller.signal,
    log: {} as Turn['log'],
    ...overrides,
    abort: (reason = 'superseded') => controller.abort(new TurnAbortedError(reason))
  }
}
