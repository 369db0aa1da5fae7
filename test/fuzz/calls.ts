/**
 * Whole calls with garbage between the frames, and small ceilings.
 */
import fc from 'fast-check'
import type { Provider } from '../../lib/contract/agent.js'
import { anyScenario, type Ceilings, type Scenario } from '../contract/scenario.js'
import { anyText } from './frames.js'

const anyCeilings: fc.Arbitrary<Ceilings> = fc.record({
  maxTurnsPerCall: fc.nat(6),
  maxBytesPerCall: fc.integer({ min: 400, max: 10_000 }),
  maxFramesPerSecond: fc.constantFrom(1, 1.5, 3),
  maxTokensPerCall: fc.nat(1_000),
  maxCallDurationMs: fc.nat(20_000)
}, { requiredKeys: [] })

/** Any call of this provider. */
export function anyCall (provider: Provider): fc.Arbitrary<Scenario> {
  return anyScenario(provider, [
    { weight: 16, arbitrary: fc.record({ do: fc.constant('frame' as const), text: anyText(provider), binary: fc.nat(30).map(n => n === 0) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('spend' as const), tokens: fc.nat(400) }) },
    { weight: 3, arbitrary: fc.constant({ do: 'pulse' as const }) }
  ], fc.oneof({ weight: 1, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: anyCeilings }))
}
