/**
 * Tools in calls that once went wrong: what a provider reports of them, what later turns read, and what callers hear.
 */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { endCall, filler, toolCall, toolResult, working, type Call, type ChatMessage, type Provider, type Reply, type Speech, type ToolAction, type Turn } from '../../lib/contract/agent.js'
import { runTool } from '../../lib/tools/run-tool.js'
import { tool } from '../../lib/tools/tool.js'
import { build, deferred } from '../helpers/app.js'
import { APOLOGY, openCall, tick, toRetell, type CallOptions, type Line } from '../helpers/call.js'
import { dial, millis, retell, type Caller, type Frame } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'

const PROVIDERS = ['retell', 'millis'] as const

type Entry = { role: string, content?: string, [name: string]: unknown }

const user = (content: string): Entry => ({ role: 'user', content })
const agent = (content: string): Entry => ({ role: 'agent', content })

/** Asks with a transcript that is as it is. */
function request (provider: Provider, id: number, transcript: Entry[]): Frame {
  if (provider === 'millis') return { type: 'stream_request', data: { stream_id: id, transcript: transcript.map(({ role, content }) => ({ role: role === 'agent' ? 'assistant' : role, content })) } }
  return {
    interaction_type: 'response_required',
    response_id: id,
    transcript: transcript.filter(({ role }) => role === 'user' || role === 'agent'),
    transcript_with_tool_calls: transcript
  }
}

/** A call whose turns are answered by these functions, in order; the greeting is silence. */
async function openTurns (t: Test, provider: Provider, turns: Array<(turn: Turn) => Reply>, options: CallOptions = {}): Promise<Line> {
  const line = openCall(t, provider, turn => turn.reason === 'greeting' ? '' : turns.shift()!(turn), options)
  line.receive(provider === 'retell' ? retell.details() : millis.start(0))
  await line.completed(0)
  line.frames.length = 0
  return line
}

/** An agent that says these, and then holds the turn. */
function saysAndHolds (...pieces: Speech[]): (turn: Turn) => AsyncGenerator<Speech> {
  return async function * ({ signal }) {
    yield * pieces
    await new Promise(resolve => signal.addEventListener('abort', resolve))
  }
}

/** Keeps the messages of the turn that it answers. */
function reader (): { read: (turn: Turn) => string, messages: ChatMessage[] } {
  const reader = { messages: [] as ChatMessage[], read: (turn: Turn) => { reader.messages = turn.messages; return 'Yes.' } }
  return reader
}

function called (id: string, content: string, name = 'book'): ChatMessage[] {
  return [
    { role: 'assistant', content: null, tool_calls: [{ id, type: 'function', function: { name, arguments: '{}' } }] },
    { role: 'tool', tool_call_id: id, content }
  ]
}

/** The tool entries that Retell was sent, as it puts them into its transcript. */
function books (line: Line): Entry[] {
  return line.frames.filter(frame => frame['tool_call_id'] !== undefined).map(({ response_type: role, ...entry }) => ({ role, ...entry }))
}

/** What was said in a turn. */
function said (line: Line, id: number): string {
  return line.frames.map(frame => frame['response_id'] === id ? frame['content'] : frame['data']?.stream_id === id ? frame['data'].content ?? '' : '').join('')
}

// What a model reads

for (const [provider, path, afterTool] of [
  ['retell', '/llm-websocket/call_1', '(Noted.)'],
  ['millis', '/millis', '(Noted.)'],
  ['millis', '/millis', '']
] as const) {
  t.test(`${provider}: what stands between a tool's result and the caller's words is ${afterTool === '' ? 'nothing' : 'what the app wants'}`, async t => {
    const turns = [saysAndHolds(toolCall('1', 'book', {}), toolResult('1', 'booked'))]
    const { read, ...rest } = reader()
    const kept: ChatMessage[][] = [rest.messages]
    const { app } = await build(t, turn => {
      if (turn.reason === 'greeting') return ''
      const first = turns.shift()
      if (first !== undefined) return first(turn)
      kept[0] = turn.messages
      return read(turn)
    }, { messages: { afterTool } })
    const caller: Caller = await dial(t, app, path)
    caller.send(provider === 'retell' ? retell.details() : millis.start(0))
    await (provider === 'retell' ? caller.response(0) : caller.stream(0))
    caller.send(request(provider, 1, [user('Book Tuesday.')]))
    await caller.settled()
    caller.send(request(provider, 2, [user('Book Tuesday.'), user('Are you there?')]))
    await (provider === 'retell' ? caller.response(2) : caller.stream(2))
    t.strictSame(kept[0], [
      { role: 'user', content: 'Book Tuesday.' },
      ...called('1', 'booked'),
      ...afterTool === '' ? [] : [{ role: 'assistant', content: afterTool }],
      { role: 'user', content: 'Are you there?' }
    ])
  })
}

for (const provider of PROVIDERS) {
  t.test(`${provider}: a tool stays ahead of what was said in later turns, also where the caller's words are joined`, async t => {
    const third = reader()
    const line = await openTurns(t, provider, [saysAndHolds(toolCall('1', 'book', {}), toolResult('1', 'booked')), () => 'Tuesday it is.', third.read])
    line.receive(request(provider, 1, [user('I would like'), user('Tuesday')]))
    await tick()
    line.receive(request(provider, 2, [user('I would like Tuesday')]))
    await line.completed(2)
    line.receive(request(provider, 3, [user('I would like Tuesday'), agent('Tuesday it is.'), user('No, cancel that')]))
    await line.completed(3)
    t.strictSame(third.messages, [
      { role: 'user', content: 'I would like Tuesday' },
      ...called('1', 'booked'),
      { role: 'assistant', content: 'Tuesday it is.' },
      { role: 'user', content: 'No, cancel that' }
    ])
  })
}

t.test('a line that a later turn, of which nothing was heard, said as well is left out where it was heard', async t => {
  const third = reader()
  const line = await openTurns(t, 'retell', [
    async function * () {
      yield * [filler('Let me book that. '), toolCall('1', 'book', {}), filler('One moment, please. '), toolResult('1', 'booked'), 'Tuesday is booked. ']
    },
    saysAndHolds(filler('Let me book that. '), toolCall('2', 'book', {})),
    third.read
  ])
  line.receive(request('retell', 1, [user('Book Tuesday')]))
  await line.completed(1)
  const [call, result] = books(line) as [Entry, Entry]
  const heard = [user('Book Tuesday'), agent('Let me book that. '), call, agent('One moment, please. '), result, agent('Tuesday is booked. ')]
  line.receive(request('retell', 2, [...heard, user('And Wednesday')]))
  await tick()
  line.receive(request('retell', 3, [...heard, user('And Wednesday please'), ...books(line).slice(2)]))
  await line.completed(3)
  t.strictSame(third.messages, [
    { role: 'user', content: 'Book Tuesday' },
    ...called('1', 'booked'),
    { role: 'assistant', content: 'Tuesday is booked.' },
    { role: 'user', content: 'And Wednesday please' },
    ...called('2', '{"error":"no result was recorded: whether it took effect is not known"}')
  ])
})

t.test('a line that an earlier turn, of which nothing was heard, said as well is left out where it was heard', async t => {
  const third = reader()
  const line = await openTurns(t, 'retell', [
    saysAndHolds(filler('Let me book that. '), toolCall('1', 'book', {})),
    async function * () {
      yield * [filler('Let me book that. '), toolCall('2', 'book', {}), filler('One moment, please. '), toolResult('1', 'booked'), toolResult('2', 'booked'), 'Tuesday is booked. ']
    },
    third.read
  ])
  line.receive(request('retell', 1, [user('Book')]))
  await tick()
  line.receive(request('retell', 2, [user('Book Tuesday'), ...books(line)]))
  await line.completed(2)
  const [first, second, ...results] = books(line) as [Entry, Entry, ...Entry[]]
  line.receive(request('retell', 3, [
    user('Book Tuesday'), first, agent('Let me book that. '), second, agent('One moment, please. '), ...results, agent('Tuesday is booked. '), user('Thanks')
  ]))
  await line.completed(3)
  t.strictSame(third.messages, [
    { role: 'user', content: 'Book Tuesday' },
    ...called('1', 'booked'),
    ...called('2', 'booked'),
    { role: 'assistant', content: 'Tuesday is booked.' },
    { role: 'user', content: 'Thanks' }
  ])
})

t.test('a tool whose turn was interrupted is told of in its place, without the line before it, and says nothing more', async t => {
  const second = reader()
  const line = await openTurns(t, 'millis', [saysAndHolds(filler('Booking. '), toolCall('1', 'book', {})), second.read])
  line.receive(millis.request(1, 'Tuesday'))
  await tick()
  line.receive(millis.interrupt(1))
  const { length } = line.frames
  t.equal(line.call.record(toolResult('1', 'booked')), true)
  await tick()
  t.equal(line.frames.length, length)
  line.receive(millis.request(2, 'Tuesday', 'Booking.', 'And?'))
  await line.completed(2)
  t.strictSame(second.messages, [{ role: 'user', content: 'Tuesday' }, ...called('1', 'booked'), { role: 'user', content: 'And?' }])
})

// Turns that are over

/** A tool that counts its runs. */
function counted (execute: (call: Call) => unknown = () => 'booked') {
  const runs: Call[] = []
  const book = tool({ name: 'book', description: 'Books.', parameters: Type.Object({}), execute: (_args, { call }) => { runs.push(call); return execute(call) } })
  return { book, runs }
}

for (const provider of PROVIDERS) {
  t.test(`${provider}: what an agent still does when its turn has ended runs no tool, and is on nobody's record`, async t => {
    const { book, runs } = counted()
    const third = reader()
    let ended!: Turn
    const line = await openTurns(t, provider, [turn => { ended = turn; return [endCall({ say: 'Bye!' })] }, saysAndHolds('Yes? '), third.read])
    line.receive((provider === 'retell' ? retell : millis).request(1, 'Bye'))
    await line.completed(1)
    t.equal(ended.signal.aborted, false)
    await t.rejects(runTool(ended, book, {}), { code: 'VOICE_AGENT_ERR_ACTION' }, 'while there is no turn')
    line.receive((provider === 'retell' ? retell : millis).request(2, 'Bye', 'Bye!', 'Wait'))
    await tick()
    await t.rejects(runTool(ended, book, {}), { code: 'VOICE_AGENT_ERR_ACTION' }, 'while another turn is live')
    line.receive((provider === 'retell' ? retell : millis).request(3, 'Bye', 'Bye!', 'Wait', 'Yes?', 'Hm'))
    await line.completed(3)
    t.strictSame(runs, [])
    t.strictSame(books(line), [])
    t.strictSame(third.messages.map(({ role }) => role), ['user', 'assistant', 'user', 'assistant', 'user'])
  })

  t.test(`${provider}: a tool may end the call: the goodbye is said, and what it did is on the record`, async t => {
    const { book, runs } = counted(async call => {
      await call.end({ say: 'Goodbye.' })
      return 'booked'
    })
    const second = reader()
    const line = await openTurns(t, provider, [
      async function * (turn) {
        yield (await runTool(turn, book, {}, '1')).content
      },
      second.read
    ])
    line.receive((provider === 'retell' ? retell : millis).request(1, 'Book it, bye'))
    await line.completed(1)
    await tick()
    t.equal(said(line, 1), 'Goodbye.')
    line.receive((provider === 'retell' ? retell : millis).request(2, 'Book it, bye', 'Goodbye.', 'Wait'))
    await line.completed(2)
    t.equal(runs.length, 1)
    t.strictSame(second.messages.slice(1, 3), called('1', 'booked'))
    t.strictSame(line.complaints, [])
  })
}

t.test('a result of a call that nobody was told of is no news, however often it comes', async t => {
  const line = await openTurns(t, 'retell', [])
  const orphan: ToolAction = toolResult('nobody', 'booked')
  t.strictSame([line.call.record(orphan), line.call.record(orphan)], [false, false])
  t.strictSame(line.frames, [])
})

t.test('words are set apart by a tool that is on the books already, as some models number tools anew in each turn', async t => {
  const speak = (): Speech[] => ['One.', toolCall('call_0', 'look', {}), 'Two.']
  const line = await openTurns(t, 'retell', [speak, speak])
  line.receive(retell.request(1, 'Hi'), retell.request(2, 'Hi?'))
  t.equal(said(line, 1), 'One. Two.')
  t.equal(said(line, 2), 'One. Two.')
})

// Silence

t.test('while a tool runs the filler of the app is not said, as tools have their own', async t => {
  const clock = useClock(t)
  const done = deferred()
  const silence = { filler: 'Hm, let me see.', deadlines: { fillerMs: 1_500 } }
  const line = await openTurns(t, 'retell', [
    async function * () {
      yield toolCall('1', 'book', {})
      await done.promise
      yield * [toolResult('1', 'booked'), 'Booked.']
    },
    saysAndHolds()
  ], silence)
  line.receive(retell.request(1, 'Book it'))
  await tick()
  await clock.pass(5_000)
  done.resolve()
  await line.completed(1)
  t.equal(said(line, 1), 'Booked.')
  line.receive(retell.request(2, 'Book it', 'Booked.', 'And?'))
  await clock.pass(5_000)
  t.equal(said(line, 2), 'Hm, let me see. ', 'where there is none it is')
})

t.test('an agent that says that it works is not taken for one that is silent, and nothing is sent', async t => {
  const clock = useClock(t)
  const steps = Array.from({ length: 4 }, () => deferred())
  const slow = async function * (says: Speech) {
    for (const { promise } of steps) {
      await promise
      yield says
    }
    yield 'Done.'
  }
  const line = await openTurns(t, 'retell', [() => slow(working()), () => slow(undefined)], { deadlines: { firstTokenMs: 1_000 } })
  line.receive(retell.request(1, 'Go'))
  for (const { resolve } of steps) {
    await clock.pass(900)
    resolve()
    await tick()
  }
  await line.completed(1)
  t.strictSame(line.frames, [toRetell.speech(1, 'Done.'), toRetell.complete(1)])
  steps.splice(0, 4, ...Array.from({ length: 4 }, () => deferred()))
  line.receive(retell.request(2, 'Go', 'Done.', 'Go'))
  await clock.pass(900)
  steps[0]!.resolve()
  await clock.pass(900)
  t.equal(said(line, 2), APOLOGY, 'one that does not say so is')
})
