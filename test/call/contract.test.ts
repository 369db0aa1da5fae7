/**
 * The turn contract under random interleavings: a provider that sends whatever it likes, agents that do whatever they like,
 * and an app that interferes.
 */
import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { anyScenario } from '../contract/scenario.js'
import { play } from '../contract/world.js'
import { installClock } from '../helpers/clock.js'
import { scaledRuns } from '../helpers/runs.js'

for (const provider of ['retell', 'millis'] as const) {
  t.test(`whatever happens, a ${provider} call keeps the turn contract`, async t => {
    const clock = installClock(t)
    await fc.assert(fc.asyncProperty(anyScenario(provider), async scenario => {
      assert.deepEqual(await play(scenario, clock), [])
    }), { numRuns: scaledRuns(1_000) })
    t.pass('it did')
  })
}
