import t, { type Test } from 'tap'
import { AdmittedCalls } from '../../lib/admission/admitted-calls.js'
import type { Turn, VoiceAgentOptions } from '../../lib/index.js'
import { build } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { dial, dialUrl, millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const REFUSED = { message: 'Unexpected server response: 403' }

async function start (t: Test, options: VoiceAgentOptions = {}) {
  const turns: Turn[] = []
  const { app, logs } = await build(t, turn => {
    turns.push(turn)
    return 'Yes'
  }, { admittedCallsOnly: true, ...options })
  return { app, turns, complaints: () => logs.filter(({ level }) => level >= 40) }
}

t.test('Retell is let in with an id that the app was given, and with no other', async t => {
  const { app, complaints } = await start(t)
  app.admitCall('call_1')
  const caller = await dial(t, app, '/llm-websocket/call_1')
  caller.send(retell.details())
  t.equal((await caller.response(0)).at(-1)!['content'], 'Yes')
  await t.rejects(dial(t, app, '/llm-websocket/call_2'), REFUSED)
  t.match(complaints(), [{ address: '127.0.0.1', admittedBy: 'app.admitCall()', msg: 'refused: the call is not expected' }])
  t.equal(app.calls.refusals.call, 1)
})

t.test('it may dial again while the call goes on, and not when it is over', async t => {
  const { app } = await start(t, { reconnectGraceMs: 60_000 })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/llm-websocket/call_1`
  const over = async (): Promise<void> => { while (app.calls.size > 0) await tick() }
  app.admitCall('call_1')
  // A first attempt that breaks before the call has begun.
  const first = await dialUrl(t, url)
  first.socket.terminate()
  await over()
  const second = await dialUrl(t, url)
  second.send(retell.details())
  await second.response(0)
  second.socket.terminate()
  await second.closed
  const third = await dialUrl(t, url)
  third.socket.close(1000)
  await over()
  await t.rejects(dialUrl(t, url), REFUSED)
})

t.test('Millis, whose id comes with its first frame, is hung up on before anybody hears of the call', async t => {
  const { app, turns, complaints } = await start(t)
  app.admitCall('ses_1')
  const caller = await dial(t, app, '/millis')
  caller.send(millis.start(0, 'ses_1'))
  await caller.stream(0)
  t.equal(turns.length, 1)
  for (const frame of [millis.start(0, 'ses_2'), millis.request(1, 'Hi')]) {
    const stranger = await dial(t, app, '/millis')
    stranger.send(frame)
    t.match(await stranger.closed, { code: 1008 })
    t.strictSame(stranger.frames, [])
  }
  t.equal(turns.length, 1)
  t.equal(app.calls.refusals.call, 2)
  t.match(complaints().at(-1), { why: 'the call is not expected: app.admitCall() was not told of it' })
})

t.test('Millis stays with the call that it introduced, and ends nobody else\'s', async t => {
  const { app } = await start(t)
  for (const id of ['ses_1', 'ses_2']) app.admitCall(id)
  const [first, second] = [await dial(t, app, '/millis'), await dial(t, app, '/millis')]
  for (const [caller, id] of [[first, 'ses_1'], [second, 'ses_2']] as const) {
    caller.send(millis.start(0, id))
    await caller.stream(0)
  }
  second.send(millis.start(1, 'ses_1'), millis.start(2, 'ses_9'), millis.request(3, 'Hi'))
  await second.stream(3)
  first.send(millis.request(1, 'Hi'))
  await first.stream(1)
  t.strictSame(Array.from(app.calls, ({ id }) => id), ['ses_1', 'ses_2'])
})

t.test('without the option every call is expected', async t => {
  const { app } = await start(t, { admittedCallsOnly: false })
  await dial(t, app, '/llm-websocket/call_1')
  const caller = await dial(t, app, '/millis')
  caller.send(millis.request(1, 'Hi'))
  await caller.stream(1)
})

t.test('an id is expected for as long as was said, from when it was said last', async t => {
  const { pass, left } = useClock(t)
  const calls = new AdmittedCalls()
  calls.admit('call_1')
  calls.admit('call_2', { ttlMs: 1_000 })
  await pass(999)
  t.ok(calls.has('call_2'))
  calls.admit('call_2', { ttlMs: 1_000 })
  await pass(999)
  t.ok(calls.has('call_2'))
  await pass(1)
  t.notOk(calls.has('call_2'))
  await pass(298_000)
  t.ok(calls.has('call_1'))
  await pass(1)
  t.notOk(calls.has('call_1'))
  calls.admit('call_1')
  calls.admit('call_2')
  calls.delete('call_1')
  t.notOk(calls.has('call_1'))
  calls.clear()
  t.notOk(calls.has('call_2'))
  t.equal(left(), 0)
})

t.test('what is no id, or no time, is refused', async t => {
  const { app } = await start(t)
  for (const id of ['', 'a/b', '..', 'call 1', 'x'.repeat(257), undefined, 5] as string[]) {
    t.throws(() => app.admitCall(id), { code: 'VOICE_AGENT_ERR_ACTION', message: 'admitCall: callId is no call id' })
  }
  for (const ttlMs of [0, -1, NaN, 86_400_001, 'soon', '5'] as number[]) {
    t.throws(() => app.admitCall('call_1', { ttlMs }), { code: 'VOICE_AGENT_ERR_ACTION', message: 'admitCall: ttlMs is a number above 0, at most 86400000' })
  }
})
