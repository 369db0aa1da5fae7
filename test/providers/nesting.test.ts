/**
 * Frames that nest, and frames that would be parsed twice: they take no longer than an ordinary frame of their size. What JSON.parse is
 * given is counted, since time cannot be.
 */
import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { mock } from 'node:test'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { parseJson } from '../../lib/contract/json.js'
import { parseFrame } from '../../lib/providers/frame.js'
import { endOfList, nestsLists } from '../../lib/contract/json-lists.js'
import { withoutWordTimings } from '../../lib/providers/retell/word-timings.js'
import { build } from '../helpers/app.js'
import { newCodec } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { RawPeer, rawFrame, rawHeader, TEXT } from '../helpers/raw-peer.js'
import { scaledRuns } from '../helpers/runs.js'

const MIB = 1024 * 1024

/** The lengths of all texts that are parsed while this test runs. */
function parsedLengths (t: Test): number[] {
  const lengths: number[] = []
  const parse = JSON.parse
  const mocked = mock.method(JSON, 'parse', (text: string, reviver?: Parameters<typeof JSON.parse>[1]) => {
    lengths.push(text.length)
    return parse(text, reviver) as unknown
  })
  t.teardown(() => mocked.mock.restore())
  return lengths
}

const nested = (bytes: number, inner = ''): string => '['.repeat(bytes / 2) + inner + ']'.repeat(bytes / 2)

const DEEP: ReadonlyArray<readonly [what: string, provider: 'retell' | 'millis', frame: string]> = [
  ['brackets that are never closed', 'retell', '['.repeat(8 * MIB)],
  ['brackets that are never closed', 'millis', '['.repeat(8 * MIB)],
  ['lists in lists', 'retell', nested(8 * MIB)],
  ['a transcript of lists in lists', 'retell', `{"interaction_type":"response_required","response_id":1,"transcript":${nested(MIB)}}`],
  ['a transcript of lists in lists', 'millis', `{"type":"stream_request","data":{"stream_id":1,"transcript":${nested(MIB)}}}`],
  ['lists and objects in turns', 'millis', '[{"":'.repeat(MIB)],
  ['lists behind other members', 'millis', '["[]",1,'.repeat(MIB)],
  ['brackets that are closed in strings alone', 'millis', '["]]]]",'.repeat(MIB)]
]

for (const [what, provider, frame] of DEEP) {
  t.test(`${provider}: ${what} are not parsed`, async t => {
    const lengths = parsedLengths(t)
    t.match(newCodec(provider).decode(Buffer.from(frame), false), { why: 'nested too deeply', malformed: true })
    t.strictSame(lengths, [])
  })
}

t.test('retell: an update of lists in lists is not parsed', async t => {
  const lengths = parsedLengths(t)
  const event = newCodec('retell').decode(Buffer.from(`{"interaction_type":"update_only","transcript":${nested(MIB)}}`), false)
  assert.equal(event.type, 'update')
  t.equal(event.read(), undefined)
  t.strictSame(lengths, [])
})

for (const provider of ['retell', 'millis'] as const) {
  t.test(`${provider}: a frame of 8 MiB of brackets is ignored unread, and the next request is answered`, async t => {
    const { app, logs } = await build(t, ({ reason }) => reason === 'greeting' ? 'Hello.' : 'We open at nine.')
    await app.listen({ port: 0, host: '127.0.0.1' })
    const lengths = parsedLengths(t)
    const peer = await RawPeer.upgraded(t, (app.server.address() as AddressInfo).port, provider === 'retell' ? '/llm-websocket/call_1' : '/millis')
    peer.write(rawFrame(TEXT, JSON.stringify(provider === 'retell' ? retell.details() : millis.start(0))))
    await peer.heard(/Hello\./)

    peer.write(rawHeader(8 * MIB))
    peer.write('['.repeat(8 * MIB))
    peer.write(rawFrame(TEXT, JSON.stringify(provider === 'retell' ? retell.request(1, 'Hi') : millis.request(1, 'Hi'))))
    await peer.heard(/We open at nine\./)

    t.match(logs.filter(({ level }) => level >= 40), [{ msg: 'malformed frame ignored', why: 'nested too deeply', bytes: 8 * MIB }])
    t.ok(Math.max(...lengths) < 1_000)
  })
}

t.test('a frame is parsed once, whatever its words are', async t => {
  const words = (...all: string[]) => [{ role: 'user', content: 'Hi', words: all.map(word => ({ word, start: 0.25, end: 0.5 })) }]
  const transcripts = [[], words('Hi'), words('[inaudible]', 'a]'), words('1}],'), words('d":1}]'), [{ words: [[{ d: 1 }], 2] }]]
  for (const transcript of transcripts) {
    for (const end of ['', '}', ',']) {
      const event = newCodec('retell').decode(Buffer.from(JSON.stringify({ ...retell.request(1), transcript }) + end), false)
      t.equal(event.type, end === '' ? 'asked' : 'ignored')
    }
  }
  const lengths = parsedLengths(t)
  for (const transcript of transcripts) for (const end of ['', '}']) newCodec('retell').decode(Buffer.from(JSON.stringify({ ...retell.request(1), transcript }) + end), false)
  t.equal(lengths.length, 2 * transcripts.length)
})

t.test('millis: members that nobody reads are not copied', async t => {
  const data = new Proxy({ stream_id: 3, transcript: [] }, { ownKeys: () => { throw new Error('all members are listed') } })
  const frame = new Proxy({ type: 'stream_request', data, transcript: 'Hi' }, { ownKeys: () => { throw new Error('all members are listed') } })
  const mocked = mock.method(JSON, 'parse', () => frame)
  t.teardown(() => mocked.mock.restore())
  t.match(newCodec('millis').decode(Buffer.from('{}'), false), { type: 'asked', id: 3 })
})

t.test('brackets in strings nest nothing', async t => {
  for (const text of ['[', '"[', '\\[', '\\\\"[', '[\\', ']]['].map(text => text.repeat(100_000))) {
    const frame = { type: 'partial_transcript', transcript: text }
    t.strictSame(parseFrame(Buffer.from(JSON.stringify(frame)), false), frame)
  }
})

t.test('many lists side by side are read, and a thousand in one another', async t => {
  const flat = { a: Array(200_000).fill([1]) }
  t.strictSame(parseFrame(Buffer.from(JSON.stringify(flat)), false), flat)
  const padding = ' '.repeat(MIB)
  t.type(parseJson(nested(2_000, padding)), Array)
  t.equal(parseJson(nested(2_002, padding)), undefined)
})

// In an oracle's words.

function depthOf (value: unknown): number {
  return Array.isArray(value) ? 1 + Math.max(0, ...value.map(depthOf)) : 0
}

const anyText = fc.array(fc.constantFrom('[', ']', '"', '\\', '{', 'a', '[]'), { maxLength: 6 }).map(parts => parts.join(''))
const { value: anyLists } = fc.letrec<{ value: unknown }>(tie => ({ value: fc.oneof({ maxDepth: 4 }, anyText, fc.array(tie('value'), { maxLength: 4 })) }))

t.test('a list ends where a parser says that it ends', async () => fc.assert(fc.property(fc.array(anyLists), fc.array(anyLists), (list, behind) => {
  const text = JSON.stringify(list)
  assert.equal(endOfList(text + JSON.stringify(behind), 0), text.length - 1)
  assert.equal(endOfList(text.slice(0, -1), 0), -1)
}), { numRuns: scaledRuns(2_000) }))

t.test('lists nest as deep as a parser says that they do', async () => fc.assert(fc.property(fc.array(anyLists), fc.integer({ min: 990, max: 1_001 }), (list, around) => {
  const text = JSON.stringify(list)
  assert.equal(nestsLists('['.repeat(around) + text + ']'.repeat(around)), around + depthOf(JSON.parse(text)) > 1_000)
}), { numRuns: scaledRuns(2_000) }))

t.test('a frame that holds no list of words is handed on as it is', async t => {
  for (const text of ['{"words":[', '{"words": [1,2', '{"words":1,"a":[1]}', '{"a\\"words":[1]}']) t.equal(withoutWordTimings(text), text)
})
