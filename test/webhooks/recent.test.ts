import fc from 'fast-check'
import t from 'tap'
import { Recent } from '../../lib/webhooks/recent.js'
import { useClock } from '../helpers/clock.js'

t.test('what came lately is known, by its first value', async t => {
  const recent = new Recent<string>(1_000, 10)
  t.equal(recent.get('a'), undefined)
  t.equal(recent.add('a', 'one'), true)
  t.equal(recent.add('a', 'two'), false)
  t.equal(recent.get('a'), 'one')
  t.equal(recent.get('b'), undefined)
})

t.test('it is forgotten in time, which does not begin anew when it comes again', async t => {
  const clock = useClock(t)
  const recent = new Recent<true>(1_000, 10)
  recent.add('a', true)
  await clock.pass(600)
  recent.add('b', true)
  recent.add('a', true)
  await clock.pass(399)
  t.equal(recent.get('a'), true)
  await clock.pass(1)
  t.equal(recent.get('a'), undefined)
  t.equal(recent.size, 1)
  t.equal(recent.add('a', true), true)
  await clock.pass(600)
  t.equal(recent.add('b', true), true)
  t.equal(clock.left(), 0)
})

t.test('of too many the oldest are forgotten', async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 12 })), keys => {
    const recent = new Recent<number>(1_000_000, 5)
    const known: number[] = []
    for (const key of keys) {
      const isNews = recent.add(String(key), key)
      if (isNews !== !known.includes(key)) return false
      if (isNews) known.push(key)
      if (known.length > 5) known.shift()
      if (recent.size !== known.length || known.some(each => recent.get(String(each)) !== each)) return false
    }
    return true
  }))
})
