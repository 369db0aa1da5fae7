import t from 'tap'
import { HookRunner } from '../../lib/call/hooks.js'
import { createApp, deferred } from '../helpers/app.js'

t.test('hooks are waited for, those included that begin meanwhile, and those that fail', async t => {
  const { app, logs } = createApp(t)
  const runner = new HookRunner({ onCallEnd: () => {} })
  t.ok(runner.has('onCallEnd'))
  t.notOk(runner.has('onTurnEnd'))
  await runner.settled()

  const [first, second] = [deferred(), deferred()]
  const order: string[] = []
  t.equal(runner.run(app.log, 'onCallEnd', () => {}), undefined)
  const running = runner.run(app.log, 'onCallEnd', () => first.promise.then(() => { order.push('first') }))
  const settled = runner.settled().then(() => { order.push('settled') })
  const failing = runner.run(app.log, 'onCallEnd', () => second.promise.then(() => {
    order.push('second')
    throw new Error('no')
  }))
  first.resolve()
  await running
  second.resolve()
  await failing
  await settled
  t.strictSame(order, ['first', 'second', 'settled'])
  t.strictSame(logs.filter(({ level }) => level >= 50).map(({ msg }) => msg), ['onCallEnd failed'])
})
