import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { endCall, toolCall, toolResult, transferCall } from '../../lib/contract/agent.js'
import type { Call, Reply, TranscriptUpdate, Turn } from '../../lib/contract/agent.js'
import type { LiveCall } from '../../lib/call/call.js'
import { CallRegistry } from '../../lib/call/registry.js'
import type { CallSummary, TurnReport } from '../../lib/telemetry/report.js'
import type { ProviderEvent } from '../../lib/providers/codec.js'
import { deferred } from '../helpers/app.js'
import { APOLOGY, GREETING, newCodec, openCall, tick, toMillis, toRetell } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { installClock } from '../helpers/clock.js'

const ongoing = retell.details({ call_status: 'ongoing' })
const never = () => new Promise<string>(() => {})
const DESK = '+15550100009'

/** Timers that go off when the test says so. */
function useClock (t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  return { pass: (ms: number) => mock.timers.tick(ms) }
}

/** An agent that says who asked, and keeps what it was asked. */
function recorder () {
  const asked: Array<string | number> = []
  const agent = (turn: Turn): Reply => {
    asked.push(turn.id)
    return `${turn.reason} ${turn.id}`
  }
  return { asked, agent }
}

async function codeOf (promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => 'resolved', error => error.code)
}

t.test('a Retell call opens', async t => {
  t.test('with config, and greets once it knows the details', async t => {
    const line = openCall(t, 'retell', turn => `${turn.reason} for ${turn.call.from}`)
    t.strictSame(line.frames, [toRetell.config])
    line.receive(retell.details({ from_number: '+15550100001' }))
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0, 'greeting for +15550100001')])
  })

  t.test('without details when they do not come in time, and is not greeted again when they do', async t => {
    const clock = useClock(t)
    const started: unknown[] = []
    const line = openCall(t, 'retell', turn => `${turn.reason} for ${turn.call.from}`, {
      waitMs: 2_000,
      hooks: { onCallStart: call => { started.push(call.details) } }
    })
    clock.pass(1_999)
    t.strictSame(line.frames, [toRetell.config])
    clock.pass(1)
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0, 'greeting for undefined')])
    line.receive(retell.details({ from_number: '+15550100001' }))
    t.equal(line.frames.length, 2)
    t.equal(line.call.from, '+15550100001')
    t.strictSame(started, [undefined])
  })

  t.test('and waits no longer once the details are in', async t => {
    const clock = useClock(t)
    const { agent, asked } = recorder()
    const line = openCall(t, 'retell', agent, { waitMs: 2_000 })
    line.receive(retell.details(), retell.details())
    clock.pass(2_000)
    t.strictSame(asked, [0])
  })

  t.test('with an empty begin message where the agent greets with nothing, or with the fallback where it fails', async t => {
    for (const [greet, content] of [[() => '', ''], [() => undefined as never, ''], [() => { throw new Error('model down') }, GREETING]] as const) {
      const line = openCall(t, 'retell', greet)
      line.receive(retell.details())
      await line.completed(0)
      t.strictSame(line.frames, [toRetell.config, toRetell.complete(0, content)])
    }
  })

  t.test('with an empty begin message where a request overtakes the details, and is not greeted later', async t => {
    const clock = useClock(t)
    const { agent, asked } = recorder()
    const line = openCall(t, 'retell', agent, { waitMs: 2_000 })
    line.receive(retell.request(1, 'Hi'), retell.details({ from_number: '+15550100001' }))
    clock.pass(2_000)
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.complete(1, 'response 1')])
    t.strictSame(asked, [1])
    t.equal(line.call.from, '+15550100001')
  })

  t.test('with an empty begin message where a request overtakes the first word of the greeting', async t => {
    let greeting!: Turn
    const line = openCall(t, 'retell', turn => {
      if (turn.id === 1) return 'Yes'
      greeting = turn
      return never()
    })
    line.receive(retell.details(), retell.request(1, 'Hi'))
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.complete(1, 'Yes')])
    t.match(greeting.signal.reason, { reason: 'superseded' })
  })

  t.test('with an empty begin message where a request with its id is overtaken before its first word', async t => {
    const line = openCall(t, 'retell', turn => turn.id === 0 ? never() : 'Yes')
    line.receive(retell.request(0, 'Hi'), retell.request(1, 'Hi?'))
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.complete(1, 'Yes')])
  })

  t.test('and abandons a greeting of which a word was heard', async t => {
    const line = openCall(t, 'retell', async function * (turn) {
      yield 'Hello'
      if (turn.id === 0) await never()
    })
    line.receive(retell.details())
    await line.wrote(frame => frame['content'] === 'Hello')
    line.receive(retell.request(1, 'Hi'))
    await line.completed(1)
    t.strictSame(line.frames, [toRetell.config, toRetell.speech(0, 'Hello'), toRetell.speech(1, 'Hello'), toRetell.complete(1)])
  })

  t.test('with the answer to request 0, had there ever been one', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'retell', agent)
    line.receive(retell.request(0, 'Hi'))
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0, 'response 0')])
    const held = openCall(t, 'retell', turn => turn.reason === 'greeting' ? never() : 'Yes')
    held.receive(retell.details(), retell.request(0, 'Hi'))
    t.strictSame(held.frames, [toRetell.config, toRetell.complete(0, 'Yes')])
  })

  t.test('in silence where it began on another socket', async t => {
    const { agent, asked } = recorder()
    const started: Call[] = []
    const line = openCall(t, 'retell', agent, { hooks: { onCallStart: call => { started.push(call) } } })
    line.receive(ongoing)
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0)])
    t.strictSame(asked, [])
    t.equal(started[0], line.call)
    line.receive(retell.request(7, 'Hi'))
    t.strictSame(line.frames.at(-1), toRetell.complete(7, 'response 7'))
  })

  t.test('in silence where an update has words of ours', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'retell', agent)
    line.receive(retell.update('Hi'))
    t.strictSame(line.frames, [toRetell.config])
    line.receive(retell.update('Hello', 'Hi'), retell.details())
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0)])
  })

  t.test('and counts an update that is broken, which it must read while it opens', async t => {
    const line = openCall(t, 'retell', never)
    line.receive('{"interaction_type":"update_only"}')
    t.match(line.complaints, [{ level: 40, msg: 'malformed frame ignored', why: 'broken update' }])
    t.strictSame(line.frames, [toRetell.config])
  })
})

t.test('a Millis call opens', async t => {
  t.test('with nothing, and greets with the stream id of start_call, whatever it is', async t => {
    for (const id of [0, 7, '', '0', 'stream']) {
      const line = openCall(t, 'millis', () => 'Hello')
      t.strictSame(line.frames, [])
      line.receive(millis.start(id))
      t.strictSame(line.frames, [toMillis.complete(id, 'Hello')])
    }
  })

  t.test('without a greeting where start_call has no stream id', async t => {
    const { agent, asked } = recorder()
    const line = openCall(t, 'millis', agent)
    line.receive(millis.start(null))
    t.strictSame(line.frames, [])
    t.strictSame(asked, [])
    t.equal(line.call.id, 'ses_1')
  })

  t.test('with a request that overtakes the greeting', async t => {
    const line = openCall(t, 'millis', turn => turn.reason === 'greeting' ? never() : 'Yes')
    line.receive(millis.start(0), millis.request(1, 'Hi'))
    t.strictSame(line.frames, [toMillis.complete(1, 'Yes')])
  })

  t.test('with a request where start_call never comes', async t => {
    const { agent } = recorder()
    const ended = deferred<Call>()
    const line = openCall(t, 'millis', agent, { id: 'made-up', hooks: { onCallEnd: ended.resolve } })
    line.receive(millis.request(3, 'Hi'))
    t.strictSame(line.frames, [toMillis.complete(3, 'response 3')])
    t.equal(line.calls.get('made-up'), line.call)
    line.hangUp(1006)
    t.equal(await ended.promise, line.call)
  })

  t.test('and takes its name from a late start_call, which is not greeted', async t => {
    const { agent, asked } = recorder()
    const line = openCall(t, 'millis', agent, { id: 'made-up' })
    line.receive(millis.request(3, 'Hi'), millis.start(4, 'ses_1', { voip: { from: '+15550100001' } }))
    t.strictSame(asked, [3])
    t.equal(line.call.id, 'ses_1')
    t.equal(line.call.from, '+15550100001')
    t.equal(line.calls.get('made-up'), undefined)
    t.equal(line.calls.get('ses_1'), line.call)
    t.equal(line.calls.size, 1)
    line.call.log.info('named')
    t.match(line.logs.at(-1), { callId: 'ses_1', provider: 'millis' })
  })

  t.test('once, however often start_call comes', async t => {
    const { agent, asked } = recorder()
    const line = openCall(t, 'millis', agent)
    line.receive(millis.start(0), millis.start(1), millis.start(2, 'ses_2', { metadata: { plan: 'gold' } }))
    t.strictSame(asked, [0])
    t.equal(line.call.id, 'ses_2')
    t.strictSame(line.call.metadata, { plan: 'gold' })
    t.equal(line.calls.size, 1)
  })
})

t.test('a newer request', async t => {
  t.test('supersedes the live turn; an older or repeated one is ignored on Retell', async t => {
    const { asked } = recorder()
    const line = openCall(t, 'retell', turn => { asked.push(turn.id); return never() })
    line.receive(ongoing, retell.request(2, 'Hi'), retell.request(2, 'Hi'), retell.request(1, 'Hi'), retell.reminder(3, 'Hi'))
    t.strictSame(asked, [2, 3])
    t.strictSame(line.complaints, [])
  })

  t.test('supersedes the live turn on Millis also where its id is lower, or the same', async t => {
    const asked: Turn[] = []
    const line = openCall(t, 'millis', turn => { asked.push(turn); return never() })
    line.receive(millis.request(2, 'Hi'), millis.request(1, 'Hi'), millis.request('1', 'Hi'), millis.request('1', 'Hi'))
    t.strictSame(asked.map(({ id, signal }) => [id, signal.aborted]), [[2, true], [1, true], ['1', true], ['1', false]])
  })

  t.test('is the one that an agent ends which hangs up as it is aborted', async t => {
    const line = openCall(t, 'retell', turn => {
      turn.signal.addEventListener('abort', () => { turn.call.end({ say: 'Bye' }) })
      return never()
    })
    line.receive(retell.details(), retell.request(1, 'Hi'))
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.complete(1, 'Bye', { no_interruption_allowed: true, end_call: true })])
  })
})

t.test('an interrupt', async t => {
  t.test('aborts the live turn, which says nothing more', async t => {
    const held = deferred()
    let turn!: Turn
    const line = openCall(t, 'millis', async function * (asked) {
      turn = asked
      yield 'One'
      yield ' two'
      await held.promise
      yield ' three'
    })
    line.receive(millis.request(1, 'Hi'))
    await line.wrote(frame => frame['data'].content === 'One')
    line.receive(millis.interrupt(1))
    t.match(turn.signal.reason, { reason: 'interrupted' })
    held.resolve()
    await tick()
    t.strictSame(line.frames, [toMillis.speech(1, 'One')])
  })

  t.test('of any other turn does nothing', async t => {
    const asked: Turn[] = []
    const line = openCall(t, 'millis', turn => { asked.push(turn); return turn.id === 1 ? 'One' : never() })
    line.receive(millis.interrupt(1), millis.request(1, 'Hi'), millis.interrupt(1), millis.request(0, 'Hi'), millis.interrupt(1), millis.interrupt('0'), millis.interrupt(''))
    t.strictSame(asked.map(({ signal }) => signal.aborted), [false, false])
    t.strictSame(line.frames, [toMillis.complete(1, 'One')])
  })
})

t.test('keepalives are answered while an agent speaks, behind the words that are ready', async t => {
  const held = deferred()
  const line = openCall(t, 'retell', async function * () {
    yield 'One'
    yield ' two'
    await held.promise
    yield ' three'
  })
  line.receive(ongoing, retell.request(1, 'Hi'))
  await line.wrote(frame => frame['content'] === ' two')
  line.receive(retell.ping(5), retell.ping(6))
  held.resolve()
  await line.completed(1)
  t.strictSame(line.frames.slice(2), [
    toRetell.speech(1, 'One'),
    toRetell.speech(1, ' two'),
    { response_type: 'ping_pong', timestamp: 5 },
    { response_type: 'ping_pong', timestamp: 6 },
    toRetell.complete(1, ' three')
  ])
})

t.test('onCallStart', async t => {
  t.test('runs before the agent is called, when the details are known', async t => {
    const order: string[] = []
    const line = openCall(t, 'retell', turn => { order.push(`agent ${turn.call.state['name']}`); return 'Hello' }, {
      hooks: { onCallStart: call => { order.push(`start ${call.from}`); call.state['name'] = 'Ann' } }
    })
    line.receive(retell.details({ from_number: '+15550100001' }))
    t.strictSame(order, ['start +15550100001', 'agent Ann'])
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0, 'Hello')])
  })

  t.test('holds turns back until its promise is kept, and then only the newest is asked', async t => {
    const held = deferred()
    const { agent, asked } = recorder()
    const outcomes: unknown[] = []
    const line = openCall(t, 'retell', agent, {
      hooks: { onCallStart: () => held.promise, onTurnEnd: (turn, { outcome }) => { outcomes.push([turn.id, outcome]) } }
    })
    line.receive(retell.details(), retell.ping(1), retell.request(1, 'Hi'), retell.request(2, 'Hi'))
    t.strictSame(asked, [])
    held.resolve()
    await line.completed(2)
    t.strictSame(asked, [2])
    t.strictSame(line.frames, [toRetell.config, { response_type: 'ping_pong', timestamp: 1 }, toRetell.complete(0), toRetell.complete(2, 'response 2')])
    await tick()
    t.strictSame(outcomes, [[0, 'superseded'], [1, 'superseded'], [2, 'completed']])
  })

  t.test('may have no turn to hold back', async t => {
    const held = deferred()
    const { agent, asked } = recorder()
    const line = openCall(t, 'millis', agent, { hooks: { onCallStart: () => held.promise } })
    line.receive(millis.start(null))
    held.resolve()
    await tick()
    line.receive(millis.request(1, 'Hi'))
    t.strictSame(asked, [1])
  })

  t.test('holds turns back for at most two seconds', async t => {
    const clock = useClock(t)
    const held = deferred()
    const { agent, asked } = recorder()
    const line = openCall(t, 'millis', agent, { hooks: { onCallStart: () => held.promise } })
    line.receive(millis.start(0))
    clock.pass(1_999)
    t.strictSame(asked, [])
    clock.pass(1)
    t.strictSame(asked, [0])
    t.match(line.complaints, [{ level: 40, msg: 'onCallStart is slow, turns no longer wait for it' }])
    held.resolve()
    await tick()
    t.strictSame(asked, [0])
    t.equal(line.complaints.length, 1)
  })

  t.test('may fail: it is logged, and the call goes on', async t => {
    const failing = [() => { throw new Error('no database') }, async () => { throw new Error('no database') }]
    for (const onCallStart of failing) {
      const { agent } = recorder()
      const line = openCall(t, 'millis', agent, { hooks: { onCallStart } })
      line.receive(millis.start(0))
      await line.completed(0)
      t.strictSame(line.frames, [toMillis.complete(0, 'greeting 0')])
      t.match(line.complaints, [{ level: 50, msg: 'onCallStart failed' }])
    }
  })

  t.test('may return whatever it likes', async t => {
    for (const value of [42, null, { then: (resolve: () => void) => resolve() }]) {
      const { agent } = recorder()
      const line = openCall(t, 'millis', agent, { hooks: { onCallStart: () => value as never } })
      line.receive(millis.start(0))
      await line.completed(0)
      t.strictSame(line.complaints, [])
    }
  })

  t.test('that is slower than the call lets nobody be asked', async t => {
    const clock = useClock(t)
    const held = deferred()
    const { agent, asked } = recorder()
    const line = openCall(t, 'millis', agent, { hooks: { onCallStart: () => held.promise } })
    line.receive(millis.start(0))
    line.hangUp(1006)
    clock.pass(2_000)
    held.resolve()
    await tick()
    t.strictSame(asked, [])
    t.strictSame(line.complaints, [])
  })

  t.test('may end the call: the agent is not asked, and its goodbye is the greeting', async t => {
    const bye = toRetell.complete(0, 'Bye', { no_interruption_allowed: true, end_call: true })
    for (const onCallStart of [(call: Call) => { call.end({ say: 'Bye' }) }, (call: Call) => call.end({ say: 'Bye' })]) {
      const { agent, asked } = recorder()
      const onRetell = openCall(t, 'retell', agent, { hooks: { onCallStart } })
      onRetell.receive(retell.details())
      const onMillis = openCall(t, 'millis', agent, { hooks: { onCallStart } })
      onMillis.receive(millis.start(0), millis.played(0))
      await tick()
      t.strictSame(onRetell.frames, [toRetell.config, bye])
      t.strictSame(onMillis.frames, [toMillis.complete(0, 'Bye'), toMillis.endCall(0)])
      t.strictSame(asked, [])
    }
  })

  t.test('may end a call whose first request has overtaken the details', async t => {
    const { agent, asked } = recorder()
    const line = openCall(t, 'retell', agent, { hooks: { onCallStart: call => call.end({ say: 'Bye' }) } })
    line.receive(retell.request(1, 'Hi'))
    await tick()
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.complete(1, 'Bye', { no_interruption_allowed: true, end_call: true })])
    t.strictSame(asked, [])
  })

  t.test('may end a call that the app is ending', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'retell', agent, { hooks: { onCallStart: call => call.end({ say: 'Blocked' }) } })
    await line.call.end({ say: 'Bye' })
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.interrupt(1, 'Blocked', { no_interruption_allowed: true, end_call: true })])
  })

  t.test('may speak: behind the begin message, instead of the greeting', async t => {
    const { agent, asked } = recorder()
    const line = openCall(t, 'retell', agent, { hooks: { onCallStart: call => call.interject('Maintenance tonight.') } })
    line.receive(retell.details())
    await tick()
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.interrupt(1, 'Maintenance tonight.', { no_interruption_allowed: true })])
    t.strictSame(asked, [])
  })
})

t.test('the other hooks', async t => {
  t.test('are told of turns in order, and of the end of the call once, after them', async t => {
    const told: unknown[] = []
    const ended = deferred()
    const clock = installClock(t)
    const line = openCall(t, 'retell', turn => turn.id === 3 ? never() : 'Yes', {
      hooks: {
        onCallStart: call => { told.push(['start', call]) },
        onTurnEnd: (turn, { outcome }) => { told.push([turn.id, outcome]) },
        onCallEnd: (call, summary) => {
          told.push(['end', call, summary])
          ended.resolve()
        }
      }
    })
    line.receive(retell.details(), retell.request(1, 'Hi'), retell.request(2, 'Hi'), retell.request(3, 'Hi'), '{}')
    clock.tick(70)
    line.hangUp(1005)
    line.hangUp(1006)
    await ended.promise
    await tick()
    const summary = (told.at(-1) as [string, Call, CallSummary])[2]
    t.strictSame(told, [
      ['start', line.call],
      [0, 'completed'],
      [1, 'completed'],
      [2, 'completed'],
      [3, 'hang-up'],
      ['end', line.call, {
        callId: 'call_1',
        provider: 'retell',
        startedAt: summary.startedAt,
        code: 1005,
        durationMs: 70,
        turns: 4,
        reconnects: 0,
        malformedFrames: 1,
        transcript: [{ role: 'user', content: 'Hi' }]
      }]
    ])
    t.match(line.logs.filter(({ level, msg }) => level === 30 && msg.startsWith('call ')), [
      { msg: 'call started', callId: 'call_1' },
      { msg: 'call ended', callId: 'call_1', code: 1005, turns: 4 }
    ])
  })

  t.test('of a call in which nothing was said nothing was heard', async t => {
    const ended = deferred<CallSummary>()
    const line = openCall(t, 'millis', () => 'Hello', { hooks: { onCallEnd: (_call, summary) => ended.resolve(summary) } })
    line.receive(millis.start(null))
    line.hangUp(1000)
    t.match(await ended.promise, { turns: 0, transcript: [] })
  })

  t.test('are not told of the end of a call that never began', async t => {
    const told: string[] = []
    for (const provider of ['retell', 'millis'] as const) {
      const line = openCall(t, provider, never, {
        hooks: { onCallStart: () => { told.push('start') }, onCallEnd: () => { told.push('end') } }
      })
      line.hangUp(1006)
      line.receive(retell.details(), millis.start(0))
      await tick()
      t.equal(line.calls.size, 0)
    }
    t.strictSame(told, [])
  })

  t.test('may fail, which is logged and changes nothing', async t => {
    const hooks = ['onTranscript', 'onTurnEnd', 'onCallEnd']
    const failing = [() => { throw new Error('no database') }, async () => { throw new Error('no database') }]
    for (const fail of failing) {
      const { agent } = recorder()
      const line = openCall(t, 'retell', agent, { hooks: Object.fromEntries(hooks.map(name => [name, fail])) })
      line.receive(retell.details(), retell.update('Hi'), retell.request(1, 'Hi'))
      t.strictSame(line.frames, [toRetell.config, toRetell.complete(0, 'greeting 0'), toRetell.complete(1, 'response 1')])
      await tick()
      line.hangUp(1006)
      await tick()
      t.strictSame(line.complaints.map(({ level, msg }) => [level, msg]), [
        [50, 'onTurnEnd failed'],
        [50, 'onTranscript failed'],
        [50, 'onTurnEnd failed'],
        [50, 'onCallEnd failed']
      ])
    }
  })

  t.test('may act on the call', async t => {
    const ended = deferred<unknown>()
    const line = openCall(t, 'retell', () => { throw new Error('model down') }, {
      hooks: {
        onTurnEnd: (turn, { outcome }) => outcome === 'error' ? turn.call.end({ say: 'Call again later.' }) : undefined,
        onTranscript: async (call, { transcript }) => call.sendMetadata({ heard: transcript!.length }),
        onCallEnd: call => { ended.resolve(codeOf(call.end())) }
      }
    })
    line.receive(ongoing, retell.update('Hi'), retell.request(1, 'Hi'))
    await line.wrote(frame => frame['response_type'] === 'agent_interrupt')
    t.strictSame(line.frames, [
      toRetell.config,
      toRetell.complete(0),
      toRetell.complete(1, APOLOGY),
      { response_type: 'metadata', metadata: { heard: 1 } },
      toRetell.interrupt(1, 'Call again later.', { no_interruption_allowed: true, end_call: true })
    ])
    line.hangUp(1000)
    t.equal(await ended.promise, 'VOICE_AGENT_ERR_CALL_ENDED')
    t.strictSame(line.complaints.map(({ msg }) => msg), ['agent failed'])
  })

  t.test('are told what people say, by the provider that tells', async t => {
    const updates: TranscriptUpdate[] = []
    const hooks = { onTranscript: (_call: Call, update: TranscriptUpdate) => { updates.push(update) } }
    openCall(t, 'retell', never, { hooks }).receive(ongoing, { ...retell.update('Hello', 'Hi'), turntaking: 'user_turn' })
    openCall(t, 'millis', never, { hooks }).receive({ type: 'partial_transcript', data: { transcript: 'before the call', is_final: true } }, millis.start(0), { type: 'partial_transcript', data: { transcript: 'Hi th', is_final: false } })
    await tick()
    t.strictSame(updates, [
      { transcript: [{ role: 'agent', content: 'Hello' }, { role: 'user', content: 'Hi' }], floor: 'user' },
      { partial: 'Hi th', final: false }
    ])
  })

  t.test('that nobody set have no update parsed for them', async t => {
    let reads = 0
    const read = () => { reads++; return {} }
    const codec = newCodec('millis')
    const decode = codec.decode.bind(codec)
    codec.decode = (data, binary) => data.length === 0 ? { type: 'update', read } : decode(data, binary)
    const line = openCall(t, 'millis', never, { codec })
    line.receive(millis.start(0), '', '')
    t.equal(reads, 0)
    const heard: unknown[] = []
    const listening = openCall(t, 'millis', never, { codec, hooks: { onTranscript: (_call, update) => { heard.push(update) } } })
    listening.receive(millis.start(0), '', '')
    await tick()
    t.equal(reads, 2)
    t.strictSame(heard, [{}, {}])
  })

  t.test('are not told of an update that is broken; it is counted', async t => {
    const heard: unknown[] = []
    const summary = deferred<CallSummary>()
    const line = openCall(t, 'retell', never, {
      hooks: { onTranscript: (_call, update) => { heard.push(update) }, onCallEnd: (_call, ended) => summary.resolve(ended) }
    })
    line.receive(ongoing, '{"interaction_type":"update_only"}', '{"interaction_type":"update_only",}')
    line.hangUp(1006)
    t.match(await summary.promise, { malformedFrames: 2 })
    t.strictSame(heard, [])
  })
})

t.test('the app can control a Retell call', async t => {
  t.test('interject: the live turn is completed with the words that are ready, then the app speaks', async t => {
    const held = deferred()
    let turn!: Turn
    const line = openCall(t, 'retell', async function * (asked) {
      turn = asked
      yield 'One'
      yield ' two'
      await held.promise
      yield ' three'
    })
    line.receive(ongoing, retell.request(1, 'Hi'))
    await line.wrote(frame => frame['content'] === 'One')
    await line.call.interject('Paid!')
    held.resolve()
    await line.call.interject('Really!', { interruptible: true })
    await tick()
    t.strictSame(line.frames.slice(2), [
      toRetell.speech(1, 'One'),
      toRetell.complete(1, ' two'),
      toRetell.interrupt(1, 'Paid!', { no_interruption_allowed: true }),
      toRetell.interrupt(2, 'Really!')
    ])
    t.match(turn.signal.reason, { reason: 'interjected' })
  })

  t.test('interject, before the call has introduced itself: the begin message goes first', async t => {
    const { agent, asked } = recorder()
    const line = openCall(t, 'retell', agent)
    await line.call.interject('Paid!')
    line.receive(retell.details())
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0), toRetell.interrupt(1, 'Paid!', { no_interruption_allowed: true })])
    t.strictSame(asked, [])
  })

  t.test('end: the live turn ends with the goodbye', async t => {
    let turn!: Turn
    const line = openCall(t, 'retell', async function * (asked) {
      turn = asked
      yield 'Well'
      yield ', so'
      await never()
    })
    line.receive(ongoing, retell.request(1, 'Hi'))
    await line.wrote(frame => frame['content'] === 'Well')
    await line.call.end({ say: 'Bye' })
    t.strictSame(line.frames.slice(2), [toRetell.speech(1, 'Well'), toRetell.complete(1, ', so Bye', { no_interruption_allowed: true, end_call: true })])
    t.match(turn.signal.reason, { reason: 'ended' })
  })

  t.test('end and transfer between turns, and before the first', async t => {
    const shield = { no_interruption_allowed: true }
    const cases: Array<[(call: LiveCall) => Promise<void>, object]> = [
      [call => call.end(), toRetell.interrupt(1, '', { ...shield, end_call: true })],
      [call => call.end({ say: 'Bye' }), toRetell.interrupt(1, 'Bye', { ...shield, end_call: true })],
      [call => call.transfer(DESK, { say: 'Hold on' }), toRetell.interrupt(1, 'Hold on', { ...shield, transfer_number: DESK })]
    ]
    for (const [act, frame] of cases) {
      const { agent } = recorder()
      const between = openCall(t, 'retell', agent)
      between.receive(retell.details(), retell.request(1, 'Hi'))
      await act(between.call)
      t.strictSame(between.frames, [toRetell.config, toRetell.complete(0, 'greeting 0'), toRetell.complete(1, 'response 1'), frame])
      const before = openCall(t, 'retell', agent)
      await act(before.call)
      before.receive(retell.details())
      t.strictSame(before.frames, [toRetell.config, toRetell.complete(0), frame])
    }
  })

  t.test('transfer: the caller can be shown inside a turn only', async t => {
    const line = openCall(t, 'retell', never)
    line.receive(ongoing)
    t.equal(await codeOf(line.call.transfer(DESK, { showCaller: true })), 'VOICE_AGENT_ERR_UNSUPPORTED')
    line.receive(retell.request(1, 'Hi'))
    await line.call.transfer(DESK, { showCaller: true })
    t.strictSame(line.frames.slice(2), [toRetell.complete(1, '', { show_transferee_as_caller: true, transfer_number: DESK })])
  })

  t.test('sendMetadata and updateAgent, behind the words that are ready', async t => {
    const line = openCall(t, 'retell', async function * () {
      yield 'One'
      yield ' two'
      await never()
    })
    line.receive(ongoing, retell.request(1, 'Hi'))
    await line.wrote(frame => frame['content'] === 'One')
    await line.call.sendMetadata({ panel: 'calendar' })
    await line.call.updateAgent({ reminder_max_count: 0 })
    t.strictSame(line.frames.slice(2), [
      toRetell.speech(1, 'One'),
      toRetell.speech(1, ' two'),
      { response_type: 'metadata', metadata: { panel: 'calendar' } },
      { response_type: 'update_agent', agent_config: { reminder_max_count: 0 } }
    ])
  })

  t.test('sendMetadata and updateAgent leave a call that has not introduced itself to be greeted', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'retell', agent)
    await line.call.sendMetadata({ panel: 'calendar' })
    line.receive(retell.details())
    t.strictSame(line.frames.at(-1), toRetell.complete(0, 'greeting 0'))
  })

  t.test('with nothing but what Retell takes', async t => {
    const line = openCall(t, 'retell', never)
    line.receive(ongoing, retell.request(1, 'Hi'))
    const wrong: Array<() => Promise<void>> = [
      () => line.call.interject(''),
      () => line.call.interject(42 as never),
      () => line.call.end({ say: 42 as never }),
      () => line.call.transfer(''),
      () => line.call.sendMetadata([] as never),
      () => line.call.updateAgent({ responsiveness: 2 })
    ]
    for (const act of wrong) t.equal(await codeOf(act()), 'VOICE_AGENT_ERR_ACTION')
    t.strictSame(line.frames.slice(2), [])
  })
})

t.test('the app can control a Millis call', async t => {
  t.test('end and transfer: the live turn ends first', async t => {
    const line = openCall(t, 'millis', never)
    line.receive(millis.request(1, 'Hi'))
    await line.call.end()
    t.strictSame(line.frames, [toMillis.complete(1), toMillis.endCall(1)])
    line.receive(millis.request(2, 'Hi'))
    await line.call.transfer(DESK)
    t.strictSame(line.frames.slice(2), [toMillis.complete(2), toMillis.transferCall(2, DESK)])
  })

  t.test('end and transfer between turns, and before the first', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'millis', agent)
    line.receive(millis.request(1, 'Hi'))
    await line.call.end()
    t.strictSame(line.frames, [toMillis.complete(1, 'response 1'), toMillis.endCall(1)])
    const before = openCall(t, 'millis', agent)
    await before.call.transfer(DESK, { say: 'Hold on' })
    before.receive(millis.start(0))
    t.strictSame(before.frames, [{ type: 'transfer_call', data: { destination: DESK } }])
  })

  t.test('in no other way', async t => {
    const line = openCall(t, 'millis', never)
    line.receive(millis.request(1, 'Hi'))
    const unsupported: Array<() => Promise<void>> = [
      () => line.call.interject('Paid!'),
      () => line.call.transfer(DESK, { showCaller: true }),
      () => line.call.sendMetadata({}),
      () => line.call.updateAgent({})
    ]
    for (const act of unsupported) t.equal(await codeOf(act()), 'VOICE_AGENT_ERR_UNSUPPORTED')
    t.strictSame(line.frames, [])
  })
})

t.test('a call that is over rejects control', async t => {
  for (const provider of ['retell', 'millis'] as const) {
    const line = openCall(t, provider, never)
    line.receive(provider === 'retell' ? retell.request(1, 'Hi') : millis.request(1, 'Hi'))
    const frames = line.frames.length
    line.hangUp(1006)
    const acts: Array<() => Promise<void>> = [
      () => line.call.interject('Paid!'),
      () => line.call.end(),
      () => line.call.transfer(DESK),
      () => line.call.sendMetadata({}),
      () => line.call.updateAgent({})
    ]
    for (const act of acts) t.equal(await codeOf(act()), 'VOICE_AGENT_ERR_CALL_ENDED')
    t.equal(line.frames.length, frames)
  }
})

t.test('a call ends once', async t => {
  const end = { no_interruption_allowed: true, end_call: true }

  t.test('by the app: what ends it again does nothing', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'retell', agent)
    line.receive(ongoing)
    await line.call.end({ say: 'Bye' })
    await line.call.end({ say: 'Bye' })
    await line.call.transfer(DESK)
    t.strictSame(line.frames.slice(2), [toRetell.interrupt(1, 'Bye', end)])
  })

  t.test('by the agent: what ends it again does nothing', async t => {
    for (const action of [endCall({ say: 'Bye' }), transferCall(DESK)]) {
      const line = openCall(t, 'retell', () => [action])
      line.receive(ongoing, retell.request(1, 'Hi'))
      await line.call.end({ say: 'Bye' })
      t.equal(line.frames.length, 3)
    }
  })

  t.test('unless the caller goes on: then it can be ended again', async t => {
    const { agent } = recorder()
    const line = openCall(t, 'retell', agent)
    line.receive(ongoing)
    await line.call.end({ say: 'Bye' })
    line.receive(retell.request(1, 'Wait'))
    await line.call.end({ say: 'Bye' })
    t.strictSame(line.frames.slice(2), [toRetell.interrupt(1, 'Bye', end), toRetell.complete(1, 'response 1'), toRetell.interrupt(2, 'Bye', end)])
  })

  t.test('unless the app goes on: its words discard the end, so that it can be ended again', async t => {
    const line = openCall(t, 'retell', never)
    line.receive(ongoing)
    await line.call.end()
    await line.call.interject('One more thing.')
    await line.call.end()
    t.strictSame(line.frames.slice(2), [
      toRetell.interrupt(1, '', end),
      toRetell.interrupt(2, 'One more thing.', { no_interruption_allowed: true }),
      toRetell.interrupt(3, '', end)
    ])
  })
})

t.test('Millis hangs up once the goodbye was played', async t => {
  const bye = () => [endCall({ say: 'Bye' })]

  t.test('as Millis tells of this very stream', async t => {
    const line = openCall(t, 'millis', bye)
    line.receive(millis.request(1, 'Hi'), millis.played('1'), millis.played(0))
    t.strictSame(line.frames, [toMillis.complete(1, 'Bye')])
    line.receive(millis.played(1), millis.played(1))
    t.strictSame(line.frames, [toMillis.complete(1, 'Bye'), toMillis.endCall(1)])
  })

  t.test('or must have been', async t => {
    const clock = useClock(t)
    const line = openCall(t, 'millis', () => ['Well', ', ', endCall({ say: 'Bye' })])
    line.receive(millis.request(1, 'Hi'))
    clock.pass(3_000 + 'Well, Bye'.length * 100 - 1)
    t.strictSame(line.frames, [toMillis.speech(1, 'Well'), toMillis.complete(1, ', Bye')])
    clock.pass(1)
    t.strictSame(line.frames.slice(2), [toMillis.endCall(1)])
    line.receive(millis.played(1))
    t.equal(line.frames.length, 3)
  })

  t.test('when the app says it', async t => {
    const clock = useClock(t)
    const { agent } = recorder()
    const line = openCall(t, 'millis', agent)
    line.receive(millis.request(1, 'Hi'))
    await line.call.transfer(DESK, { say: 'Hold on' })
    t.strictSame(line.frames.slice(1), [toMillis.complete(1, 'Hold on')])
    clock.pass(3_000 + 'Hold on'.length * 100)
    t.strictSame(line.frames.slice(2), [toMillis.transferCall(1, DESK)])
  })

  t.test('when the app says it over a live turn', async t => {
    const line = openCall(t, 'millis', never)
    line.receive(millis.request(1, 'Hi'))
    await line.call.end({ say: 'Bye' })
    await line.call.end({ say: 'Bye' })
    t.strictSame(line.frames, [toMillis.complete(1, 'Bye')])
    line.receive(millis.played(1))
    t.strictSame(line.frames.slice(1), [toMillis.endCall(1)])
  })

  t.test('unless the caller goes on', async t => {
    const clock = useClock(t)
    const line = openCall(t, 'millis', turn => turn.id === 1 ? bye() : 'Yes')
    line.receive(millis.request(1, 'Hi'), millis.request(2, 'Wait'), millis.played(1))
    clock.pass(60_000)
    t.strictSame(line.frames, [toMillis.complete(1, 'Bye'), toMillis.complete(2, 'Yes')])
  })

  t.test('unless the caller hangs up first', async t => {
    const clock = useClock(t)
    const line = openCall(t, 'millis', bye)
    line.receive(millis.request(1, 'Hi'))
    line.hangUp(1006)
    clock.pass(60_000)
    t.strictSame(line.frames, [toMillis.complete(1, 'Bye')])
  })
})

t.test('the server closes the connection of a Millis call that was ended, where Millis does not', async t => {
  const ways: Record<string, (line: ReturnType<typeof openCall>) => Promise<void>> = {
    'by the agent, with words': async line => line.receive(millis.request(1, 'Bye.')),
    'by the agent, without a word': async line => line.receive(millis.request(1, '')),
    'by the app': line => line.call.end({ say: 'Bye.' }),
    'by the app, without a word': line => line.call.end()
  }
  const { pass } = useClock(t)
  for (const [name, end] of Object.entries(ways)) {
    const line = openCall(t, 'millis', turn => turn.reason === 'greeting' ? 'Hello' : [endCall({ say: String(turn.messages.at(-1)?.content ?? '').replace(/^\(.*/, '') })])
    line.receive(millis.start(0))
    await end(line)
    const spoken = line.frames.at(-1)?.['type'] !== 'end_call'
    if (spoken) line.receive(millis.played(1), millis.played(0))
    t.equal(line.frames.at(-1)?.['type'], 'end_call', name)
    pass(9_999)
    t.strictSame(line.closes, [])
    pass(1)
    t.strictSame(line.closes, [{ code: 1000, reason: 'the call was ended' }])
  }

  const line = openCall(t, 'millis', () => 'Hello')
  line.receive(millis.start(0))
  await line.call.end()
  line.receive(millis.request(1, 'Wait!'))
  pass(60_000)
  t.strictSame(line.closes, [], 'unless the caller goes on')

  const moved = openCall(t, 'millis', () => 'Hello', { id: 'made-up 2' })
  moved.receive(millis.start(0, 'ses_2'))
  await moved.call.transfer(DESK)
  pass(60_000)
  t.strictSame(moved.closes, [], 'or is with somebody else')
  const onRetell = openCall(t, 'retell', () => 'Hello')
  onRetell.receive(retell.details())
  await onRetell.call.end()
  pass(60_000)
  t.strictSame(onRetell.closes, [], 'or Retell, which does')
})

t.test('a frame that breaks the protocol', async t => {
  t.test('is counted, and told of once without its content', async t => {
    const summary = deferred<CallSummary>()
    const line = openCall(t, 'retell', never, { hooks: { onCallEnd: (_call, ended) => summary.resolve(ended) } })
    const broken = ['secret', '"secret"', Buffer.from('secret'), { interaction_type: 'response_required', response_id: 'secret', transcript: [] }, { secret: true }]
    line.receive(ongoing, ...broken)
    const unknown = [{ interaction_type: 'sentiment', secret: true }, { interaction_type: 'secret words' }]
    line.receive(...unknown)
    t.match(line.complaints, [{ level: 40, msg: 'malformed frame ignored', why: 'not JSON', bytes: 6 }])
    t.equal(line.complaints.length, 1)
    t.strictSame(line.logs.filter(({ level, msg }) => level === 20 && msg === 'frame ignored').map(({ why }) => why), [
      'not a JSON object', 'binary frame', 'response_required: /response_id', 'no discriminator', 'unknown type sentiment', 'unknown type'
    ])
    t.notMatch(JSON.stringify(line.logs), /secret/)
    t.strictSame(line.frames, [toRetell.config, toRetell.complete(0)])
    line.hangUp(1006)
    t.match(await summary.promise, { malformedFrames: broken.length })
  })

  t.test('cannot be worse than a log line, also where the codec throws', async t => {
    const { agent } = recorder()
    const codec = newCodec('millis')
    const decode = codec.decode.bind(codec)
    codec.decode = (data, binary): ProviderEvent => {
      if (data.length === 0) throw new Error('secret')
      return decode(data, binary)
    }
    const line = openCall(t, 'millis', agent, { codec })
    line.receive('', millis.request(1, 'Hi'))
    t.strictSame(line.frames, [toMillis.complete(1, 'response 1')])
    t.match(line.complaints, [{ level: 50, msg: 'frame could not be handled', callId: 'call_1' }])
    t.notMatch(JSON.stringify(line.complaints), /secret/)
  })
})

t.test('after the socket closed frames are ignored', async t => {
  for (const provider of ['retell', 'millis'] as const) {
    const { agent, asked } = recorder()
    const line = openCall(t, provider, agent)
    const frames = line.frames.length
    line.hangUp(1006)
    line.receive(retell.details(), retell.ping(1), retell.request(1, 'Hi'), millis.start(0), millis.request(1, 'Hi'), '{')
    t.equal(line.frames.length, frames)
    t.strictSame(asked, [])
    t.strictSame(line.complaints, [])
  }
})

t.test('the registry', async t => {
  t.test('finds calls by id, and has those that live', async t => {
    const calls = new CallRegistry<LiveCall>()
    t.equal(calls.size, 0)
    const [one, two] = ['one', 'two'].map(id => openCall(t, 'retell', never, { id, calls }))
    t.equal(calls.get('one'), one!.call)
    t.equal(calls.get('two'), two!.call)
    t.equal(calls.get('three'), undefined)
    t.strictSame([...calls].map(({ id }) => id), ['one', 'two'])
    one!.hangUp(1006)
    t.equal(calls.get('one'), undefined)
    t.equal(calls.size, 1)
  })

  t.test('keeps two providers with one id apart', async t => {
    const calls = new CallRegistry<LiveCall>(['retell', 'millis'])
    const onMillis = openCall(t, 'millis', never, { id: 'same', calls })
    t.equal(calls.get('same'), onMillis.call)
    const onRetell = openCall(t, 'retell', never, { id: 'same', calls })
    t.equal(calls.size, 2)
    t.equal(calls.find('millis', 'same'), onMillis.call)
    t.equal(calls.get('same'), onRetell.call)
    onRetell.hangUp(1006)
    t.equal(calls.get('same'), onMillis.call)
    t.strictSame(onMillis.closes, [])
  })

  t.test('gives an id to the newer of two sockets, and the older is dropped', async t => {
    const calls = new CallRegistry<LiveCall>()
    const older = openCall(t, 'retell', never, { calls })
    const newer = openCall(t, 'retell', never, { calls })
    t.strictSame(older.closes, ['terminate'])
    older.hangUp(1006)
    t.equal(older.call, newer.call)
    t.equal(calls.get('call_1'), newer.call)
    t.strictSame(newer.closes, [])
  })

  t.test('ends a Millis call whose session is claimed by another that has already gone on', async t => {
    const calls = new CallRegistry<LiveCall>()
    const [older, newer] = ['made-up 1', 'made-up 2'].map(id => openCall(t, 'millis', never, { id, calls }))
    older!.receive(millis.start(0))
    newer!.receive(millis.request(1, 'Hi'), millis.start(0))
    t.strictSame(older!.closes, [{ code: 1001, reason: 'the call moves to another connection' }])
    t.equal(calls.get('ses_1'), newer!.call)
    t.equal(calls.size, 1)
    older!.receive(millis.request(1, 'Are you there?'))
    older!.hangUp(1001)
    t.equal(older!.logs.filter(({ msg }) => msg === 'call ended').length, 1)
    t.strictSame(older!.frames, [])
  })
})

t.test('a call knows what its provider told', async t => {
  t.test('Retell', async t => {
    const line = openCall(t, 'retell', never, { id: 'call_9' })
    const facts = () => {
      const { id, provider, from, to, direction, metadata, variables, details } = line.call
      return { id, provider, from, to, direction, metadata, variables, details }
    }
    const unknown = { id: 'call_9', provider: 'retell', from: undefined, to: undefined, direction: undefined, metadata: {}, variables: {}, details: undefined }
    t.strictSame(facts(), unknown)
    const details = retell.details({
      from_number: '+15550100001', to_number: DESK, direction: 'inbound', metadata: { plan: 'gold' }, retell_llm_dynamic_variables: { name: 'Ann' }
    })
    line.receive(details)
    t.strictSame(facts(), {
      id: 'call_9', provider: 'retell', from: '+15550100001', to: DESK, direction: 'inbound', metadata: { plan: 'gold' }, variables: { name: 'Ann' }, details: details['call']
    })
  })

  t.test('Millis', async t => {
    const line = openCall(t, 'millis', never)
    t.strictSame(line.call.variables, {})
    const start = millis.start(0, 'ses_9', { metadata: { plan: 'gold' }, voip: { from: '+15550100001', to: DESK, direction: 'outbound' } })
    line.receive(start)
    const { id, provider, from, to, direction, metadata, variables, details } = line.call
    t.strictSame({ id, provider, from, to, direction, metadata, variables, details }, {
      id: 'ses_9', provider: 'millis', from: '+15550100001', to: DESK, direction: 'outbound', metadata: { plan: 'gold' }, variables: {}, details: start['data']
    })
  })

  t.test('and what its app wrote down, which no other call sees', async t => {
    const [one, two] = ['one', 'two'].map(id => openCall(t, 'retell', turn => {
      turn.call.state['turns'] = Number(turn.call.state['turns'] ?? 0) + 1
      return 'Yes'
    }, { id }))
    one!.receive(retell.request(1, 'Hi'), retell.request(2, 'Hi'))
    two!.receive(retell.request(1, 'Hi'))
    t.strictSame([one!.call.state, two!.call.state], [{ turns: 2 }, { turns: 1 }])
  })
})

t.test('a report tells of no frame that its turn did not write', async t => {
  const reports: TurnReport[] = []
  const line = openCall(t, 'retell', () => 'Yes', { hooks: { onTurnEnd: (_turn, report) => { reports.push(report) } } })
  line.receive(retell.request(1, 'Hi'))
  await tick()
  t.match(reports, [{ outcome: 'completed', characters: 3 }])
  t.equal(reports.length, 1)
})

t.test('the record of a call', async t => {
  t.test('takes tool calls while a turn is live and results at any time, and tells Retell of each once', async t => {
    const answered = deferred<string>()
    const line = openCall(t, 'retell', turn => turn.id === 1 ? answered.promise : `${turn.messages.length}`)
    line.receive(ongoing, retell.request(1, 'Hi'))
    line.frames.length = 0
    const book = toolCall('1', 'book', {})
    t.strictSame([line.call.record(book), line.call.record(book), line.call.record(toolResult('1', 'soon')), line.call.record(toolResult('1', 'done', true))], [true, false, true, false])
    t.strictSame(line.frames, [
      { response_type: 'tool_call_invocation', tool_call_id: '1', name: 'book', arguments: '{}' },
      { response_type: 'tool_call_result', tool_call_id: '1', content: 'soon' }
    ])
    answered.resolve('Yes')
    await line.completed(1)
    t.throws(() => line.call.record(toolCall('2', 'book', {})), { code: 'VOICE_AGENT_ERR_ACTION', message: 'record: no turn is live that could call a tool' })
    t.notOk(line.call.record(toolResult('3', 'of a call that nobody was told of')))
    line.receive(retell.request(2, 'Hi', 'Yes', 'So?'))
    await line.completed(2)
    t.strictSame(line.frames.at(-1), toRetell.complete(2, '5'))
  })

  t.test('takes nothing else', async t => {
    const line = openCall(t, 'retell', never)
    line.receive(retell.request(1, 'Hi'))
    for (const entry of ['word', undefined, {}, endCall(), { action: 'tool-result', id: '', content: 'x' }]) {
      t.throws(() => line.call.record(entry as never), { code: 'VOICE_AGENT_ERR_ACTION', message: 'record: entry must be made by toolCall or toolResult' })
    }
  })

  t.test('is kept when nobody is connected, or nothing of it can be sent', async t => {
    const line = openCall(t, 'millis', never)
    line.receive(millis.start(0))
    line.call.record(toolCall('1', 'book', {}))
    line.hangUp(1000)
    t.ok(line.call.record(toolResult('1', 'done')))
    t.strictSame(line.frames, [])
  })
})

t.test('work that outlasts its turn is waited for, and its failure logged without what was said', async t => {
  const line = openCall(t, 'retell', never)
  line.receive(retell.request(1, 'Hi'))
  const work = deferred()
  line.call.waitUntil(work.promise)
  let isSettled = false
  const settled = line.hooks.settled().then(() => { isSettled = true })
  await tick()
  t.notOk(isSettled)
  work.reject(new Error('Noor'))
  await settled
  t.match(line.complaints, [{ level: 50, msg: 'work after a turn failed', err: { type: 'Error' } }])
  t.notMatch(JSON.stringify(line.complaints), /Noor/)
})

t.test('a call that has ended does not move to another node', async t => {
  const line = openCall(t, 'retell', () => 'Yes')
  line.receive(retell.details())
  await line.completed(0)
  line.hangUp(1000)
  const before = [...line.closes]
  line.call.moved()
  t.strictSame(line.closes, before)
})
