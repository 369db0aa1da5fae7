import t, { type Test } from 'tap'
import type { LiveCall } from '../../lib/call/call.js'
import { drain } from '../../lib/call/drain.js'
import { CallRegistry } from '../../lib/call/registry.js'
import { deferred } from '../helpers/app.js'
import { openCall, tick, toMillis } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const MOVED = { code: 1001, reason: 'the call moves to another connection' }

/** A Retell call and a Millis call; asked `hold`, the agent says a word and waits for the gate. */
function start (t: Test) {
  const clock = useClock(t)
  const calls = new CallRegistry<LiveCall>()
  const gate = deferred()
  const agent = async function * (turn: { messages: Array<{ content: string | null }> }) {
    yield 'One '
    if (turn.messages.at(-1)?.content === 'hold') await gate.promise
    yield 'two.'
  }
  const onRetell = openCall(t, 'retell', agent, { calls })
  const onMillis = openCall(t, 'millis', agent, { calls })
  return { ...clock, calls, gate, onRetell, onMillis }
}

async function settle (drained: Promise<void>): Promise<{ over: boolean }> {
  const state = { over: false }
  drained.then(() => { state.over = true }, t.error)
  await tick()
  return state
}

t.test('is over at once where there are no calls', async t => {
  const { left } = useClock(t)
  await drain(new CallRegistry(), 8_000)
  t.equal(left(), 0)
})

t.test('waits for live calls to end by themselves', async t => {
  const { calls, onRetell, onMillis, pass, left } = start(t)
  const state = await settle(drain(calls, 8_000))
  await pass(7_000)
  onRetell.hangUp(1000)
  await tick()
  t.equal(state.over, false)
  onMillis.hangUp(1000)
  await tick()
  t.equal(state.over, true)
  t.strictSame([...onRetell.closes, ...onMillis.closes], [])
  t.equal(left(), 0)
})

t.test('leaves what is left to another node: Retell at once, Millis after its turn', async t => {
  const { calls, onRetell, onMillis, gate, pass, left } = start(t)
  onRetell.receive(retell.request(1, 'hold'))
  onMillis.receive(millis.request(1, 'hold'))
  const state = await settle(drain(calls, 8_000))
  await pass(7_999)
  t.strictSame([...onRetell.closes, ...onMillis.closes], [])
  await pass(1)
  t.strictSame(onRetell.closes, ['terminate'])
  t.strictSame(onMillis.closes, [])
  gate.resolve()
  await onMillis.completed(1)
  t.strictSame(onMillis.frames.at(-1), toMillis.complete(1, 'two.'))
  t.strictSame(onMillis.closes, [MOVED])
  onRetell.hangUp(1006)
  onMillis.hangUp(1001)
  await tick()
  t.equal(state.over, true)
  t.equal(left(), 0)
})

t.test('a Millis turn that is superseded as the server leaves is followed to the newer one\'s end', async t => {
  const { calls, onMillis, gate, pass } = start(t)
  onMillis.receive(millis.request(1, 'hold'))
  await settle(drain(calls, 8_000))
  await pass(8_000)
  onMillis.receive(millis.request(2, 'hold'))
  await tick()
  t.strictSame(onMillis.closes, [])
  gate.resolve()
  await onMillis.completed(2)
  t.strictSame(onMillis.closes, [MOVED])
})

t.test('waits for no turn for ever', async t => {
  for (const [timeoutMs, lastMs] of [[8_000, 3_000], [2_000, 2_000], [0, 0]] as const) {
    const { calls, onMillis, pass, left } = start(t)
    onMillis.receive(millis.request(1, 'hold'))
    const state = await settle(drain(calls, timeoutMs))
    await pass(timeoutMs)
    await pass(lastMs)
    t.strictSame(onMillis.closes, [MOVED])
    t.equal(state.over, true)
    t.equal(left(), 1, 'the wait of Retell\'s begin message')
  }
})

t.test('a Millis call between two turns is left at once', async t => {
  const { calls, onMillis, pass } = start(t)
  onMillis.receive(millis.request(1, 'Hi'))
  await onMillis.completed(1)
  await settle(drain(calls, 8_000))
  await pass(8_000)
  t.strictSame(onMillis.closes, [MOVED])
})

t.test('a call that is being ended or transferred is let end', async t => {
  const { calls, onRetell, onMillis, pass } = start(t)
  onRetell.receive(retell.details())
  onMillis.receive(millis.start(0))
  await tick()
  await tick()
  await onRetell.call.end({ say: 'Bye.' })
  await onMillis.call.transfer('+15550100009', { say: 'Hold on.' })
  const state = await settle(drain(calls, 8_000))
  await pass(8_000)
  t.strictSame([...onRetell.closes, ...onMillis.closes], [])
  onMillis.receive(millis.played(0))
  t.strictSame(onMillis.frames.at(-1), toMillis.transferCall(0, '+15550100009'))
  t.strictSame(onMillis.closes, [])
  onRetell.hangUp(1000)
  onMillis.hangUp(1000)
  await tick()
  t.equal(state.over, true)
})

t.test('a call that introduces itself is one that is still there', async t => {
  const { calls, onRetell, onMillis, pass } = start(t)
  onRetell.hangUp(1000)
  const state = await settle(drain(calls, 8_000))
  onMillis.receive(millis.start(0))
  await pass(1_000)
  t.equal(state.over, false)
  t.equal(calls.get('ses_1'), onMillis.call)
})

t.test('a call that is being ended when time is up is over, and one that is being transferred is sent on', async t => {
  const { calls, onRetell, onMillis, pass, left } = start(t)
  const transferred = openCall(t, 'millis', () => 'Hello', { calls, id: 'made-up' })
  onRetell.receive(retell.details())
  onMillis.receive(millis.start(0))
  transferred.receive(millis.start(0, 'ses_2'))
  await tick()
  await tick()
  for (const { call } of [onRetell, onMillis]) await call.end({ say: 'Bye, bye, bye, until we meet again.' })
  await transferred.call.transfer('+15550100009', { say: 'Hold on, hold on, I put you through to the desk.' })
  const state = await settle(drain(calls, 1_000))
  await pass(1_000)
  await pass(1_000)
  t.strictSame(onRetell.closes, [{ code: 1000, reason: 'the call was ended' }])
  t.strictSame(onMillis.frames.at(-1), toMillis.endCall(0))
  t.strictSame(onMillis.closes, [{ code: 1000, reason: 'the call was ended' }])
  t.strictSame(transferred.frames.at(-1), toMillis.transferCall(0, '+15550100009'))
  t.strictSame(transferred.closes, [MOVED])
  t.equal(state.over, true)
  transferred.hangUp(1001)
  t.equal(left(), 0)
  t.equal(calls.size, 0)
})
