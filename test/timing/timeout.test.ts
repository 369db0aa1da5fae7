import t from 'tap'
import { within } from '../../lib/timing/timeout.js'
import { deferred } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'

t.test('what comes in time is what comes of it, and no timer is left', async t => {
  const { left } = useClock(t)
  t.equal(await within(1_000, Promise.resolve(5)), 5)
  await t.rejects(within(1_000, Promise.reject(new Error('no'))), { message: 'no' })
  t.equal(left(), 0)
})

t.test('what takes longer is not waited for', async t => {
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

t.test('what has come while the event loop stood still is in time', async t => {
  const { pass } = useClock(t)
  const answer = within(1_000, new Promise(resolve => { setImmediate(resolve, 5) }))
  await pass(1_000)
  t.equal(await answer, 5)
})
