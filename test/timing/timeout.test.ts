import t from 'tap'
import { within } from '../../lib/timing/timeout.js'
import { deferred } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'

t.test('a promise that settles in time settles the result, and leaves no timer', async t => {
  const { left } = useClock(t)
  t.equal(await within(1_000, Promise.resolve(5)), 5)
  await t.rejects(within(1_000, Promise.reject(new Error('no'))), { message: 'no' })
  t.equal(left(), 0)
})

t.test('a promise that takes longer is not awaited', async t => {
  const { pass } = useClock(t)
  const { promise } = deferred()
  const answers: unknown[] = []
  within(1_000, promise).then(answer => { answers.push(answer) }, t.error)
  within(1_000, promise, true).then(answer => { answers.push(answer) }, t.error)
  await pass(999)
  t.strictSame(answers, [])
  await pass(1)
  t.strictSame(answers, [undefined, true])
})

t.test('input that arrived while the event loop was blocked is in time', async t => {
  const { pass } = useClock(t)
  const answer = within(1_000, new Promise(resolve => { setImmediate(resolve, 5) }))
  await pass(1_000)
  t.equal(await answer, 5)
})
