import fc from 'fast-check'
import t from 'tap'
import { ExpiringMap } from '../../lib/webhooks/expiring-map.js'
import { useClock } from '../helpers/clock.js'

t.test('a key keeps its first value', async t => {
  const map = new ExpiringMap<string>(1_000, 10)
  t.equal(map.get('a'), undefined)
  t.equal(map.add('a', 'one'), true)
  t.equal(map.add('a', 'two'), false)
  t.equal(map.get('a'), 'one')
  t.equal(map.get('b'), undefined)
})

t.test('an entry expires, and adding it again does not extend its life', async t => {
  const clock = useClock(t)
  const map = new ExpiringMap<true>(1_000, 10)
  map.add('a', true)
  await clock.pass(600)
  map.add('b', true)
  map.add('a', true)
  await clock.pass(399)
  t.equal(map.get('a'), true)
  await clock.pass(1)
  t.equal(map.get('a'), undefined)
  t.equal(map.size, 1)
  t.equal(map.add('a', true), true)
  await clock.pass(600)
  t.equal(map.add('b', true), true)
  t.equal(clock.left(), 0)
})

t.test('a full map drops its oldest entries', async () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 12 })), keys => {
    const map = new ExpiringMap<number>(1_000_000, 5)
    const known: number[] = []
    for (const key of keys) {
      const isNews = map.add(String(key), key)
      if (isNews !== !known.includes(key)) return false
      if (isNews) known.push(key)
      if (known.length > 5) known.shift()
      if (map.size !== known.length || known.some(each => map.get(String(each)) !== each)) return false
    }
    return true
  }))
})
