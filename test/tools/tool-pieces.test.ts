/**
 * Answers of models in thousands of pieces, or with thousands of calls: what is done for each piece does not depend on how many came before.
 * Operations are counted; how long they take is measured by `npm run bench -- --only tool-pieces`.
 */
import assert from 'node:assert/strict'
import { setMaxListeners } from 'node:events'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import t from 'tap'
import type { Dispatcher } from 'undici'
import type { Call, ToolAction } from '../../lib/contract/agent.js'
import { EventStream } from '../../lib/agents/openai/event-stream.js'
import { Exchange } from '../../lib/agents/openai/exchange.js'
import { GrowingJson } from '../../lib/tools/growing-json.js'
import { meantObjects } from '../../lib/tools/meant-arguments.js'
import { openAIAgent } from '../../lib/agents/openai/agent.js'
import { ToolCalls, type ToolCallDelta } from '../../lib/tools/tool-calls.js'
import { tool } from '../../lib/tools/tool.js'
import { Floor, Speaker } from '../../lib/call/speaker.js'
import { startScriptedModel, toolCallChunk } from '../../lib/testing/scripted-model.js'
import { newCodec } from '../helpers/call.js'
import { fakeTurn } from '../helpers/fake-turn.js'
import { scaledRuns } from '../helpers/runs.js'

const MANY = 2_000

/** How often a method is called while `work` runs, and on and with what. Node's own mocks use the methods of lists themselves. */
function calls (of: object, method: string, work: () => void): Array<{ readonly this: unknown, readonly arguments: readonly unknown[] }> {
  const original = Object.getOwnPropertyDescriptor(of, method)!
  const made: Array<{ this: unknown, arguments: unknown[] }> = []
  Object.defineProperty(of, method, {
    ...original,
    value (this: unknown, ...args: unknown[]) {
      made[made.length] = { this: this, arguments: args }
      return Reflect.apply(original.value as () => unknown, this, args)
    }
  })
  try {
    work()
    return made
  } finally {
    Object.defineProperty(of, method, original)
  }
}

function add (deltas: readonly ToolCallDelta[]): ToolCalls {
  const calls = new ToolCalls()
  for (const delta of deltas) calls.add([delta])
  return calls
}

const piece = (index: number, id: string | undefined, name: string | undefined, args: string): ToolCallDelta => ({
  index, id, function: { name, arguments: args }
})
const pieces = Array.from({ length: MANY }, (_, n) => n)

for (const [behaviour, deltas, most] of [
  ['pieces of one call are not parsed', pieces.map(() => piece(0, undefined, undefined, 'x')), 0],
  ['pieces with its name are not parsed', pieces.map(() => piece(0, undefined, 'book', 'x')), 0],
  ['pieces with ids of their own are not parsed', pieces.map(n => piece(0, `a${n}`, 'book', 'x')), 0],
  ['pieces behind the end are parsed once', ['{', '}', 'x', ...pieces.map(() => '}')].map(args => piece(0, 'a', 'book', args)), 1],
  ['calls are parsed once each', pieces.map(n => piece(0, `a${n}`, 'book', '{}')), MANY],
  ['calls with numbers are not parsed', pieces.map(n => piece(n, `a${n}`, 'book', '{}')), 0]
] as const) {
  t.test(behaviour, async t => {
    const parsed = calls(JSON, 'parse', () => { add([piece(0, undefined, 'book', '{"day":"'), ...deltas]) })
    t.ok(parsed.length <= most, `${parsed.length}`)
    for (const search of ['find', 'findLast', 'findIndex', 'includes', 'indexOf'] as const) {
      t.equal(calls(Array.prototype, search, () => { add(deltas) }).length, 0, `no list is searched by ${search}`)
    }
  })
}

// The same as it was written at first, which looks at all that came before.

function assembled (deltas: readonly ToolCallDelta[]): object[] {
  const isComplete = (args: string): boolean => {
    try {
      const value: unknown = JSON.parse(args)
      return typeof value === 'object' && value !== null
    } catch {
      return false
    }
  }
  const all: Array<{ index: unknown, id: string, name: string, arguments: string, pieces: string[] }> = []
  for (const delta of deltas) {
    const { index, id, function: { name, arguments: args } } = delta as { index: unknown, id: string, function: { name: string, arguments: string } }
    if (id === '' && name === '' && args === '') continue
    let call = id === '' ? undefined : all.find(call => call.id === id && call.index === index)
    const last = all.findLast(call => call.index === index)
    const isNext = id !== '' && last !== undefined && last.id !== ''
      ? last.arguments === '' || isComplete(last.arguments)
      : args !== '' && isComplete(last?.arguments ?? '') && !(id === '' && last?.arguments.trim() === '{}')
    const isAnother = last !== undefined && name !== '' && last.name !== '' && (last.name !== name || isNext)
    if (!isAnother) call ??= last
    if (call === undefined) all.push(call = { index, id, name: '', arguments: '', pieces: [] })
    call.id ||= id
    call.name ||= name
    call.arguments += args
    call.pieces.push(args)
  }
  return all.filter(({ name }) => name !== '').flatMap(({ id, name, arguments: args, pieces }) => {
    const json = new GrowingJson()
    for (const piece of pieces) json.add(piece)
    const [first = args, ...others] = meantObjects(json)
    return [{ id, name, arguments: first, extra: {} }, ...others.map(other => ({ id: '', name, arguments: other, extra: {} }))]
  })
}

t.test('the assembled calls equal those of an assembly that reads all pieces each time', async () => {
  const delta = fc.record({
    index: fc.constantFrom(0, 1, null, undefined),
    id: fc.constantFrom('', '', 'a', 'b', 'c'),
    function: fc.record({
      name: fc.constantFrom('', '', 'book', 'look_up'),
      arguments: fc.oneof(
        fc.constantFrom('', ' ', '{', '}', '{}', '[]', '"', '\\"', '{"a":"}', 'x', '1', ':', '{"a":{"b":[]}}', '{"a":"\\\\'), fc.json()
      )
    })
  })
  fc.assert(fc.property(fc.array(delta, { maxLength: 12 }), deltas => {
    assert.deepEqual(add(deltas).complete(false), assembled(deltas))
  }), { numRuns: scaledRuns(4_000) })
})

t.test('text is complete once its outermost bracket is closed and it parses', async () => {
  const part = fc.oneof(fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', ':', ' ', '1', 'a'), fc.json())
  fc.assert(fc.property(fc.array(part), parts => {
    const json = new GrowingJson()
    for (const part of parts) json.add(part)
    const text = parts.join('')
    assert.equal(json.text, text)
    let value: unknown
    try { value = JSON.parse(text) } catch {}
    assert.equal(json.isComplete, typeof value === 'object' && value !== null)
    assert.equal(json.isComplete, typeof value === 'object' && value !== null, 'asked again')
  }), { numRuns: scaledRuns(4_000) })
})

t.test('an answer that calls too many tools runs and records none of them', async t => {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const runs: string[] = []
  const record: ToolAction[] = []
  const look = tool({
    name: 'look', description: 'Looks.', parameters: Type.Object({ n: Type.Number() }), sideEffects: false, execute: () => { runs.push('') }
  })
  const agent = openAIAgent({ apiKey: 'sk-test', baseURL: server.url, tools: [look] })
  t.teardown(() => agent.close())
  const call = {
    id: 'call_1', provider: 'retell', completedTurns: 0, record: entry => record.push(entry) > 0, waitUntil: () => {}, countTokens: () => {}
  } as Partial<Call> as Call
  const say = async (): Promise<void> => {
    const turn = fakeTurn({ call })
    setMaxListeners(0, turn.signal)
    for await (const piece of agent(turn)) t.ok(piece)
  }
  const calling = (many: number): Parameters<typeof server.next>[0] => ({
    steps: [toolCallChunk(...Array.from(
      { length: many }, (_, n) => ({ index: n, id: `a${n}`, function: { name: 'look', arguments: `{"n":${n}}` } })
    ))],
    finishReason: 'tool_calls'
  })

  server.next(calling(128), 'Done.')
  await say()
  t.strictSame([runs.length, record.length], [128, 256])
  server.next(calling(129))
  await t.rejects(say(), { code: 'VOICE_AGENT_ERR_MODEL', message: /called more than 128 tools at once/ })
  t.strictSame([runs.length, record.length], [128, 256])
})

// The way there

t.test('server-sent events in single bytes are scanned once', async t => {
  const bytes = Buffer.from(`data: ${'x'.repeat(MANY)}\n\n`)
  let events: string[] = []
  const searched = calls(String.prototype, 'indexOf', () => {
    const stream = new EventStream()
    events = Array.from(bytes, byte => stream.read(Buffer.of(byte))).flat()
  })
  t.strictSame(events, ['x'.repeat(MANY)])
  t.equal(searched.filter(({ this: text }) => String(text).length > 1).length, 1, 'a whole line once, when it is complete')
})

t.test('queued pieces are not moved for each read', async t => {
  const exchange = new Exchange()
  const controller = { pause () {}, resume () {}, abort () {} } as unknown as Dispatcher.DispatchController
  for (const n of pieces) exchange.onResponseData(controller, Buffer.of(n % 256))
  let read: Array<Promise<IteratorResult<Buffer>>> = []
  const readAll = (): void => { read = pieces.map(() => exchange.next()) }
  const spliced = calls(Array.prototype, 'splice', () => {
    t.equal(calls(Array.prototype, 'shift', readAll).length, 0)
  })
  t.ok(spliced.length < 20, `${spliced.length}`)
  t.strictSame((await Promise.all(read)).map(({ value }) => (value as Buffer)[0]), pieces.map(n => n % 256))
})

t.test('words without an end of sentence are not scanned again with each one', async t => {
  const speaker = new Speaker({ send: () => {} }, newCodec('retell'))
  const floor = new Floor(1)
  speaker.give(floor)
  const cut = calls(String.prototype, 'slice', () => { for (const n of pieces) speaker.say(floor, `word ${n} `) })
  t.equal(floor.characters, pieces.reduce((sum, n) => sum + `word ${n} `.length, 0))
  t.ok(cut.every(({ this: text }) => String(text).length < 50))
  t.equal(floor.firstSentenceAt, undefined)
  for (const words of ['5', '.', ' ', 'So']) speaker.say(floor, words)
  t.type(floor.firstSentenceAt, 'number')
})

t.test('the search for mismatches stops at the number that is reported', async t => {
  const made = tool({
    name: 'book', description: 'Books.', parameters: Type.Object({ days: Type.Array(Type.Number()) }), execute: () => {}
  })
  let error = ''
  const written = JSON.stringify({ days: pieces.map(() => 'x') })
  const looked = calls(Map.prototype, 'has', () => {
    const read = made.read(written)
    if ('error' in read) error = read.error
  })
  t.equal(error.match(/\/days\/\d/g)?.length, 5)
  t.ok(looked.length < 20, `${looked.length}`)
})
