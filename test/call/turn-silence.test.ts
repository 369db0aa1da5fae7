import { once } from 'node:events'
import t, { type Test } from 'tap'
import { endCall, filler, flush, pause, toolCall, toolResult, uninterruptible, usage, working, type Reply, type Speech, type Turn } from '../../lib/contract/agent.js'
import { openCall, tick, type CallOptions, type Line } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const NOTHING = /^the agent said nothing, and the caller hears silence: /

/** Has the agent answer two requests, and returns what was warned of. */
async function warnings (t: Test, reply: (turn: Turn) => unknown, options: CallOptions = {}): Promise<string[]> {
  const line = openCall(t, 'retell', reply as (turn: Turn) => Reply, options)
  line.receive(retell.details({ call_status: 'ongoing' }))
  for (const id of [1, 2]) {
    line.receive(retell.request(id, 'Hi'))
    await line.completed(id)
  }
  return complaints(line)
}

const complaints = (line: Line): string[] => line.complaints.filter(({ msg }) => NOTHING.test(msg)).map(({ msg }) => msg.replace(NOTHING, ''))

async function * stream (...pieces: unknown[]): AsyncGenerator<Speech> {
  for (const piece of pieces) yield piece as Speech
}

t.test('an agent that says and does nothing is told of once a call, with what it did', async t => {
  const ENDED = "its reply ended without a word. Where it reads an SDK's stream, the request may have failed: the AI SDK's textStream leaves errors out, its fullStream has them"
  const cases: Record<string, [reply: (turn: Turn) => unknown, warning: string]> = {
    nothing: [() => {}, 'it returned undefined. Return what is to be said, or yield it in an async function * (turn)'],
    'a promise of nothing': [async () => {}, 'it returned undefined. Return what is to be said, or yield it in an async function * (turn)'],
    null: [() => null, 'it returned null. Return what is to be said, or yield it in an async function * (turn)'],
    'an empty string': [() => '', 'it returned an empty string'],
    'a blank string': [async () => ' \n', 'it returned an empty string'],
    'a generator that yields nothing': [() => stream(), ENDED],
    'a generator that yields nothing worth a word': [() => stream('', null, undefined, ' ', '\n', working(), usage('small')), ENDED],
    'a stream that ends': [() => ReadableStream.from([]), ENDED],
    'a generator that returns its text': [async function * () { return 'Hi' }, 'its generator returned a string, which is not spoken: yield it'],
    'a tool call, and no word after it': [
      (turn: Turn) => stream(toolCall(`t${turn.id}`, 'book', {}), toolResult(`t${turn.id}`, 'booked')),
      'its reply ended with a tool call. Ask the model once more, with the result of the tool'
    ]
  }
  for (const [name, [reply, warning]] of Object.entries(cases)) t.strictSame(await warnings(t, reply), [warning], name)
})

t.test('the line names the call and the turn', async t => {
  const line = openCall(t, 'millis', () => undefined)
  line.receive(millis.start(0, 'ses_1'), millis.request(5, 'Hi'))
  await line.completed(5)
  t.match(line.complaints, [{ level: 40, msg: NOTHING, callId: 'ses_1', provider: 'millis', turnId: 5 }])
})

t.test('an agent that says or does something is not told of', async t => {
  const cases: Record<string, (turn: Turn) => unknown> = {
    'a word': () => 'Hi',
    'a word behind blanks': () => stream(' ', 'Hi', ' '),
    'a line that covers a wait': () => [filler('One moment.')],
    'a line that nobody can interrupt': () => [uninterruptible('Hi')],
    'a pause': () => [pause(500)],
    'a flush': () => [flush()]
  }
  for (const [name, reply] of Object.entries(cases)) t.strictSame(await warnings(t, reply), [], name)
  const line = openCall(t, 'retell', turn => turn.reason === 'response' ? [endCall()] : 'Hello?')
  line.receive(retell.details(), retell.request(1, 'Bye'))
  await line.completed(1)
  t.strictSame(line.complaints, [], 'an action')
})

t.test('greetings and reminders may be silent', async t => {
  const line = openCall(t, 'retell', () => undefined)
  line.receive(retell.details())
  await line.completed(0)
  line.receive(retell.reminder(1))
  await line.completed(1)
  t.strictSame(line.complaints, [])
})

t.test('a turn that was given up before its first word is not told of', async t => {
  const line = openCall(t, 'retell', async turn => {
    if (turn.id === 2) return 'Yes'
    await once(turn.signal, 'abort')
    return ''
  })
  line.receive(retell.details({ call_status: 'ongoing' }), retell.request(1, 'Hi'), retell.request(2, 'Hello?'))
  await line.completed(2)
  await tick()
  t.strictSame(line.complaints, [])
})

t.test('the filler of the app is not the agent\'s', async t => {
  const { pass } = useClock(t)
  let end!: () => void
  const line = openCall(t, 'retell', () => new Promise<void>(resolve => { end = resolve }), { filler: 'One moment.', deadlines: { fillerMs: 1_000 } })
  line.receive(retell.details({ call_status: 'ongoing' }), retell.request(1, 'Hi'))
  await pass(1_000)
  t.equal(line.frames.at(-1)?.['content'], 'One moment. ')
  end()
  await line.completed(1)
  t.match(complaints(line), [/^it returned undefined/])
})
