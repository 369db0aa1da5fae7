import t, { type Test } from 'tap'
import { transferCall, type CallCeiling, type CallSummary, type LimitOptions, type Turn } from '../../lib/index.js'
import type { LiveCall } from '../../lib/call/call.js'
import type { CallLimits, Goodbye } from '../../lib/call/limits.js'
import { createGoodbye } from '../../lib/call/limits.js'
import { Pulse, PULSE_MS } from '../../lib/call/pulse.js'
import { build, deferred } from '../helpers/app.js'
import { openCall, tick, toMillis, toRetell, type CallOptions, type Line } from '../helpers/call.js'
import { dialUrl, millis, retell, type Caller } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const GOODBYE = 'I am sorry, we have to end our call here. Goodbye.'
const farewell = (id: number, content = GOODBYE): object => toRetell.complete(id, content, { no_interruption_allowed: true, end_call: true })

/** A Retell call that has been greeted. */
function open (t: Test, limits: Partial<CallLimits>, options: CallOptions & { agent?: (turn: Turn) => any } = {}) {
  const summary = deferred<CallSummary>()
  const line = openCall(t, 'retell', options.agent ?? (({ reason }) => reason === 'greeting' ? 'Hello!' : 'Yes'), {
    limits, ...options, hooks: { onCallEnd: (_call, told) => { summary.resolve(told) }, ...options.hooks }
  })
  line.receive(retell.details())
  line.frames.length = 0
  return { line, summary: summary.promise }
}

const limitsLogged = (line: Line): unknown[] => line.complaints.filter(({ msg }) => msg.includes('ceiling')).map(({ limit }) => limit)

t.test('one turn too many is answered with a goodbye that ends the call, and so is every further one', async t => {
  const asked: unknown[] = []
  const { line, summary } = open(t, { maxTurnsPerCall: 2 }, { agent: ({ id }: Turn) => { asked.push(id) } })
  line.receive(retell.request(1, 'a'), retell.request(2, 'b'))
  t.strictSame(line.frames, [toRetell.complete(1), farewell(2)])
  // Who talks on is told once more, since Retell hangs up only when nobody talks over it.
  line.receive(retell.request(3, 'c'))
  t.strictSame(line.frames.at(-1), farewell(3))
  t.strictSame(asked, [0, 1])
  t.equal(line.calls.refusals.maxTurnsPerCall, 1)
  t.strictSame(limitsLogged(line), ['maxTurnsPerCall'])
  line.hangUp(1000)
  t.match(await summary, { code: 1000, turns: 4, limit: 'maxTurnsPerCall' })
})

t.test('a call within its limits ends as ever', async t => {
  const { line, summary } = open(t, { maxTurnsPerCall: 2 })
  line.receive(retell.request(1, 'a'))
  line.hangUp(1000)
  t.notOk('limit' in await summary)
})

t.test('a model that is too dear is stopped in the middle of a word', async t => {
  const aborted = deferred<unknown>()
  const { line } = open(t, { maxTokensPerCall: 100 }, {
    async * agent ({ reason, signal, call }: Turn) {
      if (reason === 'greeting') return
      call.countTokens(100)
      yield 'Well, '
      signal.addEventListener('abort', () => { aborted.resolve(signal.reason.reason) })
      call.countTokens(0.5)
      yield 'never'
    }
  })
  await line.completed(0)
  line.frames.length = 0
  line.receive(retell.request(1, 'a'))
  await line.completed(1)
  t.strictSame(line.frames, [toRetell.speech(1, 'Well, '), farewell(1)])
  t.equal(await aborted.promise, 'ended')
  await tick()
  t.equal(line.frames.length, 2)
  for (const tokens of [-1, NaN, Infinity, '5'] as number[]) {
    t.throws(() => line.call.countTokens(tokens), { code: 'VOICE_AGENT_ERR_ACTION' }, String(tokens))
  }
})

t.test('tokens that are counted outside a turn end the call outside a turn, and those of a call that is over do nothing', async t => {
  const { line } = open(t, { maxTokensPerCall: 100 })
  const { call } = line
  call.countTokens(101)
  t.strictSame(line.frames, [toRetell.interrupt(1, GOODBYE, { no_interruption_allowed: true, end_call: true })])
  line.hangUp(1000)
  call.countTokens(101)
  t.equal(line.frames.length, 1)
  t.equal(line.calls.refusals.maxTokensPerCall, 1)
})

t.test('a call that reaches a ceiling while its provider is away is ended when it comes back', async t => {
  const { line } = open(t, { maxTokensPerCall: 100 }, { reconnectGraceMs: 60_000 })
  const { call, calls } = line
  line.hangUp(1006)
  call.countTokens(101)
  const again = openCall(t, 'retell', () => 'Yes', { calls })
  t.match(again.frames, [toRetell.config, toRetell.complete(0), toRetell.interrupt(1, '', { end_call: true })])
  t.equal(calls.size, 1)
})

t.test('a call may last as long as it may', async t => {
  const { pass } = useClock(t)
  const { line } = open(t, { maxCallDurationMs: 4 * PULSE_MS })
  const pulse = new Pulse()
  pulse.add(line.connection)
  t.teardown(() => pulse.remove(line.connection))
  for (let i = 0; i < 4; i++) await pass(PULSE_MS)
  t.strictSame(line.frames, [])
  await pass(PULSE_MS)
  t.match(line.frames, [toRetell.interrupt(1, GOODBYE, { end_call: true })])
  await pass(PULSE_MS)
  t.equal(line.frames.length, 1)
  t.equal(line.calls.refusals.maxCallDurationMs, 1)
})

t.test('who does not hang up on a goodbye is hung up on', async t => {
  const { pass, left } = useClock(t)
  const { line, summary } = open(t, { maxTurnsPerCall: 1 })
  line.receive(retell.request(1, 'a'))
  await pass(10_000)
  line.receive(retell.request(2, 'b'))
  await pass(9_999)
  t.strictSame(line.closes, [])
  await pass(1)
  t.match(line.closes, [{ code: 1000 }])
  t.match(await summary, { code: 1000, limit: 'maxTurnsPerCall' })
  t.equal(left(), 0)
})

for (const [name, limits, fine] of [
  ['maxFramesPerSecond', { maxFramesPerSecond: 1 }, 9],
  ['maxBytesPerCall', { maxBytesPerCall: 1000 }, 9]
] as const) {
  t.test(`${name}: of who sends too much nothing is read any more`, async t => {
    const { pass } = useClock(t)
    const { line } = open(t, limits)
    const pulse = new Pulse()
    pulse.add(line.connection)
    t.teardown(() => pulse.remove(line.connection))
    const ping = JSON.stringify(retell.ping()).padEnd(name === 'maxBytesPerCall' ? 100 : 0)
    for (let i = 0; i < fine; i++) line.receive(ping)
    t.equal(line.frames.length, fine)
    t.strictSame(line.closes, [])
    line.receive(ping)
    t.match(line.frames.slice(fine), [toRetell.interrupt(1, GOODBYE, { end_call: true })])
    t.strictSame(line.closes, ['pause'])
    line.receive(ping, retell.request(1, 'a'), '{')
    t.equal(line.frames.length, fine + 1)
    t.equal(line.calls.refusals[name], 1)
    // It is not blamed for the pongs that are not read.
    for (let i = 0; i < 3; i++) await pass(PULSE_MS)
    t.strictSame(line.closes, ['pause'])
    await pass(PULSE_MS)
    t.match(line.closes, ['pause', { code: 1000 }])
  })
}

t.test('frames may come all at once after a while, and no more of them than had been due', async t => {
  const { pass } = useClock(t)
  const { line } = open(t, { maxFramesPerSecond: 2 })
  const pulse = new Pulse()
  pulse.add(line.connection)
  t.teardown(() => pulse.remove(line.connection))
  const send = (count: number): void => { for (let i = 0; i < count; i++) line.receive(retell.ping()) }
  send(19)
  await pass(PULSE_MS)
  send(10)
  t.strictSame(line.closes, [])
  await pass(PULSE_MS)
  await pass(PULSE_MS)
  send(20)
  t.strictSame(line.closes, [])
  send(1)
  t.strictSame(line.closes, ['pause'])
})

t.test('pings and pongs are frames like any other', async t => {
  const { line } = open(t, { maxFramesPerSecond: 1 })
  for (let i = 0; i < 9; i++) line.connection.heard(125)
  t.strictSame(line.closes, [])
  line.connection.heard(125)
  t.match(line.frames, [toRetell.interrupt(1, GOODBYE, { end_call: true })])
  t.strictSame(line.closes, ['pause'])
  line.connection.heard(125)
  t.equal(line.calls.refusals.maxFramesPerSecond, 1)
})

t.test('the bytes in pings and pongs are bytes of the call', async t => {
  const { line } = open(t, { maxBytesPerCall: 1_000 })
  for (let i = 0; i < 8; i++) line.connection.heard(125)
  t.strictSame(limitsLogged(line), ['maxBytesPerCall'])
})

t.test('a flood ahead of the call is no call, and is closed without a word', async t => {
  for (const limits of [{ maxFramesPerSecond: 1 }, { maxBytesPerCall: 300 }]) {
    const line = openCall(t, 'retell', () => 'Yes', { limits })
    line.frames.length = 0
    for (let i = 0; i < 20; i++) line.receive(JSON.stringify(retell.update()).padEnd(40))
    t.strictSame(line.frames, [])
    t.match(line.closes, [{ code: 1008, reason: /exceeds max(Frames|Bytes)/ }])
    t.equal(line.calls.size, 0)
    t.equal(line.calls.refusals.maxFramesPerSecond + line.calls.refusals.maxBytesPerCall, 1)
  }
})

t.test('Millis is told to hang up once the goodbye was played', async t => {
  const line = openCall(t, 'millis', () => 'Yes', { limits: { maxTurnsPerCall: 1 } })
  line.receive(millis.start(0), millis.request(1, 'Hi'))
  t.strictSame(line.frames.slice(-1), [toMillis.complete(1, GOODBYE)])
  line.receive(millis.played(1))
  t.strictSame(line.frames.at(-1), toMillis.endCall(1))
})

t.test('the goodbye is a line of the app\'s own, or none, or ours where the app\'s function fails', async t => {
  const cases: Array<[Goodbye | undefined, expected: string]> = [
    [undefined, GOODBYE],
    ['Bye.', 'Bye.'],
    ['', ''],
    [(call, limit) => `${call.id} ${limit}`, 'call_1 maxTurnsPerCall'],
    [() => { throw new Error('no') }, GOODBYE],
    [() => 5 as unknown as string, GOODBYE]
  ]
  for (const [goodbye, expected] of cases) {
    const { line } = open(t, { maxTurnsPerCall: 1, goodbye: createGoodbye(goodbye) })
    line.receive(retell.request(1, 'a'))
    t.match(line.frames, [{ response_id: 1, content: expected, content_complete: true, end_call: true }])
  }
})

t.test('a line is found once, however often it is said', async t => {
  let found = 0
  const { line } = open(t, { maxTurnsPerCall: 1, goodbye: createGoodbye(() => `Bye ${++found}.`) })
  line.receive(retell.request(1, 'a'), retell.request(2, 'b'), retell.request(3, 'c'))
  t.strictSame(line.frames.map(({ content }) => content), ['Bye 1.', 'Bye 1.', 'Bye 1.'])
})

t.test('a call that is being transferred is let go, and one that comes back from it is ended', async t => {
  const { pass } = useClock(t)
  const { line } = open(t, { maxTokensPerCall: 100 }, { agent: ({ id }: Turn) => id === 1 ? [transferCall('+15550100009', { say: 'One moment.' })] : 'Hello!' })
  line.receive(retell.request(1, 'a'))
  await line.completed(1)
  const { length } = line.frames
  line.call.countTokens(101)
  await pass(60_000)
  t.equal(line.frames.length, length)
  t.strictSame(line.closes, [])
  line.receive(retell.request(2, 'nobody answers'))
  t.strictSame(line.frames.slice(length), [farewell(2)])
  await pass(20_000)
  t.match(line.closes, [{ code: 1000 }])
})

t.test('a ceiling reached while onCallStart is at work', async t => {
  const started = deferred()
  const { line } = open(t, { maxTurnsPerCall: 1 }, { hooks: { onCallStart: () => started.promise } })
  line.receive(retell.request(1, 'a'))
  t.strictSame(line.frames, [toRetell.complete(0), farewell(1)])
  started.resolve()
  await tick()
  t.equal(line.frames.length, 2)
})

t.test('over a real socket a caller hears a goodbye at every ceiling', async t => {
  const cases: Array<[limits: LimitOptions, reach: (caller: Caller, call: LiveCall) => void]> = [
    [{ maxTurnsPerCall: 1 }, caller => caller.send(retell.request(1, 'a'))],
    [{ maxFramesPerSecond: 1 }, caller => { for (let i = 0; i < 20; i++) caller.send(retell.ping()) }],
    [{ maxBytesPerCall: 2000 }, caller => caller.send(retell.update('x'.repeat(2000)))],
    [{ maxTokensPerCall: 1 }, (_caller, call) => call.countTokens(2)],
    [{ maxCallDurationMs: 1 }, (_caller, call) => { for (const start = performance.now(); performance.now() <= start + 1; call.pulse()); }]
  ]
  for (const [limits, reach] of cases) {
    const { app } = await build(t, () => 'Yes', { limits })
    const caller = await dialUrl(t, `${await app.listen({ port: 0, host: '127.0.0.1' })}/llm-websocket/call_1`)
    caller.send(retell.details())
    await caller.response(0)
    const call = app.calls.get('call_1') as LiveCall
    reach(caller, call)
    const [goodbye] = (await caller.until(({ end_call: isEnd }) => isEnd === true)).slice(-1)
    t.equal(goodbye!['content'], GOODBYE)
    const [limit] = Object.keys(limits) as CallCeiling[]
    t.equal(app.calls.refusals[limit!], 1)
  }
})
