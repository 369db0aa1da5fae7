import assert from 'node:assert/strict'
import t from 'tap'
import FakeTimers from '@sinonjs/fake-timers'
import fc from 'fast-check'
import { play } from '../contract/world.js'
import { anyCall } from './calls.js'
import { keptCalls } from './corpus.js'

const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
t.teardown(() => clock.uninstall())

for (const { why, scenario } of keptCalls()) {
  t.test(`${scenario.provider}, kept: ${why}`, async t => {
    t.strictSame(await play(scenario, clock), [])
  })
}

for (const provider of ['retell', 'millis'] as const) {
  t.test(`whatever a ${provider} call is made of, it keeps the turn contract`, async t => {
    await fc.assert(fc.asyncProperty(anyCall(provider), async scenario => {
      assert.deepEqual(await play(scenario, clock), [])
    }), { numRuns: 1_000, seed: 1 })
    t.pass('it does')
  })
}
