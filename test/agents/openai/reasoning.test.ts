/**
 * Reasoning that a model wants back behind its tool calls.
 */
import fc from 'fast-check'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { Call, Speech, Turn } from '../../../lib/contract/agent.js'
import { setHandover, type Handover } from '../../../lib/contract/handoff.js'
import { failover } from '../../../lib/agents/failover/failover.js'
import { openAIAgent, type OpenAIAgent } from '../../../lib/agents/openai/agent.js'
import { Reasoning, ReasoningBook } from '../../../lib/agents/openai/reasoning.js'
import { startScriptedModel, type Answer, type ModelRequest, type Script } from '../../../lib/testing/scripted-model.js'
import { tool } from '../../../lib/tools/tool.js'
import { Line } from '../../helpers/call.js'
import { retell } from '../../helpers/caller.js'
import { fakeTurn } from '../../helpers/fake-turn.js'
import { MemoryCluster } from '../../helpers/memory-cluster.js'
import { calling, openLine } from '../../helpers/model-line.js'
import { scaledRuns } from '../../helpers/runs.js'
import { messageFaults, type WireMessage } from '../../helpers/valid-messages.js'

const CANARY = 'canary thoughts'
const WEATHER = 'weather({"city":"Kiel"})'
const weather = () => tool({ name: 'weather', description: 'Finds the weather.', parameters: Type.Object({ city: Type.String() }), filler: '', sideEffects: false, execute: () => 'sunny' })

const delta = (delta: object) => ({ chunk: { choices: [{ index: 0, delta, finish_reason: null }] } })

/** An answer that reasons, in these pieces, and then calls tools. */
function thinking (pieces: object[], ...calls: string[]): Answer {
  const answer = calling(...calls)
  return { ...answer, steps: [...pieces.map(delta), ...answer.steps] }
}

/** Refuses, as DeepSeek and Moonshot do, a history in which a tool call has no reasoning. */
function strict (then: Script): (request: ModelRequest) => Script {
  return ({ body }) => {
    const at = body.messages.findIndex(message => 'tool_calls' in message && !message['reasoning_content'])
    return at === -1 ? then : { status: 400, body: { error: { message: `reasoning_content is missing in assistant tool call message at index ${at}` } } }
  }
}

function callsOf ({ body }: ModelRequest) {
  return body.messages.filter(message => 'tool_calls' in message) as unknown as Array<WireMessage & Record<string, unknown>>
}

/** What an answer reasoned, put together from pieces. */
function membersOf (...deltas: object[]): unknown {
  const reasoning = new Reasoning()
  for (const delta of deltas) reasoning.add(delta)
  return reasoning.members
}

// What is read of an answer

t.test('text is put together, null is nothing, and members of another kind are left alone', async t => {
  t.equal(membersOf({ content: 'Hi', role: 'assistant', reasoning_content: null, reasoning_tokens: 5, tool_calls: [] }), undefined)
  t.equal(membersOf({ finish_reason: 'tool_calls', stop_reason: 'tool_use', native_finish_reason: 'STOP' }), undefined)
  t.strictSame(membersOf({ reasoning_content: '' }), { reasoning_content: '' })
  t.strictSame(membersOf({ reasoning: 'a', reasoning_text: 'x' }, { reasoning: 'b', reasoning_opaque: 'signed' }), { reasoning: 'ab', reasoning_text: 'x', reasoning_opaque: 'signed' })
  t.strictSame(membersOf({ thought_signature: { id: 1 } }, { thought_signature: { id: 2 } }), { thought_signature: { id: 2 } })
  t.strictSame(membersOf({ reasoning: ['a'] }, { reasoning: 'b' }, { reasoning: ['c'] }), { reasoning: ['c'] })
})

t.test('a numbered list is put together by its numbers and kinds', async t => {
  const text = (index: number, text: string, more: object = {}) => ({ type: 'reasoning.text', index, text, format: 'x', ...more })
  t.strictSame(membersOf(
    { reasoning_details: [text(0, 'one ', { id: null, signature: null }), text(1, 'two ')] },
    { reasoning_details: [text(0, 'more', { id: 'r1' })] },
    { reasoning_details: [text(0, '', { signature: 'signed', id: null }), { type: 'reasoning.encrypted', index: 0, data: 'abc' }] },
    { reasoning_details: [{ type: 'reasoning.encrypted', index: 0, data: 'def' }, 'odd', null] }
  ), {
    reasoning_details: [text(0, 'one more', { id: 'r1', signature: 'signed' }), text(1, 'two '), { type: 'reasoning.encrypted', index: 0, data: 'abcdef' }, 'odd', null]
  })
})

t.test('a list without numbers is put together one after the other, up to each signature', async t => {
  const thinking = (thinking: string, signature = '') => ({ type: 'thinking', thinking, signature })
  t.strictSame(membersOf(
    { thinking_blocks: [thinking('one ')] }, { thinking_blocks: [thinking('more')] }, { thinking_blocks: [thinking('', 's1')] },
    { thinking_blocks: [thinking('two')] }, { thinking_blocks: [{ type: 'redacted', data: 'x' }, { type: 'redacted', data: 'y' }] }
  ), { thinking_blocks: [thinking('one more', 's1'), thinking('two'), { type: 'redacted', data: 'x' }, { type: 'redacted', data: 'y' }] })
})

t.test('however text is cut, the same is kept', async t => {
  const piece = fc.record({ name: fc.constantFrom('reasoning', 'reasoning_content', 'reasoning_text'), text: fc.string({ unit: 'binary' }) })
  fc.assert(fc.property(fc.array(piece, { minLength: 1 }), pieces => {
    const whole: Record<string, string> = {}
    for (const { name, text } of pieces) whole[name] = (whole[name] ?? '') + text
    const units = pieces.flatMap(({ name, text }) => [{ [name]: '' }, ...text.split('').map(unit => ({ [name]: unit }))])
    t.strictSame(membersOf(...units), whole)
    const details = pieces.map(({ text }, index) => ({ type: 'reasoning.text', index, text }))
    const cut = details.flatMap(({ text, ...more }) => [{ ...more, text: '' }, ...text.split('').map(text => ({ ...more, text }))])
    t.strictSame(membersOf(...cut.map(detail => ({ reasoning_details: [detail] }))), { reasoning_details: details })
  }), { numRuns: scaledRuns(400) })
})

t.test('text is cut at 100,000 characters an answer, and a list beyond is left out', async t => {
  const half = 'x'.repeat(60_000)
  t.strictSame(membersOf({ reasoning: half }, { reasoning: half }, { reasoning: half }), { reasoning: 'x'.repeat(100_000) })
  t.strictSame(membersOf({ reasoning: 'a' }, { thinking_blocks: [half] }, { thinking_blocks: [half] }, { thinking_blocks: ['b'] }), { reasoning: 'a' })
  t.strictSame(membersOf({ reasoning: half + half }, { reasoning_text: 'b' }), { reasoning: 'x'.repeat(100_000), reasoning_text: '' })
})

t.test('a million characters are kept of a call, and the oldest answers are forgotten first', async t => {
  const book = new ReasoningBook(undefined)
  for (let i = 0; i < 30; i++) book.keep({ from: 'a', ids: [`a${i}`, `b${i}`], members: { reasoning: String(i).padEnd(90_000) } })
  const kept = Array.from({ length: 30 }, (_, i) => i).filter(i => book.of(`a${i}`) !== undefined && book.of(`b${i}`) !== undefined)
  t.strictSame(kept, [19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])
  t.equal(book.of('a0'), undefined)
  t.equal(book.isEmpty, false)
})

// What is sent back

for (const provider of ['retell', 'millis'] as const) {
  t.test(`${provider}: it is sent back with its tool calls in the same turn and in later ones, and is in nothing that is spoken, shown or logged`, async t => {
    let heard: Turn | undefined
    const { server, hear, last, line } = await openLine(t, provider, [weather()], {
      wrap: agent => turn => {
        heard = turn
        return agent(turn)
      }
    })
    server.handler = strict('It is sunny.')
    server.next(thinking([{ reasoning_content: `${CANARY}, ` }, { reasoning_content: 'so I ask.' }], WEATHER))
    t.equal(await hear(1, 'Weather?'), 'It is sunny.')
    const history = ['Weather?', 'It is sunny.', 'Thanks']
    t.equal(await hear(2, ...history), 'It is sunny.')
    history.push('It is sunny.', 'And now?')
    server.next(thinking([{ content: 'Let me look.', reasoning_content: CANARY }], WEATHER))
    t.equal(await hear(3, ...history), 'Let me look. It is sunny.')
    t.equal(await hear(4, ...history, 'Let me look. It is sunny.', 'Bye'), 'It is sunny.')
    t.strictSame(callsOf(server.requests.at(-1)!).map(message => [message['reasoning_content'], message.content]), [[`${CANARY}, so I ask.`, null], [CANARY, 'Let me look.']])
    t.strictSame(messageFaults(last()), [])
    t.notMatch(JSON.stringify([line.frames, heard!.messages, heard!.transcript]), /canary/)
    t.notMatch(JSON.stringify(line.logs.filter(({ level }) => level >= 30)), /canary/)
  })
}

t.test('the calls of one answer go back as one message, with its reasoning once', async t => {
  const { server, hear, last } = await openLine(t, 'retell', [weather()])
  server.handler = strict('Sunny in both.')
  const details = [{ type: 'reasoning.text', index: 0, text: 'Both. ', signature: 'signed' }]
  server.next(thinking([{ reasoning_content: 'Both.', reasoning_details: details }], WEATHER, 'weather({"city":"Rome"})'), thinking([{ reasoning_content: 'Again.' }], 'weather({"city":"Oslo"})'))
  t.equal(await hear(1, 'Kiel and Rome?'), 'Sunny in both.')
  const inTurn = last()
  t.equal(await hear(2, 'Kiel and Rome?', 'Sunny in both.', 'Thanks'), 'Sunny in both.')
  t.strictSame(last().slice(0, inTurn.length), inTurn, 'a later turn sends what this one sent')
  t.strictSame(last().map(({ role }) => role), ['user', 'assistant', 'tool', 'tool', 'assistant', 'tool', 'assistant', 'user'])
  t.match(last()[1], { content: null, reasoning_content: 'Both.', reasoning_details: details, tool_calls: { length: 2 } })
  t.match(last()[4], { reasoning_content: 'Again.', tool_calls: { length: 1 } })
})

t.test('of an answer without tools, and of an agent without, nothing is sent back', async t => {
  const { server, hear } = await openLine(t, 'retell', [weather()])
  server.next({ steps: [delta({ reasoning_content: CANARY }), 'Hello.'] })
  await hear(1, 'Hi')
  await hear(2, 'Hi', 'Hello.', 'Hello?')
  const { server: other, hear: hearOther } = await openLine(t, 'retell', [])
  other.next({ steps: [delta({ reasoning_content: CANARY }), 'Hello.'] })
  await hearOther(1, 'Hi')
  await hearOther(2, 'Hi', 'Hello.', 'Hello?')
  t.notMatch(JSON.stringify([...server.requests, ...other.requests].map(({ body }) => body)), /canary/)
})

t.test('words behind reasoning in chunks that are otherwise alike keep their reasoning', async t => {
  const { server, hear } = await openLine(t, 'retell', [weather()])
  const pieces = ['a ', 'b ', 'c '].map(word => ({ content: word, reasoning_content: 'same' }))
  server.next(thinking(pieces, WEATHER))
  await hear(1, 'Weather?')
  t.equal(callsOf(server.requests.at(-1)!)[0]?.['reasoning_content'], 'samesamesame')
})

t.test('a server that refuses the reasoning that it streamed is sent none of it from then on', async t => {
  const { server, hear } = await openLine(t, 'retell', [weather()])
  server.handler = request => callsOf(request).some(message => 'reasoning' in message)
    ? { status: 400, body: { error: { message: "property 'reasoning' is unsupported" } } }
    : 'It is sunny.'
  server.next(thinking([{ reasoning: CANARY }], WEATHER))
  t.equal(await hear(1, 'Weather?'), 'It is sunny.')
  t.equal(server.requests.length, 3)
  t.equal(await hear(2, 'Weather?', 'It is sunny.', 'Thanks'), 'It is sunny.')
  t.equal(server.requests.length, 4)
})

// Other models

t.test('failover sends it, and members of tool calls that are the model\'s own, to no other model', async t => {
  const [first, second] = [await startScriptedModel(), await startScriptedModel()]
  const agents = [
    openAIAgent({ baseURL: first.url, greeting: '', tools: [weather()], model: 'thinker' }),
    openAIAgent({ baseURL: second.url, greeting: '', tools: [weather()], model: 'other' })
  ]
  const both = failover(agents)
  t.teardown(() => Promise.all([both.close(), first.close(), second.close()]))
  const { hear } = await openLine(t, 'retell', [], { wrap: () => turn => both.call({} as never, turn) as AsyncIterable<Speech> })
  const signed = { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Kiel"}' }, extra_content: { google: { thought_signature: 'canary' } } }
  first.next({ steps: [delta({ reasoning: CANARY }), delta({ tool_calls: [signed] })], finishReason: 'tool_calls' }, 'Sunny.')
  await hear(1, 'Weather?')
  t.match(callsOf(first.requests.at(-1)!), [{ reasoning: CANARY, tool_calls: [{ extra_content: { google: { thought_signature: 'canary' } } }] }])
  first.next({ status: 500 })
  second.next(calling('weather({"city":"Rome"})'), 'Sunny, too.')
  t.equal(await hear(2, 'Weather?', 'Sunny.', 'And Rome?'), 'Sunny, too.')
  t.equal(callsOf(second.requests.at(-1)!).length, 2)
  t.notMatch(JSON.stringify(second.requests.map(({ body }) => body)), /canary|thought_signature/)
})

t.test('a thinking model that refuses tool calls of another model is asked without them, and is from then on', async t => {
  const [first, second] = [await startScriptedModel(), await startScriptedModel()]
  const both = failover([first, second].map(({ url }, index) => openAIAgent({ baseURL: url, greeting: '', instructions: '', tools: [weather()], model: `model ${index}` })))
  t.teardown(() => Promise.all([both.close(), first.close(), second.close()]))
  const { hear } = await openLine(t, 'retell', [], { wrap: () => turn => both.call({} as never, turn) as AsyncIterable<Speech> })
  first.next(calling(WEATHER), 'Sunny.', { status: 500 })
  second.handler = strict('Yes.')
  await hear(1, 'Weather?')
  t.equal(await hear(2, 'Weather?', 'Sunny.', 'Really?'), 'Yes.')
  t.equal(second.requests.length, 2)
  t.strictSame(second.requests[1]!.body.messages.map(({ role, content }) => [role, content]), [['user', 'Weather?'], ['assistant', 'Sunny.'], ['user', 'Really?']])
  second.next(thinking([{ reasoning_content: CANARY }], WEATHER))
  t.equal(await hear(3, 'Weather?', 'Sunny.', 'Really?', 'Yes.', 'And Kiel?'), 'Yes.')
  t.equal(second.requests.length, 4)
  t.match(callsOf(second.requests[3]!), [{ reasoning_content: CANARY }])
  t.equal(await hear(4, 'Weather?', 'Sunny.', 'Really?', 'Yes.', 'And Kiel?', 'Yes.', 'Fine'), 'Yes.')
  t.match(callsOf(second.requests[4]!), [{ reasoning_content: CANARY }], 'its own call of an earlier turn stays')
})

t.test('a call of the same turn stays, however its server refuses it', async t => {
  const { server, hear } = await openLine(t, 'retell', [weather()])
  server.handler = strict('Yes.')
  server.next(calling(WEATHER))
  await hear(1, 'Weather?')
  t.equal(server.requests.length, 2)
})

t.test('reasoning that is refused in a later turn is left out, and nothing else of the conversation', async t => {
  const { server, hear } = await openLine(t, 'retell', [weather()])
  server.next(thinking([{ reasoning: CANARY }], WEATHER), 'Sunny.')
  await hear(1, 'Weather?')
  server.handler = request => callsOf(request).some(message => 'reasoning' in message)
    ? { status: 400, body: { error: { message: 'Reasoning input is not enabled for this model' } } }
    : 'Yes.'
  t.equal(await hear(2, 'Weather?', 'Sunny.', 'Really?'), 'Yes.')
  t.equal(await hear(3, 'Weather?', 'Sunny.', 'Really?', 'Yes.', 'Thanks'), 'Yes.')
  t.equal(server.requests.length, 5)
  t.strictSame(server.requests.at(-1)!.body.messages.map(({ role }) => role), ['user', 'assistant', 'tool', 'assistant', 'user', 'assistant', 'user'])
})

// Other nodes

/** What one node leaves, and another one finds. */
function handover (fields: Record<string, string>, saved: Record<string, string> = {}) {
  const listeners: Array<(fields: Readonly<Record<string, string>>) => void> = []
  const handover: Handover = {
    fields, uncertain: undefined, isIncomplete: false, save: more => Object.assign(saved, more), report: () => {}, onReport: listener => listeners.push(listener)
  }
  return { handover, saved, report: (fields: Record<string, string>) => listeners.forEach(listener => listener(fields)) }
}

t.test('the node that goes on with a call sends it back, too', async t => {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const agent: OpenAIAgent = openAIAgent({ baseURL: server.url, greeting: '', instructions: '', tools: [weather()] })
  t.teardown(() => agent.close())
  const cluster = new MemoryCluster()
  const dial = async (node: string): Promise<Line> => {
    const nodeCluster = cluster.node(node)
    const line = new Line('retell', turn => agent(turn), { cluster: nodeCluster, claim: await nodeCluster.claim({ provider: 'retell', id: 'call_1' }), reconnectGraceMs: 1_000 })
    t.teardown(() => line.hangUp(1000))
    return line
  }
  server.handler = strict('It is sunny.')
  server.next(thinking([{ reasoning_content: CANARY }], WEATHER))
  const first = await dial('a')
  first.receive(retell.details())
  first.receive(retell.request(1, 'Weather?'))
  await first.completed(1)
  const second = await dial('b')
  second.receive(retell.request(2, 'Weather?', 'It is sunny.', 'Thanks'))
  await second.completed(2)
  t.match(second.frames.at(-1), { response_id: 2 })
  t.strictSame(callsOf(server.requests.at(-1)!).map(message => message['reasoning_content']), [CANARY])
})

t.test('what another node left and cannot be read is left out, and what is known here stays', async t => {
  const kept = { from: 'a', ids: ['c1'], members: { reasoning: 'old' } }
  const { handover: first, saved, report } = handover({
    'reasoning:c1': JSON.stringify(kept), 'reasoning:c2': '{', 'reasoning:c3': '{"from":"a","ids":[],"members":{}}', 'run:x': '{}'
  })
  const book = new ReasoningBook(first)
  t.strictSame(book.of('c1'), kept)
  book.keep({ from: 'a', ids: ['c4', 'c5'], members: { reasoning: 'new' } })
  report({ 'reasoning:c4': JSON.stringify({ ...kept, ids: ['c4'] }), 'reasoning:c6': JSON.stringify({ ...kept, ids: ['c6'] }) })
  t.strictSame([book.of('c4')?.members, book.of('c6')?.members], [{ reasoning: 'new' }, { reasoning: 'old' }])
  t.strictSame(Object.keys(saved), ['reasoning:c4'])
  report({ 'reasoning:c7': JSON.stringify({ ...kept, ids: ['c7'], members: { reasoning: 'x'.repeat(1_000_000) } }) })
  t.equal(book.isEmpty, true, 'what is too much by itself is not kept')
})

t.test('each call has its own', async t => {
  const server = await startScriptedModel()
  const agent = openAIAgent({ baseURL: server.url, tools: [weather()] })
  t.teardown(() => Promise.all([server.close(), agent.close()]))
  const { call } = fakeTurn()
  const other = { ...call } as Call
  setHandover(other, handover({}).handover)
  const messages: Turn['messages'] = [
    { role: 'user', content: 'Weather?' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_weather_0', type: 'function', function: { name: 'weather', arguments: '{}' } }] },
    { role: 'tool', tool_call_id: 'call_weather_0', content: 'sunny' }
  ]
  server.next(thinking([{ reasoning: CANARY }], WEATHER), 'Sunny.')
  for (const turn of [fakeTurn({ call }), fakeTurn({ call: other, messages })]) for await (const piece of agent(turn)) t.ok(piece)
  t.strictSame(server.requests.map(request => callsOf(request).map(message => message['reasoning'])), [[], [CANARY], [undefined]])
})
