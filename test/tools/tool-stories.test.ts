/**
 * Tools in conversations that once went wrong: what callers, models and apps did, and what has to come of it.
 */
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { Type, type TObject } from '@sinclair/typebox'
import type { Speech } from '../../lib/contract/agent.js'
import { endCallTool, transferCallTool } from '../../lib/tools/call-tools.js'
import { failover } from '../../lib/agents/failover/failover.js'
import { tool, type Tool, type ToolOptions } from '../../lib/tools/tool.js'
import { ToolError } from '../../lib/contract/errors.js'
import { deferred } from '../helpers/app.js'
import { APOLOGY, tick } from '../helpers/call.js'
import { useClock } from '../helpers/clock.js'
import { calling, openLine, type StreamingAgent } from '../helpers/model-line.js'
import { hold, STALL, toolCallChunk, type Step } from '../../lib/testing/scripted-model.js'
import { messageFaults, type WireMessage } from '../helpers/valid-messages.js'

const PROVIDERS = ['retell', 'millis'] as const
const ONCE = '\n(Run only once: this is the same call as before.)'

/** Ways in which an app may use the agent. */
const WAYS: Record<string, (agent: StreamingAgent) => StreamingAgent> = {
  alone: agent => agent,
  'in a failover': agent => {
    const both = failover([agent, agent])
    return turn => both.call({} as never, turn) as AsyncIterable<Speech>
  }
}

function make<T extends TObject> (
  name: string, parameters: T, execute: ToolOptions<T>['execute'], more: Partial<ToolOptions<T>> = {}
): Tool {
  return tool({ name, description: 'Does.', parameters, filler: '', execute, ...more })
}

/** Adds a pizza to the order: what a caller may well want twice. */
function pizzas () {
  const order: string[] = []
  const add = make(
    'add_pizza', Type.Object({ kind: Type.String() }), ({ kind }) => `added, ${order.push(kind)} in the order`, { reuse: 'turn' }
  )
  return { add, order }
}

const MARGHERITA = 'add_pizza({"kind":"margherita"})'

function results (messages: WireMessage[]): unknown[] {
  return messages.filter(({ role }) => role === 'tool').map(({ content }) => content)
}

// Wanted twice, wanted once

for (const provider of PROVIDERS) {
  t.test(`${provider}: a tool runs again on request once the caller heard of its first result`, async t => {
    const { add, order } = pizzas()
    const { server, ask, asked, hear, last } = await openLine(t, provider, [add])
    server.next(calling(MARGHERITA), [STALL])
    ask(1, 'A margherita')
    await asked(2)
    server.next(['One is in. And the address?'])
    await hear(2, 'A margherita please')
    t.strictSame(results(last()), ['added, 1 in the order'])
    server.next(calling(MARGHERITA), ['Another one is in.'])
    await hear(3, 'A margherita please', 'One is in. And the address?', 'Another margherita')
    t.equal(order.length, 2)
    t.strictSame(results(last()), ['added, 1 in the order', 'added, 2 in the order'])
    t.strictSame(messageFaults(last()), [])
  })
}

for (const [how, wrap] of Object.entries(WAYS)) {
  t.test(`${how}: a tool that ran before the model failed does not run again when the caller repeats the request`, async t => {
    const { add, order } = pizzas()
    const { server, hear, last } = await openLine(t, 'millis', [add], { wrap })
    server.next(calling(MARGHERITA), { status: 500 })
    t.equal(await hear(1, 'A margherita'), APOLOGY)
    server.next(calling(MARGHERITA), ['It is in.'])
    t.equal(await hear(2, 'A margherita', APOLOGY, 'A margherita!'), 'It is in.')
    t.equal(order.length, 1)
    t.strictSame(results(last()), Array(2).fill('added, 1 in the order'))
  })

  t.test(`${how}: a tool runs again on request after a turn that ended by hanging up`, async t => {
    const { add, order } = pizzas()
    const { server, hear } = await openLine(t, 'millis', [add, endCallTool()], { wrap })
    server.next(calling(MARGHERITA), calling('end_call({"message":"It is in. Bye!"})'))
    await hear(1, 'One margherita, bye')
    server.next(calling(MARGHERITA), ['Another one is in.'])
    t.equal(await hear(2, 'One margherita, bye', 'It is in. Bye!', 'Wait, another one'), 'Another one is in.')
    t.equal(order.length, 2)
  })
}

t.test('a model that makes the same call twice in one answer learns that it ran once', async t => {
  const { add, order } = pizzas()
  const { server, hear, last } = await openLine(t, 'millis', [add])
  server.next(calling(MARGHERITA, MARGHERITA), calling(MARGHERITA), ['Two are in.'])
  await hear(1, 'Two margheritas')
  t.equal(order.length, 2)
  t.strictSame(results(last()), ['added, 1 in the order', `added, 1 in the order${ONCE}`, 'added, 2 in the order'])
})

t.test('a tool that runs once a call does not run again in the next step, and the model learns that', async t => {
  let booked = 0
  const book = make('book', Type.Object({}), () => `booked ${++booked}`)
  const { server, hear, last } = await openLine(t, 'millis', [book])
  server.next(calling('book({})'), calling('book({})'), ['Booked.'])
  await hear(1, 'Book it')
  t.strictSame(results(last()), ['booked 1', `booked 1${ONCE}`])
})

t.test('a look-up of a superseded turn runs again, once a later turn has passed its result on', async t => {
  let minutes = 10
  const eta = make('eta', Type.Object({}), () => `${minutes--} minutes away`, { sideEffects: false })
  const { server, ask, asked, hear, last } = await openLine(t, 'millis', [eta])
  server.next(calling('eta({})'), [STALL])
  ask(1, 'Where is my driver')
  await asked(2)
  server.next(['Ten minutes.'])
  await hear(2, 'Where is my driver please')
  server.next(calling('eta({})'), ['Nine.'])
  await hear(3, 'Where is my driver please', 'Ten minutes.', 'And now?')
  t.strictSame(results(last()), ['10 minutes away', '9 minutes away'])
})

// Actions

for (const provider of PROVIDERS) {
  t.test(`${provider}: a call is not ended with words that were written before another tool failed`, async t => {
    const book = make('book', Type.Object({}), () => { throw new ToolError('that day is taken') })
    const { server, line, hear, last } = await openLine(t, provider, [book, endCallTool()])
    server.next(calling('book({})', 'end_call({"message":"It is booked. Goodbye!"})'), ['That day is taken.'])
    t.equal(await hear(1, 'Book it, bye'), 'That day is taken.')
    t.strictSame(
      results(last()), ['{"error":"that day is taken"}', '{"error":"not done: another tool failed, and the caller does not know of it"}']
    )
    t.notMatch(JSON.stringify(line.frames), /"end_call":true|"type":"end_call"|Goodbye!","content_complete/)
    // Nor is it forgotten that it may be asked for.
    server.next(calling('end_call({"message":"Goodbye!"})'))
    t.equal(await hear(2, 'Book it, bye', 'That day is taken.', 'Never mind, bye'), 'Goodbye!')
  })
}

t.test('a call is not transferred while another tool\'s arguments are wrong', async t => {
  const note = make('note', Type.Object({ text: Type.String() }), () => 'noted')
  const { server, line, hear } = await openLine(t, 'retell', [note, transferCallTool({ destinations: { sales: '+14155550100' } })])
  const transfer = 'transfer_call({"destination":"sales","message":"I put you through."})'
  server.next(calling('note({})', transfer), calling('note({"text":"Urgent"})', transfer))
  t.equal(await hear(1, 'Sales, it is urgent'), 'I put you through.')
  t.equal(line.frames.filter(frame => frame['transfer_number'] !== undefined).length, 1)
  t.equal(server.requests.length, 2)
})

// Functions of the app's

for (const [what, options] of Object.entries<object>({
  say: { say: async () => { throw new Error('no line') } },
  filler: { filler: async () => { throw new Error('no line') } }
})) {
  t.test(`a ${what} that is an async function and rejects is logged and ends nothing`, async t => {
    const clock = useClock(t)
    const { promise, resolve } = deferred<string>()
    const book = make('book', Type.Object({}), () => promise, options)
    const { server, line, ask } = await openLine(t, 'retell', [book])
    server.next(calling('book({})'), ['Booked.'])
    ask(1, 'Book it')
    await line.wrote(frame => frame['response_type'] === 'tool_call_invocation')
    await tick()
    await clock.pass(2_000)
    resolve('booked')
    await line.completed(1)
    t.strictSame(
      line.complaints.map(({ msg }) => msg).toSorted(),
      ['the line of tool book function failed', 'the line of tool book function returned no string']
    )
    t.equal(line.frames.filter(frame => frame['response_id'] === 1).map(({ content }) => content).join(''), 'Booked.')
  })
}

for (const [how, wrap] of Object.entries(WAYS)) {
  t.test(`${how}: many tools at the same time leak no listeners`, async t => {
    const warnings: Error[] = []
    const warned = (warning: Error): void => { warnings.push(warning) }
    process.on('warning', warned)
    t.teardown(() => process.off('warning', warned))
    const look = make(
      'look', Type.Object({ n: Type.Integer() }), async ({ n }) => { await tick(); return `seen ${n}` }, { sideEffects: false }
    )
    const { server, hear, last } = await openLine(t, 'retell', [look], { wrap })
    server.next(calling(...Array.from({ length: 12 }, (_, n) => `look({"n":${n}})`)), ['All seen.'])
    t.equal(await hear(1, 'All of them'), 'All seen.')
    await tick()
    t.strictSame(results(last()), Array.from({ length: 12 }, (_, n) => `seen ${n}`))
    t.strictSame(warnings, [])
  })
}

// Models and their servers

t.test('an invented name with characters that servers refuse is replaced in the messages', async t => {
  const { add } = pizzas()
  const { server, hear, last } = await openLine(t, 'millis', [add])
  server.next(calling('multi_tool_use.parallel({"tool_uses":[]})'), ['What was that?'])
  t.equal(await hear(1, 'A margherita'), 'What was that?')
  const names = () => last().flatMap(({ tool_calls: calls = [] }) => calls.map(call => call.function.name))
  t.strictSame(names(), ['multi_tool_use_parallel'])
  server.next(['Fine.'])
  await hear(2, 'A margherita', 'What was that?', 'A margherita')
  t.strictSame(names(), ['multi_tool_use_parallel'])
  t.match(results(last()), ['{"error":"there is no such tool; there are: add_pizza"}'])
})

t.test('a model\'s own members of a tool call come back to it, also in later turns', async t => {
  const { add } = pizzas()
  const { server, ask, asked, hear, last } = await openLine(t, 'millis', [add])
  const extra = { extra_content: { google: { thought_signature: 'sig' } } }
  const call = { index: 0, id: 'call_0', type: 'function', ...extra, function: { name: 'add_pizza', arguments: '{"kind":"margherita"}' } }
  server.next({ steps: [{ chunk: { choices: [{ index: 0, delta: { tool_calls: [call] } }] } }], finishReason: 'tool_calls' }, [STALL])
  ask(1, 'A margherita')
  await asked(2)
  const { index, ...written } = call
  t.strictSame(last().at(-2)!.tool_calls, [written], 'in the next step')
  server.next(['It is in.'])
  await hear(2, 'A margherita please')
  t.strictSame(last().at(-2)!.tool_calls, [written], 'in the next turn')
})

t.test('words and the tool call after them are one message, so that roles alternate', async t => {
  const { add } = pizzas()
  const { server, hear, last } = await openLine(t, 'millis', [add])
  server.next({ ...calling(MARGHERITA), steps: ['I am on it. ', ...calling(MARGHERITA).steps] }, ['It is in.'])
  await hear(1, 'A margherita')
  const shape = () => last().map(({ role, content, tool_calls: calls }) => `${role}${calls === undefined ? '' : ' calls'}: ${String(content).trim()}`)
  const start = ['user: A margherita', 'assistant calls: I am on it.', 'tool: added, 1 in the order']
  t.strictSame(shape(), start)
  server.next(['Bye.'])
  await hear(2, 'A margherita', 'I am on it. It is in.', 'Thanks')
  t.strictSame(shape(), [...start, 'assistant: It is in.', 'user: Thanks'])
})

for (const how of ['alone', 'in a failover'] as const) {
  t.test(`${how}: a model that slowly writes a long tool call does not exceed the deadline for words`, async t => {
    const clock = useClock(t)
    const notes: string[] = []
    const book = make('book', Type.Object({ notes: Type.String() }), ({ notes: written }) => { notes.push(written); return 'booked' })
    const yielded = new EventEmitter()
    const watched = (agent: StreamingAgent): StreamingAgent => async function * (turn) {
      for await (const piece of agent(turn)) {
        yield piece
        yielded.emit('piece')
      }
    }
    const spare: StreamingAgent = async function * () { yield 'I am the second.' }
    const inFailover = (agent: StreamingAgent): StreamingAgent => {
      const both = failover([watched(agent), spare], { firstTokenMs: 400 })
      return turn => turn.reason === 'greeting' ? agent(turn) : both.call({} as never, turn) as AsyncIterable<Speech>
    }
    const { server, line, ask } = await openLine(
      t, 'retell', [book], { deadlines: { firstTokenMs: 1_000 }, wrap: how === 'alone' ? watched : inFailover }
    )
    const words = ['{"notes":"', 'one ', 'two ', 'three"}']
    const holds = words.map(() => hold())
    const steps = words.flatMap((word, index): Step[] => [
      toolCallChunk({
        index: 0,
        ...(index === 0 && { id: 'call_0', type: 'function' as const }),
        function: { ...(index === 0 && { name: 'book' }), arguments: word }
      }), holds[index]!
    ])
    server.next({ steps, finishReason: 'tool_calls' }, ['Booked.'])
    let written = once(yielded, 'piece')
    ask(1, 'Book it')
    for (const held of holds) {
      await written
      await clock.pass(900)
      written = once(yielded, 'piece')
      held.release()
    }
    await line.completed(1)
    t.strictSame(notes, ['one two three'])
    t.equal(line.frames.filter(frame => frame['response_id'] === 1).map(({ content }) => content).join(''), 'Booked.')
    t.strictSame(line.complaints, [])
  })
}

// Agents around the agent

t.test('tool calls that a wrapping agent kept until its turn was over do not reach the provider', async t => {
  const { add, order } = pizzas()
  const reached = deferred()
  const release = deferred()
  const over = deferred()
  const { server, line, ask, hear } = await openLine(t, 'retell', [add], {
    wrap: agent => async function * (turn) {
      if (turn.id !== 1) return yield * agent(turn)
      try {
        for await (const piece of agent(turn)) {
          if (typeof piece === 'object' && piece?.action === 'tool-call') {
            reached.resolve()
            await release.promise
          }
          yield piece
        }
      } finally {
        over.resolve()
      }
    }
  })
  server.next(calling(MARGHERITA))
  ask(1, 'A margherita')
  await reached.promise
  server.next(['Yes?'])
  await hear(2, 'A margherita, I mean')
  release.resolve()
  await over.promise
  await tick()
  t.strictSame(order, [])
  t.strictSame(line.frames.filter(frame => frame['tool_call_id'] !== undefined), [])
})
