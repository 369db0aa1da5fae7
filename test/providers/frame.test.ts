import assert from 'node:assert/strict'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import fc from 'fast-check'
import { compile } from '../../lib/contract/compile.js'
import { isObject, nonEmpty, stringMembers } from '../../lib/contract/json.js'
import { ignored, malformed, parseFrame, unknownFrame, violation } from '../../lib/providers/frame.js'
import { millisControlFrames } from '../../lib/providers/millis/frames.js'
import { MillisCodec } from '../../lib/providers/millis/codec.js'
import type { Codec, ProviderEvent } from '../../lib/providers/codec.js'
import { RetellCodec, retellBegin } from '../../lib/providers/retell/codec.js'
import { millis, retell } from '../helpers/caller.js'
import { scaledRuns } from '../helpers/runs.js'

t.test('a text frame with a JSON object is read', async t => {
  t.strictSame(parseFrame(Buffer.from(' {"a":{"b":null},"é":"\\ud83d"} '), false), { a: { b: null }, é: '\ud83d' })
})

for (const [what, text, why] of [
  ['nothing', '', 'not JSON'],
  ['half an object', '{"a":', 'not JSON'],
  ['two objects', '{}{}', 'not JSON'],
  ['a byte order mark', '\ufeff{}', 'not JSON'],
  ['an array', '[{}]', 'not a JSON object'],
  ['null', 'null', 'not a JSON object'],
  ['a string', '"{}"', 'not a JSON object'],
  ['a number', '1', 'not a JSON object']
] as const) {
  t.test(`${what} is no frame`, async t => {
    t.equal(parseFrame(Buffer.from(text), false), why)
  })
}

t.test('bytes that are not UTF-8 are no frame', async t => {
  t.equal(parseFrame(Buffer.from([0xff, 0xfe, 0x7b]), false), 'not JSON')
})

t.test('a binary frame is no frame, whatever is in it', async t => {
  t.equal(parseFrame(Buffer.from('{}'), true), 'binary frame')
})

t.test('a deeply nested frame does not exhaust the stack', async t => {
  const depth = 100_000
  t.type(parseFrame(Buffer.from(`{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`), false), 'object')
})

t.test('only what is neither null nor an array is an object', async t => {
  t.strictSame([{}, { a: 1 }, Object.create(null), null, undefined, [], '', 0, true].map(isObject),
    [true, true, true, false, false, false, false, false, false])
})

t.test('a frame is ignored as malformed, or as of no concern', async t => {
  t.strictSame(malformed('broken'), { type: 'ignored', why: 'broken', malformed: true })
  t.strictSame(ignored('stale'), { type: 'ignored', why: 'stale', malformed: false })
})

t.test('an unknown discriminator is ignored, and named where it cannot be content', async t => {
  t.strictSame(unknownFrame('new_event_2'), { type: 'ignored', why: 'unknown type new_event_2', malformed: false })
  t.strictSame(unknownFrame('a'.repeat(40)), { type: 'ignored', why: `unknown type ${'a'.repeat(40)}`, malformed: false })
})

t.test('an unknown discriminator that could be content is not named', async t => {
  for (const word of ['', 'my name is Noor', '+14155550101', 'line\nbreak', 'line\n', 'é', 'a'.repeat(41)]) {
    t.strictSame(unknownFrame(word), { type: 'ignored', why: 'unknown type', malformed: false })
  }
})

t.test('a frame whose discriminator is no string is malformed', async t => {
  for (const value of [undefined, null, 7, true, {}, ['update_only']]) {
    t.strictSame(unknownFrame(value), { type: 'ignored', why: 'no discriminator', malformed: true })
  }
})

t.test('a violation names the first wrong member by its path, without its value', async t => {
  const { call } = compile({ call: Type.Object({ id: Type.Integer(), inner: Type.Object({ name: Type.String() }) }) })
  t.strictSame(violation(call, 'call', { id: '+14155550101', inner: {} }), { type: 'ignored', why: 'call: /id', malformed: true })
  t.strictSame(violation(call, 'call', { id: 1, inner: { name: 7 } }), { type: 'ignored', why: 'call: /inner/name', malformed: true })
})

t.test('members that are strings are kept, others are left out', async t => {
  t.strictSame(stringMembers({ a: 'x', b: '', c: 1, d: null, e: ['y'], f: {} }), { a: 'x', b: '' })
})

t.test('where there are none there is nothing', async t => {
  t.strictSame([null, undefined, 'ab', ['a'], 3, {}, { a: 1 }].map(stringMembers), Array(7).fill(undefined))
})

t.test('a member called __proto__ is a member like any other', async t => {
  const members = stringMembers(JSON.parse('{"__proto__":"x","toString":"y"}'))
  t.strictSame(Object.entries(members!), [['__proto__', 'x'], ['toString', 'y']])
})

t.test('an empty string is as good as none', async t => {
  t.strictSame(['a', ' ', '', null, undefined, 0, {}].map(nonEmpty), ['a', ' ', undefined, undefined, undefined, undefined, undefined])
})

// Whatever arrives, on either socket.

const RETELL: object[] = [
  retell.ping(), retell.details({ from_number: '+1', metadata: {}, retell_llm_dynamic_variables: { a: 'b' }, start_timestamp: 1 }),
  { ...retell.update('Yes?', 'Hi'), turntaking: 'user_turn' }, retell.request(1, 'Hi'), retell.reminder(2, 'Hi', 'Yes?'),
  {
    ...retell.request(3, 'Hi'),
    transcript_with_tool_calls: [
      { role: 'user', content: 'Hi', words: [{ word: 'Hi', start: 0, end: 1 }] },
      { role: 'tool_call_invocation', tool_call_id: 't', name: 'n', arguments: '{}' },
      { role: 'tool_call_result', tool_call_id: 't', content: 'c', successful: true },
      { role: 'dtmf', digit: '4' }, { role: 'injected', content: 'note' }, { role: 'node_transition' }
    ]
  }
]
const MILLIS: object[] = [
  millis.start(0, 'ses_1', { call_sid: null, metadata: { a: 1 }, voip: { from: '+1', to: '+2', direction: 'inbound' } }),
  millis.request(1, 'Hi', 'Yes?', 'Sunday?'), millis.interrupt(1), millis.played(1),
  { type: 'stream_request', data: { stream_id: 'a', transcript: [{ role: 'user', content: ['Hi', { text: 'there' }] }] } },
  { type: 'partial_transcript', data: { session_id: 'ses_1', transcript: 'are you', is_final: false } }
]

const dialects: ReadonlyArray<{ name: string, samples: object[], open: () => Codec }> = [
  { name: 'Retell', samples: RETELL, open: () => new RetellCodec(retellBegin(1)) },
  { name: 'Millis', samples: MILLIS, open: () => new MillisCodec(millisControlFrames) }
]

/** Asks an event for everything that is converted only when asked for. */
function exhaust (event: ProviderEvent): void {
  if (event.type === 'update') event.read()
  if (event.type === 'asked') assert.equal(typeof event.transcript.utterances(), typeof event.transcript.entries())
}

/** The value with one of its members, at any depth, replaced. */
function withMember (value: unknown, path: readonly number[], member: unknown): unknown {
  const [step, ...rest] = path
  if (step === undefined || typeof value !== 'object' || value === null) return member
  const keys = Object.keys(value)
  if (keys.length === 0) return member
  const key = keys[step % keys.length]!
  const changed = withMember((value as Record<string, unknown>)[key], rest, member)
  return Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed }
}

const PRIVATE = '+1 415 555 0101'

const anyPath = fc.array(fc.nat(20), { minLength: 1, maxLength: 4 })
const anyEdit = fc.record({
  at: fc.nat(300),
  cut: fc.nat(9),
  insert: fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('{', '}', '[', ']', '"', ',', ':', '\\', 'null', '1e999', '-', '\0'))
})

for (const { name, samples, open } of dialects) {
  const anySample = fc.constantFrom(...samples)

  t.test(`every sample of ${name} is understood`, async t => {
    const codec = open()
    for (const sample of samples) t.not(codec.decode(Buffer.from(JSON.stringify(sample)), false).type, 'ignored')
  })

  t.test(`no bytes make ${name}'s decoder throw`, async () => fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, binary) => {
    exhaust(open().decode(Buffer.from(bytes), binary))
  })))

  t.test(`no JSON makes ${name}'s decoder throw`, async () => fc.assert(fc.property(fc.json(), json => {
    exhaust(open().decode(Buffer.from(json), false))
  })))

  t.test(`no wrong member of a known frame makes ${name}'s decoder throw`, async () => fc.assert(fc.property(
    anySample, anyPath, fc.jsonValue(), (sample, path, member) => {
      exhaust(open().decode(Buffer.from(JSON.stringify(withMember(sample, path, member))), false))
    }), { numRuns: scaledRuns(2_000) }))

  t.test(`no damage to a known frame makes ${name}'s decoder throw`, async () => fc.assert(fc.property(
    anySample, fc.array(anyEdit, { minLength: 1, maxLength: 3 }), (sample, edits) => {
      const damaged = edits.reduce((text, { at, cut, insert }) => text.slice(0, at) + insert + text.slice(at + cut), JSON.stringify(sample))
      exhaust(open().decode(Buffer.from(damaged), false))
    }), { numRuns: scaledRuns(2_000) }))

  t.test(`a frame of ${name} that is ignored says why without repeating what is in it`, async () => fc.assert(fc.property(
    anySample, anyPath, fc.constantFrom(PRIVATE, { [PRIVATE]: PRIVATE }, [PRIVATE]), (sample, path, member) => {
      const event = open().decode(Buffer.from(JSON.stringify(withMember(sample, path, member))), false)
      if (event.type === 'ignored') assert.ok(!event.why.includes(PRIVATE), event.why)
    })))
}
