/**
 * However the bytes of an answer are cut, its words and tool calls are the same. Answers are made up; nothing lies between their bytes and
 * the agent but the reader of a response.
 */
import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import type { Dispatcher } from 'undici'
import { Completion } from '../../../lib/agents/openai/completion.js'
import { Exchange, ResponseHead } from '../../../lib/agents/openai/exchange.js'
import { ModelError } from '../../../lib/contract/errors.js'
import type { ModelToolCall } from '../../../lib/tools/tool-loop.js'
import { fakeTurn } from '../../helpers/fake-turn.js'
import { scaledRuns } from '../../helpers/runs.js'
import { bytesOf } from './corpus/cuts.js'
import { servers } from './corpus/index.js'

interface Heard {
  readonly words: string
  readonly calls: readonly ModelToolCall[]
  /** The name of what is thrown. */
  readonly error?: string
}

/** Reads an answer whose bytes come in these pieces. */
async function hear (pieces: readonly Buffer[]): Promise<Heard> {
  const exchange = new Exchange()
  const controller = { paused: false, pause () {}, resume () {}, abort () {} } as unknown as Dispatcher.DispatchController
  exchange.onRequestStart(controller)
  const server = { provider: 'openai', model: 'm', address: 'localhost', port: 80 }
  const answer = { bytes: exchange, head: new ResponseHead(200, {}), failure: () => new ModelError('reported an error') as never }
  const completion = new Completion(fakeTurn(), server, true, Promise.resolve(answer), undefined, () => {})
  for (const piece of pieces) exchange.onResponseData(controller, piece)
  exchange.onResponseEnd()
  let words = ''
  try {
    for await (const bytes of await completion.chunks) {
      words += completion.read(bytes as Buffer)
      if (completion.hasFailed) break
    }
    words += completion.end()
    return { words, calls: completion.complete(words.trim() !== '') }
  } catch (error) {
    return { words, calls: [], error: (error as Error).message }
  }
}

function cutAt (bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places.map(place => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)).filter(({ length }) => length > 0)
}

const places = fc.array(fc.nat(), { maxLength: 60 })
const word = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constantFrom(' ', '**', '\n', '"', '\\', '[DONE]', 'data: ', '👩‍🍳', '\u2028'))
const content = fc.oneof(
  { weight: 8, arbitrary: word },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 2, arbitrary: fc.array(fc.record({ type: fc.constantFrom('text', 'thinking'), text: word }), { maxLength: 3 }) }
)
const call = fc.record({ index: fc.nat(2), id: fc.constantFrom('', 'a', 'b'), function: fc.record({ name: fc.constantFrom('', 'find'), arguments: fc.constantFrom('', '{', '}', '{}', '{"a":1}', 'null', '"a":1') }) })
const delta = fc.record({ content, reasoning_content: fc.constantFrom(null, 'hm'), tool_calls: fc.oneof({ weight: 4, arbitrary: fc.constantFrom([], null) }, { weight: 1, arbitrary: fc.array(call, { maxLength: 2 }) }) }, { requiredKeys: [] })
const event = fc.oneof(
  { weight: 20, arbitrary: fc.tuple(delta, fc.constantFrom(null, null, null, null, null, 'stop', 'tool_calls', 'error')).map(([delta, reason]) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: reason }] })}\n\n`) },
  { weight: 1, arbitrary: fc.constantFrom(': ping\n\n', 'data: ping\n\n', 'data: [DONE]\n\n', 'event: error\ndata: down\n\n', 'data: {"error":{}}\n\n', 'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', 'data: {"a":\n\n') }
)
const end = fc.constantFrom('\n', '\r\n', '\r')

t.test('however an answer is cut, it reads the same', async () => {
  await fc.assert(fc.asyncProperty(fc.array(event, { maxLength: 20 }), end, fc.boolean(), places, async (events, end, isWhole, places) => {
    const text = events.join('').replaceAll('\n', end)
    const bytes = Buffer.from(isWhole ? text : text.trimEnd())
    const whole = await hear([bytes])
    assert.deepEqual(await hear(cutAt(bytes, places)), whole)
    assert.deepEqual(await hear(cutAt(bytes, [...bytes.keys()])), whole)
  }), { numRuns: scaledRuns(1_000) })
})

t.test('however the answers of known servers are cut, they read as they were meant', async () => {
  const recordings = servers.flatMap(({ recordings }) => recordings)
  await fc.assert(fc.asyncProperty(fc.constantFrom(...recordings), end, places, async (recording, end, places) => {
    const bytes = Buffer.from(bytesOf(recording).replaceAll('\n', end))
    const { words, calls, error } = await hear(cutAt(bytes, places))
    assert.equal(words.trim(), recording.words.trim())
    if (recording.fails) return assert.notEqual(error, undefined)
    assert.deepEqual(calls.map(({ name, arguments: args }) => [name.match(/find|time/)?.[0], JSON.parse(args || '{}')]), recording.calls ?? [])
  }), { numRuns: scaledRuns(2_000) })
})
