import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import t, { type Test } from 'tap'
import {
  DeadlineError, endCall, filler, pause, speakable, toolCall, toolResult, transferCall, uninterruptible, usage, type CallSummary,
  type Reply, type Turn, type TurnReport
} from '../../lib/index.js'
import { loggedId } from '../../lib/telemetry/report.js'
import { deferred } from '../helpers/app.js'
import { openCall, tick, type CallOptions } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

/** Asks one turn, 1, whose agent waits for the test, and returns its report. Time passes when the test says so. */
async function reportOf (t: Test, agent: (turn: Turn, wait: (ms: number) => Promise<void>) => Reply, options: CallOptions = {}) {
  const { pass } = useClock(t)
  const wait = (ms: number): Promise<void> => new Promise(resolve => { setTimeout(resolve, ms) })
  const reported = deferred<TurnReport>()
  const state = { isOver: false }
  reported.promise.then(() => { state.isOver = true }, t.error)
  const line = openCall(t, 'retell', turn => turn.id === 1 ? agent(turn, wait) : 'Hello.', {
    ...options,
    hooks: { onTurnEnd: (turn, report) => { if (turn.id === 1) reported.resolve(report) }, ...options.hooks }
  })
  line.receive(retell.details(), retell.request(1, 'Hi'))
  await tick()
  while (!state.isOver) await pass(100)
  return { report: await reported.promise, line }
}

t.test('a turn is reported from the request to its last frame', async t => {
  const { report, line } = await reportOf(t, async function * (_turn, wait) {
    await wait(300)
    yield filler('One moment.')
    yield usage('gpt-small', { inputTokens: 100, outputTokens: 5 })
    yield toolCall('tool_1', 'look_up', {})
    yield toolCall('tool_2', 'book', {})
    await wait(400)
    yield toolResult('tool_1', 'free', true)
    await wait(300)
    yield toolResult('tool_2', 'no', false)
    yield toolCall('tool_3', 'notify', {})
    await wait(200)
    yield 'It '
    await wait(100)
    yield uninterruptible('costs 3.')
    await wait(100)
    yield '50 euros. '
    yield 'Anything else?'
    await wait(100)
    yield usage('gpt-large', { inputTokens: 200, outputTokens: 10 })
  })
  const { askedAt, sendBufferPeakBytes, ...rest } = report
  t.strictSame(rest, {
    callId: 'call_1',
    provider: 'retell',
    turnId: 1,
    reason: 'response',
    outcome: 'completed',
    agentCalledMs: 0,
    firstTokenMs: 300,
    firstFrameMs: 1_200,
    fillerMs: 300,
    firstSentenceMs: 1_400,
    lastFrameMs: 1_500,
    durationMs: 1_500,
    tokens: 4,
    frames: 5,
    characters: 'One moment. It costs 3.50 euros. Anything else?'.length,
    unspokenCharacters: 0,
    tools: [
      { id: 'tool_1', name: 'look_up', startMs: 300, durationMs: 400, successful: true },
      { id: 'tool_2', name: 'book', startMs: 300, durationMs: 700, successful: false },
      { id: 'tool_3', name: 'notify', startMs: 1_000, durationMs: undefined, successful: undefined }
    ],
    model: 'gpt-large',
    inputTokens: 300,
    outputTokens: 15
  })
  t.ok(askedAt > 0)
  t.equal(sendBufferPeakBytes, 0)

  const logged = line.logs.find(({ msg, turnId }) => msg === 'turn ended' && turnId === 1)!
  t.match(
    logged, { level: 30, callId: 'call_1', reason: 'response', outcome: 'completed', firstFrameMs: 1_200, tools: 3, model: 'gpt-large' }
  )
  t.notMatch(JSON.stringify(logged), /look_up|euros/)
})

t.test('figures of events that did not happen are undefined', async t => {
  const { report } = await reportOf(t, () => undefined)
  t.match(report, {
    outcome: 'completed', firstTokenMs: undefined, firstFrameMs: undefined, fillerMs: undefined, firstSentenceMs: undefined, lastFrameMs: 0, tokens: 0, frames: 1, characters: 0, tools: [], model: undefined
  })
  t.notOk('error' in report)
})

t.test('returned words and the words of an action count as the first token', async t => {
  for (const [agent, tokens] of [
    [async (_turn: Turn, wait: (ms: number) => Promise<void>) => { await wait(300); return 'Yes.' }, 1],
    [async function * (_turn: Turn, wait: (ms: number) => Promise<void>) { await wait(300); yield endCall({ say: 'Bye.' }) }, 1],
    [async function * (_turn: Turn, wait: (ms: number) => Promise<void>) {
      await wait(300); yield transferCall(
        '+15550100', { say: 'Wait.' }
      )
    }, 1],
    [async function * (_turn: Turn, wait: (ms: number) => Promise<void>) { await wait(300); yield endCall() }, 0]
  ] as const) {
    await t.test(async t => {
      const { report } = await reportOf(t, agent)
      t.match(report, { tokens, outcome: 'completed' })
      t.equal(report.firstTokenMs, tokens === 0 ? undefined : 300)
    })
  }
})

t.test('an answer without a full stop counts as a sentence at its end', async t => {
  const { report } = await reportOf(t, async function * (_turn, wait) {
    yield 'Yes'
    await wait(200)
    yield ' please'
    await wait(200)
  })
  t.match(report, { firstFrameMs: 0, firstSentenceMs: 400, lastFrameMs: 400 })
})

t.test('a sentence ends when more text follows', async t => {
  const { report } = await reportOf(t, async function * (_turn, wait) {
    yield 'He said "yes.'
    await wait(100)
    yield pause(500)
    yield '" And'
    await wait(100)
  })
  t.ok([0, 100].includes(report.firstSentenceMs!))
})

t.test('an agent that waits for onCallStart is reported as called late', async t => {
  const { report } = await reportOf(t, () => 'Yes.', { hooks: { onCallStart: () => new Promise(resolve => { setTimeout(resolve, 500) }) } })
  t.match(report, { agentCalledMs: 500, firstFrameMs: 500, firstSentenceMs: 500, durationMs: 500 })
})

t.test('a deadline is reported with its error, and the fallback is the first frame', async t => {
  const { report } = await reportOf(t, () => new Promise<string>(() => {}), { deadlines: { firstTokenMs: 1_000 } })
  t.match(report, { outcome: 'deadline', firstTokenMs: undefined, firstFrameMs: 1_000, tokens: 0, frames: 1, error: DeadlineError })
})

t.test('the peak of unsent bytes is in the report of its own turn only', async t => {
  const reports: TurnReport[] = []
  const line = openCall(t, 'retell', () => 'Yes', { hooks: { onTurnEnd: (_turn, report) => { reports.push(report) } } })
  line.receive(retell.details())
  line.bufferedAmount = 5_000
  line.receive(retell.request(1, 'Hi'))
  line.bufferedAmount = 0
  line.receive(retell.request(2, 'Hi'))
  await tick()
  t.strictSame(reports.map(({ sendBufferPeakBytes }) => sendBufferPeakBytes), [0, 5_000, 0])
})

t.test('text that is not speech is counted, and logged once a call without its content', async t => {
  const { report, line } = await reportOf(t, turn => speakable(['<think>secret</think>Yes', ` ${String(turn.id)}`, '<|im_end|>']))
  t.equal(report.unspokenCharacters, '<think>secret</think><|im_end|>'.length)
  line.receive(retell.request(2, 'Hi', 'And?'))
  await line.completed(2)
  const warnings = line.logs.filter(({ level }) => level >= 40)
  t.match(
    warnings, [{ msg: 'the model wrote text that is no speech; it was not spoken', characters: 31, kinds: ['reasoning', 'control token'] }]
  )
  t.equal(warnings.length, 1)
  t.notMatch(JSON.stringify(line.logs.filter(({ level }) => level >= 30)), /secret/)
})

t.test('the warning comes once a call, even if more turns have such text', async t => {
  const line = openCall(t, 'retell', () => speakable(['</think>Yes']))
  line.receive(retell.details(), retell.request(1, 'Hi'))
  await line.completed(1)
  line.receive(retell.request(2, 'And?'))
  await line.completed(2)
  t.equal(line.logs.filter(({ level }) => level >= 40).length, 1)
})

t.test('usage counts a value that is not a number of tokens as 0', async t => {
  t.match(usage('m'), { action: 'usage', model: 'm', inputTokens: 0, outputTokens: 0 })
  t.match(usage('m', { inputTokens: 0.5, outputTokens: 1e9 }), { inputTokens: 0.5, outputTokens: 1e9 })
  for (const wrong of [-1, NaN, Infinity, 1e9 + 1, null, '5', {}]) {
    t.strictSame(
      usage('m', { inputTokens: wrong as never, outputTokens: wrong as never }), usage('m'), String(wrong)
    )
  }
  t.throws(() => usage(5 as never), { code: 'VOICE_AGENT_ERR_ACTION' })
})

t.test('diagnostics channels publish turns and calls', async t => {
  const told: Array<[string, unknown]> = []
  for (const name of ['call:start', 'turn:start', 'turn:first-token', 'turn', 'call']) {
    const listen = (message: unknown): void => { told.push([name, message]) }
    subscribe(`fastify-voice-agent:${name}`, listen)
    t.teardown(() => unsubscribe(`fastify-voice-agent:${name}`, listen))
  }
  const line = openCall(t, 'millis', async function * () {
    yield filler('Hm.')
    yield 'Yes'
    yield toolCall('tool_1', 'look_up', {})
  })
  line.receive(millis.start(0))
  const { call } = line
  await tick()
  line.hangUp(1000)
  t.match(told, [
    ['call:start', { call }],
    ['turn:start', { turn: { id: 0, reason: 'greeting' } }],
    ['turn:first-token', { turn: { id: 0 }, firstTokenMs: Number }],
    ['turn', { turn: { id: 0, reason: 'greeting' }, report: { callId: 'ses_1', turnId: 0, outcome: 'completed' } }],
    ['call', { call, summary: { callId: 'ses_1', code: 1000, turns: 1 } }]
  ])
  t.equal(told.length, 5)
  t.notOk('transcript' in (told[4]![1] as { summary: object }).summary, 'the published summary has no transcript')
})

t.test('a turn that a subscriber ends is over, and its deadlines are cleared', async t => {
  const { pass, left } = useClock(t)
  const end = (message: unknown): void => { void (message as { turn: Turn }).turn.call.end() } // eslint-disable-line no-void
  subscribe('fastify-voice-agent:turn:first-token', end)
  t.teardown(() => unsubscribe('fastify-voice-agent:turn:first-token', end))
  for (const first of ['Yes. ', toolCall('tool_1', 'look_up', {})]) {
    const line = openCall(t, 'retell', ({ id }) => id === 0 ? '' : (async function * () { yield first; await new Promise(() => {}) })(), {
      deadlines: { tokenGapMs: 100, turnMs: 1_000 }, fallback: () => t.fail('the fallback must not be spoken') as never
    })
    line.receive(retell.details())
    await tick()
    line.receive(retell.request(1, 'Hi'))
    await pass(0)
    await pass(2_000)
    line.hangUp(1000)
    t.equal(left(), 0)
  }
})

t.test('a call\'s transcript is the last one reported, and the words since', async t => {
  const transcriptOf = async (hooks: CallOptions['hooks'], work: (line: ReturnType<typeof openCall>) => void): Promise<unknown> => {
    const ended = deferred<CallSummary>()
    const line = openCall(
      t, 'retell', ({ id }) => id === 2 ? '' : `Answer ${id}.`,
      { hooks: { ...hooks, onCallEnd: (_call, summary) => { ended.resolve(summary) } } }
    )
    line.receive(retell.details())
    work(line)
    line.hangUp(1000)
    return (await ended.promise).transcript
  }
  const said = (role: string, content: string) => ({ role, content })
  t.strictSame(await transcriptOf({}, () => {}), [said('agent', 'Answer 0.')])
  t.strictSame(
    await transcriptOf({}, line => line.receive(retell.request(1, 'a'), retell.update('a', 'Answer 1.', 'b'))),
    [said('user', 'a'), said('agent', 'Answer 1.')]
  )
  t.strictSame(await transcriptOf({}, line => line.receive(retell.request(2, 'a'))), [said('user', 'a')])
  t.strictSame(await transcriptOf({ onTranscript: () => {} }, line => line.receive(retell.request(1, 'a'), retell.update('a', 'Ans', 'b'))),
    [said('user', 'a'), said('agent', 'Ans'), said('user', 'b')])
})

t.test('turn ids are logged if they look like ids', async t => {
  t.strictSame(
    [0, 7, '12', 'a1b2-c3', '', 'x'.repeat(65), 'my name is Ann', '+15550100001'].map(loggedId),
    [0, 7, '12', 'a1b2-c3', undefined, undefined, undefined, undefined]
  )
})
