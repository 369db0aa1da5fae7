import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { keptFrames } from './corpus.js'
import { decodingFaults } from './decoding.js'
import { anyFrame } from './frames.js'
import { scaledRuns } from '../helpers/runs.js'

for (const { why, provider, frames } of keptFrames()) {
  t.test(`${provider}, kept: ${why}`, async t => {
    t.strictSame(decodingFaults(provider, frames), [])
  })
}

for (const provider of ['retell', 'millis'] as const) {
  t.test(`whatever comes over a socket of ${provider}, its decoder keeps its promises`, async t => {
    fc.assert(fc.property(fc.array(anyFrame(provider), { maxLength: 10 }), frames => {
      assert.deepEqual(decodingFaults(provider, frames), [])
    }), { numRuns: scaledRuns(3_000), seed: 1 })
    t.pass('it does')
  })
}
