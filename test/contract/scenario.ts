/**
 * What may happen to a call: steps of a provider that sends whatever it likes, of agents, and of an app that interferes.
 */
import fc from 'fast-check'
import type { Provider } from '../../lib/contract/agent.js'
import type { CallCeiling } from '../../lib/telemetry/refusals.js'
import { command, script, type Command, type Script } from './puppet.js'

/** One thing that happens. */
export type Step =
  | { do: 'introduce', resumed: boolean, id: string | number | null, session: string }
  | { do: 'request', reminder: boolean, gap: number, id: string | number }
  | { do: 'stale', back: number }
  | { do: 'update', ours: boolean }
  | { do: 'keepalive', timestamp: number }
  | { do: 'interrupt' | 'played', whose: 'last' | 'other' | 'unknown' }
  | { do: 'malformed', which: number }
  | { do: 'unknown' }
  /** Nothing is known of it beforehand. */
  | { do: 'frame', text: string, binary: boolean }
  | { do: 'agent', back: number, commands: Command[] }
  | { do: 'interject', text: string }
  | { do: 'end', say: string }
  | { do: 'transfer', say: string, showCaller: boolean }
  | { do: 'sendMetadata' | 'updateAgent' }
  | { do: 'tick' | 'microtask' }
  | { do: 'pass', ms: number }
  | { do: 'release' }
  | { do: 'break' }
  | { do: 'redial' }
  /** Dials again while the older connection still stands. */
  | { do: 'overtake' }
  | { do: 'spend', tokens: number }
  | { do: 'pulse' }
  | { do: 'hang up' }

/** The ceilings of a call; those that are not there are out of reach. */
export type Ceilings = Partial<Record<CallCeiling, number>>

/** A whole call. */
export interface Scenario {
  provider: Provider
  onCallStart: 'none' | 'sync' | 'held' | 'throws' | 'ends'
  listens: boolean
  /** Are there deadlines, and a filler? */
  impatient: boolean
  limits: Ceilings
  scripts: Script[]
  steps: Step[]
}

/** Frames that no call may take notice of. */
export const MALFORMED: Record<Provider, Array<object | string | Buffer>> = {
  retell: [
    '', '{', '[]', 'null', '{}', Buffer.from('{}'), '{"interaction_type":5}',
    '{"interaction_type":"response_required"}',
    '{"interaction_type":"response_required","response_id":"999","transcript":[]}',
    '{"interaction_type":"response_required","response_id":999.5,"transcript":[]}',
    '{"interaction_type":"reminder_required","response_id":999}',
    '{"interaction_type":"call_details"}'
  ],
  millis: [
    '', '{', '[]', 'null', '{}', Buffer.from('{}'), '{"type":5}',
    '{"type":"stream_request","data":{"stream_id":5}}',
    '{"type":"stream_request","data":{"stream_id":null,"transcript":[]}}',
    '{"type":"stream_request","data":{"stream_id":{},"transcript":[]}}',
    '{"type":"start_call","data":{"stream_id":true}}',
    '{"type":"interrupt"}',
    '{"type":"playback_finished","data":{}}',
    '{"type":"partial_transcript"}'
  ]
}

const anyId = fc.constantFrom<string | number>(0, '', '0', 1, '1', -1, 2.5, 'stream')
const anyIdOrNone = fc.option(anyId)
const say = fc.constantFrom('', 'Bye.')
type Weighted = fc.WeightedArbitrary<Step>

const STEPS: readonly Weighted[] = [
  { weight: 4, arbitrary: fc.record({ do: fc.constant('introduce' as const), resumed: fc.boolean(), id: anyIdOrNone, session: fc.constantFrom('ses_1', 'ses_2', '') }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('request' as const), reminder: fc.boolean(), gap: fc.integer({ min: 1, max: 3 }), id: anyId }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stale' as const), back: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('update' as const), ours: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('keepalive' as const), timestamp: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('interrupt' as const, 'played' as const), whose: fc.constantFrom('last', 'other', 'unknown') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('malformed' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'unknown' }) },
  { weight: 16, arbitrary: fc.record({ do: fc.constant('agent' as const), back: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2) }), commands: fc.array(command, { maxLength: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('interject' as const), text: fc.constantFrom('Paid!', 'Paid!', '') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('end' as const), say }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('transfer' as const), say, showCaller: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'sendMetadata' }, { do: 'updateAgent' }) },
  { weight: 12, arbitrary: fc.constantFrom<Step>({ do: 'tick' }, { do: 'tick' }, { do: 'microtask' }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 1_000, 2_000, 5_000) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'release' }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'break' }, { do: 'redial' }, { do: 'overtake' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'hang up' }) }
]

/** Any call of this provider, with some steps and ceilings more, if there are to be any. */
export function anyScenario (provider: Provider, more: readonly Weighted[] = [], limits: fc.Arbitrary<Ceilings> = fc.constant({})): fc.Arbitrary<Scenario> {
  return fc.record({
    provider: fc.constant(provider),
    onCallStart: fc.constantFrom('none' as const, 'sync' as const, 'held' as const, 'throws' as const, 'ends' as const),
    listens: fc.boolean(),
    impatient: fc.boolean(),
    limits,
    scripts: fc.array(script, { minLength: 1, maxLength: 4 }),
    steps: fc.array(fc.oneof(...STEPS, ...more), { maxLength: 40 })
  })
}
