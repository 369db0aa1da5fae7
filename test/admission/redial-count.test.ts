import t from 'tap'
import { Redials } from '../../lib/admission/redials.js'
import { useClock } from '../helpers/clock.js'

t.test('redials are counted by provider and call, for a minute each', async t => {
  const { pass } = useClock(t)
  const redials = new Redials()
  for (let n = 1; n <= 20; n++) {
    t.notOk(redials.isExceeded('retell', 'call_1'))
    redials.count('retell', 'call_1')
  }
  t.ok(redials.isExceeded('retell', 'call_1'))
  t.notOk(redials.isExceeded('millis', 'call_1'))
  t.notOk(redials.isExceeded('retell', 'call_2'))
  await pass(59_999)
  redials.count('retell', 'call_2')
  t.ok(redials.isExceeded('retell', 'call_1'))
  await pass(1)
  redials.count('retell', 'call_2')
  t.notOk(redials.isExceeded('retell', 'call_1'))
})
