import t, { type Test } from 'tap'
import type { Reply, Turn } from '../../lib/contract/agent.js'
import { Pulse, PULSE_MS } from '../../lib/call/pulse.js'
import type { TurnReport } from '../../lib/telemetry/report.js'
import { openCall, tick, type CallOptions, type Line } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const KIB = 1024
const MIB = 1024 * KIB

/** A connection that is looked after, and pings that are answered, or are not. */
function open (t: Test, provider: 'retell' | 'millis', { answersPings = true } = {}) {
  const { pass } = useClock(t)
  const line = openCall(t, provider, () => 'Yes')
  const pulse = new Pulse()
  pulse.add(line.connection)
  t.teardown(() => pulse.remove(line.connection))
  return {
    line,
    pings: () => line.closes.filter(what => what === 'ping').length,
    closes: () => line.closes.filter(what => what !== 'ping'),
    /** Lets time pass, second by second. */
    async pass (ms: number, each = () => {}) {
      for (let passed = 0; passed < ms; passed += 1_000) {
        const pings = line.closes.length
        await pass(1_000)
        if (answersPings && line.closes.length > pings) line.connection.heard(0)
        each()
      }
    }
  }
}

// A peer that does not read

async function ask (t: Test, agent: (turn: Turn) => Reply, options: CallOptions = {}) {
  const reports: TurnReport[] = []
  const line = openCall(t, 'retell', agent, { hooks: { onTurnEnd: (_turn, report) => { reports.push(report) } }, ...options })
  line.receive(retell.details({ call_status: 'ongoing' }))
  line.frames.length = 0
  line.receive(retell.request(1, 'Hi'))
  return { line, reports }
}

t.test('an agent is not asked for more than the provider takes', async t => {
  let asked = 0
  const { line } = await ask(t, async function * () {
    for (;;) yield `${asked++} `
  })
  await tick()
  t.ok(asked > 100)
  line.bufferedAmount = 64 * KIB + 1
  // What is ready by then goes out and fills it further.
  await tick()
  const before = asked
  await tick()
  await tick()
  t.equal(asked, before)

  line.receive(retell.ping(7))
  t.strictSame(line.frames.at(-1), { response_type: 'ping_pong', timestamp: 7 }, 'keepalives are answered all the same')

  line.take()
  await tick()
  t.ok(asked > before)
  line.receive(retell.request(2, 'Stop'))
  const words = line.frames.filter(frame => frame['response_id'] === 1).map(frame => frame['content']).join('')
  t.equal(words, Array.from(words.trim().split(' '), (_, n) => `${n} `).join(''), 'no word is lost or told twice')
})

t.test('a turn that waits for the provider can be superseded', async t => {
  let closed = false
  const { line, reports } = await ask(t, async function * (turn) {
    if (turn.id === 2) return yield 'Two'
    try {
      for (;;) yield 'One '
    } finally {
      closed = true
    }
  })
  line.bufferedAmount = 64 * KIB + 1
  await tick()
  await tick()
  line.receive(retell.request(2, 'Stop'))
  await tick()
  t.ok(closed)
  const from = line.frames.length
  line.take()
  await tick()
  t.strictSame(line.frames.slice(from).filter(frame => frame['response_id'] === 1), [])
  t.match(reports, [{ outcome: 'superseded' }])
})

t.test('a turn that waits for the provider is not held against its agent', async t => {
  const { pass } = useClock(t)
  const { line, reports } = await ask(t, async function * () {
    for (let n = 0; n < 3_000; n++) yield 'word '
  }, { deadlines: { firstTokenMs: 1_000, tokenGapMs: 1_000 } })
  line.bufferedAmount = 64 * KIB + 1
  await tick()
  await tick()
  await pass(60_000)
  t.strictSame(reports, [])
  line.take()
  await line.completed(1)
  t.match(line.frames.at(-1), { content_complete: true })
})

t.test('a provider that takes nothing at all is dropped', async t => {
  const { line } = await ask(t, () => 'Yes')
  line.bufferedAmount = 8 * MIB
  line.receive(retell.ping(1))
  t.strictSame(line.closes, [])
  line.bufferedAmount = 8 * MIB + 1
  line.receive(retell.ping(2))
  t.strictSame(line.closes, ['terminate'])
  t.match(line.complaints, [{ msg: 'connection dropped', why: 'the provider does not read' }])
  await line.call.updateAgent({})
  t.equal(line.complaints.length, 1, 'and told of once')
})

// A peer that floods

t.test('who sends malformed frames and nothing else is sent away, who stumbles now and then is not', async t => {
  for (const provider of ['retell', 'millis'] as const) {
    const { line, closes, pass } = open(t, provider)
    line.receive(provider === 'retell' ? retell.details() : millis.start())
    for (let n = 0; n < 1_000; n++) line.receive('{')
    t.strictSame(closes(), [])
    await pass(PULSE_MS)
    for (let n = 0; n < 500; n++) line.receive('{')
    t.strictSame(closes(), [])
    const frames = line.frames.length
    line.receive('{')
    t.strictSame(closes(), [{ code: 1008, reason: 'too many malformed frames' }])
    line.receive(provider === 'retell' ? retell.request(1, 'Hi') : millis.request(1, 'Hi'))
    t.equal(line.frames.length, frames, 'and not heard any more')
    t.strictSame(line.complaints.map(({ msg, why }) => [msg, why]), [
      ['malformed frame ignored', 'not JSON'],
      ['connection closed', 'too many malformed frames']
    ])
  }
})

// A peer that says nothing

t.test('a connection on which no call starts is closed', async t => {
  const cases: Array<['retell' | 'millis', string[]]> = [
    ['retell', []],
    ['retell', ['{']],
    ['millis', []],
    ['millis', ['{']],
    ['millis', [JSON.stringify({ type: 'partial_transcript', data: { transcript: 'Hi' } })]]
  ]
  for (const [provider, frames] of cases) {
    const { line, closes, pass } = open(t, provider)
    line.receive(...frames)
    await pass(29_000)
    t.strictSame(closes(), [])
    await pass(1_000)
    t.strictSame(closes(), [{ code: 1008, reason: 'the call did not start' }], `${provider} ${frames}`)
  }
})

t.test('a Retell connection whose keep-alives stop is dropped, so that Retell can dial again', async t => {
  const { line, closes, pass } = open(t, 'retell')
  line.receive(retell.details())
  await pass(60_000, () => line.receive(retell.ping(1)))
  t.strictSame(closes(), [])
  await pass(14_000)
  t.strictSame(closes(), [])
  await pass(1_000)
  t.strictSame(closes(), ['terminate'])
  t.match(line.complaints, [{ msg: 'connection dropped', why: 'the provider sends no keep-alives any more' }])
})

t.test('a Retell connection is pinged until keep-alives come', async t => {
  const { line, closes, pings, pass } = open(t, 'retell')
  line.receive(retell.details())
  await pass(600_000)
  t.strictSame(closes(), [])
  t.equal(pings(), 30)
  await pass(600_000, () => line.receive(retell.ping(1)))
  t.equal(pings(), 30)
})

t.test('a Retell connection that dies before its first keep-alive is dropped', async t => {
  const { line, closes, pass } = open(t, 'retell', { answersPings: false })
  line.receive(retell.details())
  await pass(59_000)
  t.strictSame(closes(), [])
  await pass(1_000)
  t.strictSame(closes(), ['terminate'])
})

t.test('a peer that is sent away, and does not answer that, has no call any more, and is dropped', async t => {
  const { line, closes, pass } = open(t, 'millis', { answersPings: false })
  const { calls } = line
  for (let n = 0; n <= 1_000; n++) line.receive('{')
  t.strictSame(closes(), [{ code: 1008, reason: 'too many malformed frames' }])
  t.equal(calls.size, 0)
  await pass(PULSE_MS)
  t.equal(closes().length, 1)
  await pass(PULSE_MS)
  t.strictSame(closes(), [{ code: 1008, reason: 'too many malformed frames' }, 'terminate'])
  t.equal(line.complaints.length, 2)
  line.hangUp(1006)
  t.equal(line.logs.filter(({ msg }) => msg === 'call ended').length, 1)
})

t.test('who was sent away, and goes on pinging, is dropped all the same', async t => {
  const { line, closes, pass } = open(t, 'millis')
  for (let n = 0; n <= 1_000; n++) line.receive('{')
  await pass(PULSE_MS * 2, () => line.connection.heard(0))
  t.match(closes(), [{ code: 1008 }, 'terminate'])
})

t.test('who was sent away, and floods on, is not waited for', async t => {
  for (const flood of [(line: Line) => line.receive('{'), (line: Line) => line.connection.heard(125)]) {
    const { line, closes } = open(t, 'millis')
    for (let n = 0; n <= 1_000; n++) line.receive('{')
    for (let n = 0; n < 1_000; n++) flood(line)
    t.match(closes(), [{ code: 1008 }])
    flood(line)
    t.match(closes(), [{ code: 1008 }, 'terminate'])
  }
})

t.test('a Millis connection is pinged, for the proxies on the way', async t => {
  const { line, closes, pings, pass } = open(t, 'millis')
  line.receive(millis.start())
  await pass(600_000)
  t.equal(pings(), 30)
  t.strictSame(closes(), [])
})

t.test('a Millis connection that answers no pings is dropped', async t => {
  const { line, closes, pings, pass } = open(t, 'millis', { answersPings: false })
  line.receive(millis.start())
  await pass(59_000)
  t.equal(pings(), 2)
  t.strictSame(closes(), [])
  await pass(1_000)
  t.strictSame(closes(), ['terminate'])
  t.match(line.complaints, [{ msg: 'connection dropped', why: 'the provider answers no pings' }])
})

t.test('any frame is a sign of life', async t => {
  const { line, closes, pass } = open(t, 'millis', { answersPings: false })
  line.receive(millis.start())
  await pass(600_000, () => line.receive(millis.played(0)))
  t.strictSame(closes(), [])
})

t.test('one timer looks after all connections, while there are any', async t => {
  const { left } = useClock(t)
  const pulse = new Pulse()
  const [one, two] = [{ pulse: () => {} }, { pulse: () => {} }]
  t.equal(left(), 0)
  pulse.add(one)
  pulse.add(two)
  t.equal(left(), 1)
  pulse.remove(one)
  pulse.remove(one)
  t.equal(left(), 1)
  pulse.remove(two)
  t.equal(left(), 0)
  pulse.add(one)
  t.equal(left(), 1)
  pulse.remove(one)
})
