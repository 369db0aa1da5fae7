import t, { type Test } from 'tap'
import { transferCall } from '../../lib/contract/agent.js'
import type { Call, Reply, Turn } from '../../lib/contract/agent.js'
import type { LiveCall } from '../../lib/call/call.js'
import { CallRegistry } from '../../lib/call/registry.js'
import type { CallSummary, TurnReport } from '../../lib/telemetry/report.js'
import { deferred } from '../helpers/app.js'
import { openCall, tick, toMillis, toRetell, type CallOptions, type Line } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const GRACE = { reconnectGraceMs: 30_000 }

/** A provider that dials one call, breaks off, and dials again. */
function dialler (t: Test, provider: 'retell' | 'millis', agent: (turn: Turn) => Reply, options: CallOptions = {}) {
  const calls = new CallRegistry<LiveCall>()
  const told: string[] = []
  const summaries: CallSummary[] = []
  const outcomes: Array<TurnReport['outcome']> = []
  let sockets = 0
  return {
    calls,
    told,
    summaries,
    outcomes,
    dial: (): Line => openCall(t, provider, agent, {
      ...GRACE,
      ...options,
      id: provider === 'retell' ? 'call_1' : `made-up ${++sockets}`,
      calls,
      hooks: {
        onCallStart: call => { told.push(`${call.id} started`) },
        onTurnEnd: (_turn, { outcome }) => { outcomes.push(outcome) },
        onCallEnd: (call, summary) => {
          told.push(`${call.id} ended`)
          summaries.push(summary)
        },
        ...options.hooks
      }
    })
  }
}

const says = (turn: Turn): string => `${turn.reason} ${turn.id}`

t.test('a Retell call whose connection breaks goes on over the next one', async t => {
  const { pass, left } = useClock(t)
  const states: unknown[] = []
  const { dial, calls, told, summaries } = dialler(t, 'retell', turn => {
    states.push({ ...turn.call.state })
    turn.call.state['turns'] = states.length
    return says(turn)
  })
  const first = dial()
  first.receive(retell.details({ from_number: '+15550100001' }), retell.request(1, 'Hi'))
  const call = calls.get('call_1')
  first.hangUp(1006)
  t.equal(calls.get('call_1'), call)
  await pass(29_999)

  const second = dial()
  t.equal(second.call, call)
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0)], 'no second greeting, and nothing that is waited for')
  second.receive(retell.details({ from_number: '+15550100001', call_status: 'ongoing' }))
  second.receive(retell.request(1, 'Hi'))
  t.strictSame(second.frames.slice(2), [toRetell.complete(1, 'response 1')], 'ids may begin anew')
  t.equal(call?.from, '+15550100001')
  t.strictSame(states, [{}, { turns: 1 }, { turns: 2 }])
  t.strictSame(told, ['call_1 started'])

  second.hangUp(1000)
  await tick()
  t.strictSame(told, ['call_1 started', 'call_1 ended'])
  t.match(summaries, [{ code: 1000, turns: 3, reconnects: 1 }])
  t.equal(calls.size, 0)
  t.equal(left(), 0)
})

t.test('a call that nobody dials again ends after the grace period, once', async t => {
  const { pass, left } = useClock(t)
  const { dial, calls, told, summaries } = dialler(t, 'retell', says)
  const line = dial()
  line.receive(retell.details())
  line.hangUp(1006)
  await pass(29_999)
  t.strictSame(told, ['call_1 started'])
  await pass(1)
  t.strictSame(told, ['call_1 started', 'call_1 ended'])
  t.match(summaries, [{ code: 1006, reconnects: 0 }])
  t.equal(calls.size, 0)
  t.equal(left(), 0)

  const again = dial()
  again.receive(retell.details())
  t.strictSame(again.frames.at(-1), toRetell.complete(0, 'greeting 0'), 'and is another call when it is dialled then')
})

t.test('a call ends at once', async t => {
  const { left } = useClock(t)
  const ways: Record<string, [options: CallOptions, end: (line: Line) => void]> = {
    'with any close but a broken connection': [{}, line => line.hangUp(1001)],
    'without a grace period': [{ reconnectGraceMs: 0 }, line => line.hangUp(1006)],
    'when the server closes': [{ isClosing: () => true }, line => line.hangUp(1006)]
  }
  for (const [name, [options, end]] of Object.entries(ways)) {
    const { dial, told } = dialler(t, 'retell', says, options)
    const line = dial()
    line.receive(retell.details())
    end(line)
    await tick()
    t.strictSame(told, ['call_1 started', 'call_1 ended'], name)
  }
  const { dial, calls, told } = dialler(t, 'retell', says)
  dial().hangUp(1006)
  await tick()
  t.strictSame(told, [], 'when it never began')
  t.equal(calls.size, 0)
  t.equal(left(), 0)
})

t.test('the live turn of a broken connection is aborted, and the request is answered when it comes again', async t => {
  useClock(t)
  const signals: AbortSignal[] = []
  const gate = deferred()
  const { dial, outcomes } = dialler(t, 'retell', async function * (turn) {
    signals.push(turn.signal)
    yield `Turn ${turn.id} `
    await gate.promise
    yield 'done.'
  })
  const first = dial()
  first.receive(retell.details({ call_status: 'ongoing' }), retell.request(4, 'Hi'))
  await tick()
  first.hangUp(1006)
  t.match(signals[0]?.reason, { name: 'AbortError', reason: 'disconnected' })
  const written = first.frames.length

  const second = dial()
  second.receive(retell.request(4, 'Hi'))
  gate.resolve()
  await second.completed(4)
  t.equal(second.frames.filter(frame => frame['response_id'] === 4).map(frame => frame['content']).join(''), 'Turn 4 done.')
  t.equal(first.frames.length, written)
  t.strictSame(outcomes, ['disconnected', 'completed'])
})

t.test('a greeting of which nothing was heard is spoken again, one of which a word was heard is not', async t => {
  useClock(t)
  for (const heard of [false, true]) {
    const gate = deferred()
    const { dial } = dialler(t, 'retell', async function * (turn) {
      if (heard) yield 'Good '
      await gate.promise
      yield `morning ${turn.id}`
    })
    const first = dial()
    first.receive(retell.details())
    await tick()
    first.hangUp(1006)
    const second = dial()
    gate.resolve()
    if (heard) t.strictSame(second.frames, [toRetell.config, toRetell.complete(0)])
    else {
      await second.completed(0)
      t.strictSame(second.frames, [toRetell.config, toRetell.speech(0, 'morning 0'), toRetell.complete(0)])
    }
  }
})

t.test('a connection that breaks while onCallStart runs', async t => {
  const { pass } = useClock(t)
  const gate = deferred()
  const { dial } = dialler(t, 'retell', says, { hooks: { onCallStart: () => gate.promise } })
  const first = dial()
  first.receive(retell.details())
  first.hangUp(1006)
  await pass(0)
  const second = dial()
  t.strictSame(second.frames, [toRetell.config])
  gate.resolve()
  await tick()
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0, 'greeting 0')])
  t.strictSame(first.frames, [toRetell.config])
})

t.test('of two connections of one call the newer wins, and the older does not end it', async t => {
  const { pass } = useClock(t)
  const { dial, calls, told } = dialler(t, 'retell', says)
  const older = dial()
  older.receive(retell.details())
  const newer = dial()
  t.strictSame(older.closes, ['terminate'])
  const written = older.frames.length
  older.receive(retell.request(1, 'Hi'), retell.ping(1), '{')
  older.hangUp(1006)
  await tick()
  t.equal(older.frames.length, written, 'nobody listens to the older one any more')
  await t.resolves(newer.call.updateAgent({}), 'the call is connected')
  newer.frames.pop()
  await pass(60_000)
  newer.receive(retell.request(1, 'Hi'))
  t.strictSame(newer.frames, [toRetell.config, toRetell.complete(0), toRetell.complete(1, 'response 1')])
  t.strictSame(told, ['call_1 started'])
  t.equal(calls.size, 1)
})

t.test('a call that is dialled again before it introduced itself is greeted once', async t => {
  const { pass } = useClock(t)
  const { dial, told } = dialler(t, 'retell', says, { waitMs: 2_000 })
  const older = dial()
  await pass(1_000)
  const newer = dial()
  await pass(1_000)
  t.strictSame(older.frames, [toRetell.config])
  t.strictSame(newer.frames, [toRetell.config, toRetell.complete(0, 'greeting 0')])
  newer.receive(retell.details())
  t.equal(newer.frames.length, 2)
  t.strictSame(told, ['call_1 started'])
})

t.test('a call without a connection cannot be controlled, and is still found', async t => {
  useClock(t)
  const { dial, calls } = dialler(t, 'retell', says)
  const line = dial()
  line.receive(retell.details())
  line.hangUp(1006)
  const call = calls.get('call_1') as Call
  for (const control of [() => call.interject('Hi'), () => call.end(), () => call.transfer('+15550100009'), () => call.sendMetadata({}), () => call.updateAgent({})]) {
    await t.rejects(control(), { code: 'VOICE_AGENT_ERR_CALL_ENDED' })
  }
  const again = dial()
  await call.interject('Hi')
  t.strictSame(again.frames.at(-1), toRetell.interrupt(1, 'Hi', { no_interruption_allowed: true }))
})

// Millis

t.test('a Millis session that is known is the same call', async t => {
  const { pass, left } = useClock(t)
  const { dial, calls, told, summaries } = dialler(t, 'millis', turn => {
    turn.call.state['turns'] = Number(turn.call.state['turns'] ?? 0) + 1
    return `${says(turn)}, ${turn.call.state['turns']}`
  })
  const first = dial()
  first.receive(millis.start(0), millis.request(1, 'Hi'))
  const call = calls.get('ses_1')
  first.hangUp(1006)
  await pass(10_000)

  const second = dial()
  t.equal(calls.size, 2)
  second.receive(millis.start(0, 'ses_1', { metadata: { step: 2 } }))
  t.equal(second.call, call)
  t.equal(calls.size, 1)
  t.strictSame(call?.metadata, { step: 2 })
  second.receive(millis.request(1, 'Hi'))
  t.strictSame(second.frames, [toMillis.complete(0), toMillis.complete(1, 'response 1, 3')])
  t.strictSame(told, ['ses_1 started'])
  second.hangUp(1000)
  await tick()
  t.match(summaries, [{ code: 1000, reconnects: 1 }])
  t.equal(left(), 0)
})

t.test('a Millis session that is dialled again without a stream id', async t => {
  useClock(t)
  const { dial } = dialler(t, 'millis', says)
  const first = dial()
  first.receive(millis.start(0))
  const second = dial()
  second.receive(millis.start(null), millis.request(1, 'Hi'))
  t.strictSame(first.closes, [{ code: 1001, reason: 'the call moves to another connection' }])
  t.strictSame(second.frames, [toMillis.complete(1, 'response 1')])
})

t.test('a Millis session that is dialled again without an introduction is another call', async t => {
  useClock(t)
  const { dial, calls, told } = dialler(t, 'millis', says)
  const first = dial()
  first.receive(millis.start(0))
  first.hangUp(1006)
  const second = dial()
  second.receive(millis.request(1, 'Hi'))
  t.equal(calls.size, 2)
  second.receive(millis.start(2))
  await tick()
  t.equal(calls.size, 1)
  t.strictSame(told, ['ses_1 started', 'made-up 2 started', 'ses_1 ended'])
  t.strictSame(second.frames, [toMillis.complete(1, 'response 1')])
})

t.test('a call that was ended is ended again when it is dialled again, and nobody is greeted', async t => {
  const { pass } = useClock(t)
  const { dial, summaries } = dialler(t, 'retell', says)
  const first = dial()
  first.receive(retell.details())
  await first.call.end({ say: 'Bye.' })
  first.hangUp(1006)
  const second = dial()
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0), toRetell.interrupt(2, '', { no_interruption_allowed: true, end_call: true })])
  second.receive(retell.request(1, 'Wait!'))
  t.strictSame(second.frames.at(-1), toRetell.complete(1, 'response 1'), 'unless the caller goes on')
  second.hangUp(1000)

  const { dial: dialMillis, summaries: onMillis } = dialler(t, 'millis', says)
  const third = dialMillis()
  third.receive(millis.start(0))
  await third.call.transfer('+15550100009', { say: 'Hold on.' })
  third.hangUp(1006)
  const fourth = dialMillis()
  fourth.receive(millis.start(7))
  t.strictSame(fourth.frames, [toMillis.complete(7), toMillis.transferCall(7, '+15550100009')])
  fourth.hangUp(1006)
  await pass(30_000)
  t.match(summaries, [{ code: 1000, reconnects: 1 }])
  t.match(onMillis, [{ code: 1006, reconnects: 1 }])
})

t.test('a call whose connection broke cannot be ended by whoever hears of it', async t => {
  useClock(t)
  const codes: unknown[] = []
  const { dial } = dialler(t, 'retell', async function * (turn) {
    turn.signal.addEventListener('abort', () => { turn.call.end().catch(error => codes.push(error.code)) })
    yield 'One '
    await new Promise(() => {})
  })
  const line = dial()
  line.receive(retell.details())
  await tick()
  line.hangUp(1006)
  await tick()
  t.strictSame(codes, ['VOICE_AGENT_ERR_CALL_ENDED'])
})

t.test('what waits for the end of playback does not outlive its connection', async t => {
  const { pass } = useClock(t)
  const { dial } = dialler(t, 'millis', says)
  const first = dial()
  first.receive(millis.start(0))
  await first.call.end({ say: 'Bye.' })
  first.hangUp(1006)
  await pass(60_000)
  t.notMatch(JSON.stringify(first.frames), /end_call/)
})

t.test('a transfer that was to show the caller is repeated without, as outside a turn nobody can be shown', async t => {
  useClock(t)
  const { dial } = dialler(t, 'retell', turn => turn.reason === 'greeting' ? 'Hello' : [transferCall('+15550100009', { say: 'Hold on.', showCaller: true })])
  const first = dial()
  first.receive(retell.details(), retell.request(1, 'Hi'))
  first.hangUp(1006)
  const second = dial()
  t.strictSame(second.frames, [toRetell.config, toRetell.complete(0), toRetell.interrupt(1, '', { no_interruption_allowed: true, transfer_number: '+15550100009' })])
})
