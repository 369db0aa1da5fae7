import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { play } from '../contract/world.js'
import { installClock } from '../helpers/clock.js'
import { anyCall } from './calls.js'
import { keptCalls } from './corpus.js'
import { scaledRuns } from '../helpers/runs.js'

for (const { why, scenario } of keptCalls()) {
  t.test(`${scenario.provider}, kept: ${why}`, async t => {
    t.strictSame(await play(scenario, installClock(t)), [])
  })
}

for (const provider of ['retell', 'millis'] as const) {
  t.test(`whatever a ${provider} call is made of, it keeps the turn contract`, async t => {
    const clock = installClock(t)
    await fc.assert(fc.asyncProperty(anyCall(provider), async scenario => {
      assert.deepEqual(await play(scenario, clock), [])
    }), { numRuns: scaledRuns(1_000), seed: 1 })
    t.pass('it does')
  })
}
