import t, { type Test } from 'tap'
import { endCall, filler, flush, pause, toolCall, toolResult, uninterruptible } from '../../lib/contract/agent.js'
import type { Reply, Speech, Turn } from '../../lib/contract/agent.js'
import { DeadlineError } from '../../lib/contract/errors.js'
import type { TurnReport } from '../../lib/telemetry/report.js'
import { deferred } from '../helpers/app.js'
import { APOLOGY, GREETING, openCall, tick, toMillis, toRetell, type CallOptions } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const DEADLINES = { firstTokenMs: 5_000, tokenGapMs: 3_000, turnMs: 20_000 }

/** An agent that says what it is told, when it is told. */
function puppet () {
  let next = deferred<Speech>()
  const signals: AbortSignal[] = []
  let closed = 0
  return {
    signals,
    closed: () => closed,
    async * agent (turn: Turn): AsyncGenerator<Speech> {
      signals.push(turn.signal)
      try {
        for (;;) yield await next.promise
      } finally {
        closed++
      }
    },
    async say (...pieces: Speech[]) {
      for (const piece of pieces) {
        const told = next
        next = deferred()
        told.resolve(piece)
        await tick()
      }
      // The words leave at the end of the loop's turn.
      await tick()
    }
  }
}

/** A call in mid-conversation, of which a turn is answered by the agent. */
function ask (t: Test, agent: (turn: Turn) => Reply, options: CallOptions = {}) {
  const reports: TurnReport[] = []
  const clock = useClock(t)
  const line = openCall(t, 'retell', agent, {
    deadlines: DEADLINES,
    ...options,
    hooks: { onTurnEnd: (_turn, report) => { reports.push(report) } }
  })
  line.receive(retell.details({ call_status: 'ongoing' }))
  line.frames.length = 0
  line.receive(retell.request(1, 'Hi'))
  return { ...clock, line, reports }
}

t.test('an agent that never says a word is answered for, and told to stop', async t => {
  const { agent, signals, say } = puppet()
  const { line, reports, pass, left } = ask(t, agent)
  await pass(4_999)
  t.strictSame(line.frames, [])
  await pass(1)
  t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
  t.match(signals[0]?.reason, { name: 'AbortError', reason: 'deadline' })
  t.match(reports, [{ outcome: 'deadline', error: { code: 'VOICE_AGENT_ERR_DEADLINE', deadline: 'first-token', ms: 5_000 } }])
  t.match(line.complaints, [{ level: 40, msg: 'agent exceeded a deadline', deadline: 'first-token', ms: 5_000, turnId: 1 }])
  await say('Too late')
  t.equal(line.frames.length, 1)
  t.equal(left(), 0)
})

t.test('an agent that never returns is answered for', async t => {
  for (const agent of [() => new Promise<string>(() => {}), () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<string>>(() => {}) }) })]) {
    const { line, pass } = ask(t, agent)
    await pass(5_000)
    t.strictSame(line.frames, [toRetell.complete(1, APOLOGY)])
  }
})

t.test('a greeting that never comes is replaced', async t => {
  const { pass } = useClock(t)
  for (const provider of ['retell', 'millis'] as const) {
    const line = openCall(t, provider, () => new Promise<string>(() => {}), { deadlines: DEADLINES })
    line.receive(provider === 'retell' ? retell.details() : millis.start(0))
    await pass(5_000)
    t.strictSame(line.frames.at(-1), provider === 'retell' ? toRetell.complete(0, GREETING) : toMillis.complete(0, GREETING))
  }
})

t.test('an agent that falls silent in mid-answer is apologised for', async t => {
  const { agent, say, closed } = puppet()
  const { line, reports, pass, left } = ask(t, agent)
  await pass(4_000)
  await say('It is')
  await pass(2_999)
  await say(' about')
  await pass(2_999)
  t.equal(closed(), 0)
  await pass(1)
  t.strictSame(line.frames, [toRetell.speech(1, 'It is'), toRetell.speech(1, ' about'), toRetell.complete(1, ` ${APOLOGY}`)])
  t.match(reports, [{ outcome: 'deadline', error: { deadline: 'token-gap' } }])
  t.equal(left(), 0)
})

t.test('an agent that does not find an end is cut short', async t => {
  const { agent, say } = puppet()
  const { line, reports, pass, left } = ask(t, agent, { fallback: '' })
  for (let second = 2; second <= 20; second += 2) {
    t.strictSame(reports, [])
    await say('word ')
    await pass(2_000)
  }
  t.strictSame(line.frames.at(-1), toRetell.complete(1, ''))
  t.match(reports, [{ outcome: 'deadline', error: { deadline: 'turn' }, durationMs: 20_000 }])
  t.equal(left(), 0)
})

t.test('what is no answer buys time for one, and no more than that', async t => {
  for (const piece of [filler('Hm. '), pause(500), flush(), toolResult('1', 'of no call')]) {
    const { agent, say } = puppet()
    const { reports, pass } = ask(t, agent)
    await pass(4_999)
    await say(piece)
    await pass(4_999)
    t.strictSame(reports, [], piece?.action)
    await pass(1)
    t.match(reports, [{ error: { deadline: 'first-token' } }])
  }
})

t.test('while tools run nobody waits for words, only for the end', async t => {
  const { agent, say } = puppet()
  const { line, reports, pass } = ask(t, agent)
  await pass(4_000)
  await say(toolCall('1', 'look', {}), toolCall('2', 'look', {}))
  await pass(5_001)
  await say(filler('One moment.'), toolResult('1', 'free'))
  await pass(5_001)
  t.strictSame(reports, [])
  // From the last result on it is waited for again.
  line.call.record(toolResult('2', 'free'))
  await pass(4_999)
  t.strictSame(reports, [])
  await pass(1)
  t.match(reports, [{ error: { deadline: 'first-token' } }])
})

t.test('the filler is not said while a tool runs, but behind it', async t => {
  const { agent, say } = puppet()
  const { line, pass } = ask(t, agent, { filler: 'Hm.', deadlines: { ...DEADLINES, fillerMs: 1_500 } })
  await pass(1_000)
  await say(toolCall('1', 'look', {}))
  await pass(1_000)
  line.frames.length = 0
  await say(toolResult('1', 'free'))
  await pass(1_499)
  t.strictSame(line.frames.filter(({ content_complete: complete }) => complete !== undefined), [])
  await pass(1)
  t.strictSame(line.frames.at(-1), toRetell.speech(1, 'Hm. '))
})

t.test('a call that was recorded before keeps nobody waiting', async t => {
  const { agent, say } = puppet()
  const { reports, pass } = ask(t, agent)
  await say(toolCall('1', 'look', {}), toolResult('1', 'free'), toolCall('1', 'look', {}))
  await pass(5_000)
  t.match(reports, [{ error: { deadline: 'first-token' } }])
})

t.test('an agent that speaks while its tools run may pause for as long as they take, up to the end of the turn', async t => {
  const { agent, say } = puppet()
  const { reports, pass } = ask(t, agent)
  await say('I am looking. ', toolCall('1', 'look', {}), 'It takes ', 'a while. ')
  await pass(19_999)
  t.strictSame(reports, [])
  await pass(1)
  t.match(reports, [{ error: { deadline: 'turn' } }])
})

t.test('what is skipped buys no time', async t => {
  const { agent, say } = puppet()
  const { reports, pass } = ask(t, agent)
  await pass(4_999)
  await say('', null, undefined)
  await pass(1)
  t.match(reports, [{ error: { deadline: 'first-token' } }])
})

t.test('an answer may begin with words that cannot be interrupted', async t => {
  const { agent, say } = puppet()
  const { reports, pass } = ask(t, agent)
  await say(uninterruptible('This call is recorded.'))
  await pass(3_000)
  t.match(reports, [{ error: { deadline: 'token-gap' } }])
})

t.test('a turn that ends, in whatever way, leaves no timer', async t => {
  const ways: Record<string, (line: ReturnType<typeof openCall>, say: (...pieces: Speech[]) => Promise<void>) => unknown> = {
    superseded: line => line.receive(retell.request(2, 'No')),
    interjected: line => line.call.interject('Wait'),
    ended: line => line.call.end(),
    'hung up': line => line.hangUp(1000),
    'the agent hung up': (_line, say) => say(endCall())
  }
  for (const [name, end] of Object.entries(ways)) {
    for (const words of [[], ['One ']]) {
      const { agent, say } = puppet()
      const { line, left } = ask(t, turn => turn.id === 1 ? agent(turn) : 'Yes', { filler: 'Hm' })
      await say(...words)
      await end(line, say)
      await tick()
      t.equal(left(), 0, `${name} after ${words.length} words`)
    }
  }
})

t.test('0 switches a deadline off', async t => {
  const { agent, say } = puppet()
  const { line, reports, pass, left } = ask(t, agent, { deadlines: {} })
  await pass(3_600_000)
  await say('At last', filler('Hm'))
  await pass(3_600_000)
  t.strictSame(reports, [])
  t.strictSame(line.frames, [toRetell.speech(1, 'At last'), toRetell.speech(1, ' Hm ')])
  t.equal(left(), 0)
})

t.test('the fallback is told which deadline it was, and may choose silence', async t => {
  const { pass } = ask(t, () => new Promise<string>(() => {}), {
    fallback: (_turn, error) => {
      t.ok(error instanceof DeadlineError)
      t.match(error, { deadline: 'first-token', ms: 5_000, message: 'The agent exceeded the first-token deadline of 5000 ms' })
      return ''
    }
  })
  await pass(5_000)
  t.plan(2)
})

t.test('a fallback that ends the call itself has the last word', async t => {
  const { line, reports, pass } = ask(t, () => new Promise<string>(() => {}), {
    fallback: turn => {
      turn.call.end({ say: 'Bye.' }).catch(t.error)
      return 'Sorry'
    }
  })
  await pass(5_000)
  t.strictSame(line.frames, [toRetell.complete(1, 'Bye.', { no_interruption_allowed: true, end_call: true })])
  t.match(reports, [{ outcome: 'ended' }])
})

// Fillers

t.test('a filler covers the wait for the first word, once', async t => {
  const { agent, say } = puppet()
  const { line, pass } = ask(t, agent, { filler: 'One moment.', deadlines: { ...DEADLINES, fillerMs: 1_500 } })
  await pass(1_499)
  t.strictSame(line.frames, [])
  await pass(1)
  t.strictSame(line.frames, [toRetell.speech(1, 'One moment. ')])
  await pass(3_000)
  await say('It is five.')
  t.strictSame(line.frames.slice(1), [toRetell.speech(1, 'It is five.')])
})

t.test('a filler does not stand for an answer', async t => {
  const { line, reports, pass } = ask(t, () => new Promise<string>(() => {}), { filler: 'One moment. ', deadlines: { ...DEADLINES, fillerMs: 1_500 } })
  await pass(1_500)
  await pass(3_500)
  t.strictSame(line.frames, [toRetell.speech(1, 'One moment. '), toRetell.complete(1, APOLOGY)])
  t.match(reports, [{ error: { deadline: 'first-token' } }])
})

t.test('a filler is not said to somebody who heard a word', async t => {
  for (const piece of ['Well, ', filler('Hm. ')]) {
    const { agent, say } = puppet()
    const { line, pass } = ask(t, agent, { filler: 'One moment.', deadlines: { fillerMs: 1_500 } })
    await say(piece)
    await pass(10_000)
    t.equal(line.frames.length, 1)
  }
})

t.test('a filler is for callers who wait for an answer', async t => {
  const { pass } = useClock(t)
  const line = openCall(t, 'retell', () => new Promise<string>(() => {}), { filler: 'One moment.', deadlines: { fillerMs: 1_500 } })
  line.receive(retell.details())
  await pass(1_500)
  line.receive(retell.reminder(1))
  await pass(1_500)
  t.notMatch(JSON.stringify(line.frames), /One moment/)
})

t.test('a filler is spoken at once on Millis', async t => {
  const { pass } = useClock(t)
  const line = openCall(t, 'millis', () => new Promise<string>(() => {}), { filler: 'One moment.', deadlines: { fillerMs: 1_500 } })
  line.receive(millis.request(1, 'Hi'))
  await pass(1_500)
  t.strictSame(line.frames, [toMillis.speech(1, 'One moment. ', { flush: true })])
})

t.test('a filler may be found by a function, which may fail', async t => {
  const fillers: Array<[name: string, filler: (turn: Turn) => string, said: string[], logged: string[]]> = [
    ['a line', turn => `Turn ${turn.id}.`, ['Turn 1. '], []],
    ['nothing', () => '', [], []],
    ['no string', () => 5 as never, [], ['the filler function returned no string']],
    ['an error', () => { throw new Error('x') }, [], ['the filler function failed']]
  ]
  for (const [name, filler, said, logged] of fillers) {
    const { line, pass } = ask(t, () => new Promise<string>(() => {}), { filler, deadlines: { fillerMs: 1_500 } })
    await pass(1_500)
    t.strictSame(line.frames.map(({ content }) => content), said, name)
    t.strictSame(line.complaints.map(({ msg }) => msg), logged)
  }
})

// T9: what is said in passing is never history

t.test('fillers and apologies are not in the messages of later turns', async t => {
  const { agent, say } = puppet()
  const later: unknown[] = []
  const { line, pass } = ask(t, turn => {
    if (turn.id === 1 || turn.id === 2) return agent(turn)
    later.push(turn.messages)
    return 'Fine.'
  }, { filler: 'One moment.', deadlines: { ...DEADLINES, fillerMs: 1_500 } })
  await pass(1_500)
  await say(filler('Let me see... '), 'It is five')
  await pass(3_000)
  line.receive(retell.request(2, 'Hi', `One moment. Let me see...  It is five ${APOLOGY}`, 'Again'))
  await say('Five.')
  line.receive(retell.request(3, 'Hi', `One moment. Let me see...  It is five ${APOLOGY}`, `One moment. ${APOLOGY}`))
  line.receive(retell.request(4, 'Hi', `One moment. Let me see...  It is five ${APOLOGY}`, 'Again', 'Fine.', 'One moment.', 'One moment.', 'So?'))
  t.strictSame(later, [
    [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'It is five' }, { role: 'user', content: `One moment. ${APOLOGY}` }],
    [
      { role: 'user', content: 'Hi' }, { role: 'assistant', content: 'It is five' }, { role: 'user', content: 'Again' },
      { role: 'assistant', content: 'Fine.' }, { role: 'user', content: 'One moment.' }, { role: 'assistant', content: 'One moment.' }, { role: 'user', content: 'So?' }
    ]
  ])
})

t.test('words from outside a turn are history, and hide no filler behind them', async t => {
  const later: unknown[] = []
  const call = openCall(t, 'retell', function * (turn) {
    later.push(turn.messages.filter(({ role }) => role === 'assistant').map(({ content }) => content))
    yield filler('One moment. ')
    yield `Answer ${turn.id}.`
  })
  call.receive(retell.details({ call_status: 'ongoing' }), retell.request(1, 'Hi'))
  await call.call.interject('One moment. Paid!')
  call.receive(retell.request(2, 'Hi', 'One moment. Answer 1. One moment. Paid!', 'And?'))
  call.receive(retell.request(3, 'Hi', 'One moment. Answer 1.', 'So?', 'One moment. Paid!', 'And?', 'One moment. Answer 2.', 'Well?'))
  t.strictSame(later, [[], ['Answer 1. One moment. Paid!'], ['Answer 1.', 'One moment. Paid!', 'Answer 2.']])
})
