/**
 * Frames of a provider, from well-formed to garbage: samples whose members are replaced, dropped, doubled, renamed, moved
 * and nested, written as JSON that no serializer would write, and then damaged as text and as bytes.
 */
import fc from 'fast-check'
import type { Provider } from '../../lib/contract/agent.js'
import { millis, retell } from '../helpers/caller.js'

/** One message of a WebSocket. */
export interface WireFrame {
  readonly data: Buffer
  readonly binary: boolean
}

/** Stands in frames for what a caller said, and is never to be repeated where it could be logged. */
export const CANARY = 'call +1 415 555 0101'

const SAMPLES: Readonly<Record<Provider, readonly object[]>> = {
  retell: [
    retell.ping(), retell.update('Yes?', 'Hi'), { ...retell.update('Hi'), turntaking: 'user_turn' }, retell.request(1, 'Hi'), retell.reminder(2, 'Hi', 'Yes?'),
    retell.details({
      from_number: '+1',
      to_number: '+2',
      direction: 'inbound',
      metadata: { a: 1 },
      retell_llm_dynamic_variables: { a: 'b' },
      call_status: 'ongoing',
      start_timestamp: 1
    }),
    {
      ...retell.request(3, 'Hi'),
      transcript_with_tool_calls: [
        { role: 'user', content: 'Hi', words: [{ word: 'Hi', start: 0, end: 1 }] }, { role: 'agent', content: 'One moment. Yes?' },
        { role: 'tool_call_invocation', tool_call_id: 't', name: 'n', arguments: '{}' },
        { role: 'tool_call_result', tool_call_id: 't', content: 'c', successful: true },
        { role: 'dtmf', digit: '4' }, { role: 'injected', content: 'note' }, { role: 'node_transition' }
      ]
    }
  ],
  millis: [
    millis.start(0, 'ses_1', { call_sid: null, metadata: { a: 1 }, voip: { from: '+1', to: '+2', direction: 'inbound' } }),
    millis.request(1, 'Hi', 'One moment. Yes?', 'Sunday?'), millis.interrupt(1), millis.played(1),
    { type: 'stream_request', data: { stream_id: 'a', transcript: [{ role: 'user', content: ['Hi', { text: 'there' }] }] } },
    { type: 'partial_transcript', data: { session_id: 'ses_1', transcript: 'are you', is_final: false } }
  ]
}

/** JSON as it is written, be it with a key twice. */
type Json = { readonly text: string } | { readonly items: readonly Json[] } | { readonly members: ReadonlyArray<readonly [key: string, value: Json]> }

function toJson (value: unknown): Json {
  if (Array.isArray(value)) return { items: value.map(toJson) }
  if (typeof value === 'object' && value !== null) return { members: Object.entries(value).map(([key, value]) => [key, toJson(value)]) }
  return { text: JSON.stringify(value) }
}

function write (json: Json): string {
  if ('text' in json) return json.text
  if ('items' in json) return `[${json.items.map(write).join()}]`
  return `{${json.members.map(([key, value]) => `${JSON.stringify(key)}:${write(value)}`).join()}}`
}

const NUMBERS = [
  '0', '-0', '1', '2', '7', '-1', '1.5', '1e2', '1.0', '9007199254740991', '9007199254740992', '9007199254740993', '-9007199254740993', '1e308', '1e999',
  '-1e999', '5e-324', '0.1e-400', '2147483648', '4294967296', '123456789012345678901234567890', 'NaN', 'Infinity', '01', '+1', '0x10', '1n'
]
const WORDS = [
  '', ' ', 'Hi', 'Yes?', 'One moment. ', CANARY, `${CANARY}\n`, '\ud800', '\udc00\ud800', '\0', '\ufeff', 'NaN', '1', '-1', '1e999', '__proto__', 'toString', 'user',
  'agent', 'assistant', 'system', 'tool', 'dtmf', 'İ', 'inbound', 'ongoing', 'update_only', 'response_required', 'ping_pong', 'start_call', 'stream_request',
  'interrupt', 'e\u0301 🙂', 'x'.repeat(300), 'Hi '.repeat(3_000), 'a\u2028b', '\u001b[2J', '\u202eb', 'a\u0085', '[inaudible]', ']},{', '1}],', 'd":1}]'
]
const VALUES: readonly Json[] = [
  ...NUMBERS.map(text => ({ text })),
  ...WORDS.map(word => ({ text: JSON.stringify(word) })),
  ...[
    'null', 'true', 'false', '{}', '[]', '[[]]', '[null]', '[{}]', `["${CANARY}"]`, `{"${CANARY}":"${CANARY}"}`, '{"text":"Hi"}', '[{"text":"Hi"},"there",{"text":1}]',
    '{"__proto__":{"polluted":true}}', '{"constructor":{"prototype":{"polluted":true}}}', '{"toString":null,"valueOf":1}', '{"length":4294967295}',
    '{"role":"user","content":"Hi"}', '{"role":"__proto__","content":"Hi"}', '{"role":"constructor","content":""}', '{"role":"agent","content":" "}',
    '{"role":"tool_call_invocation","tool_call_id":"t","name":"n","arguments":" "}', '{"role":"tool_call_result","tool_call_id":"u"}',
    '[{"word":"]","end":1}]', '[{"word":"Hi","end":1}]', '[{"a":[{"end":1}],"end":1}]', '{"role":"dtmf","digit":"#"}', '"\\ud83d"', '"\\u0000"', '"\t"', '"\\x"', '\'Hi\'', 'undefined', '',
    '['.repeat(50) + ']'.repeat(50), '['.repeat(5_000) + ']'.repeat(5_000), '{"a":'.repeat(2_000) + '1' + '}'.repeat(2_000), '['.repeat(3_000)
  ].map(text => ({ text }))
]
const KEYS = [
  '__proto__', 'constructor', 'prototype', 'toString', 'toJSON', 'then', 'length', '0', '', CANARY, '\ud800', 'interaction_type', 'type', 'data', 'response_id',
  'stream_id', 'session_id', 'transcript', 'transcript_with_tool_calls', 'role', 'content', 'tool_call_id', 'name', 'arguments', 'timestamp', 'call', 'call_status',
  'start_timestamp', 'words', 'metadata', 'retell_llm_dynamic_variables', 'voip', 'is_final', 'turntaking', 'text'
]

interface Change {
  /** Which member of which member; past the end it starts over. */
  readonly path: readonly number[]
  readonly how: 'replace' | 'remove' | 'double' | 'rename' | 'insert' | 'wrap' | 'unwrap' | 'repeat'
  readonly value: Json
  readonly key: string
}

function changed (json: Json, [step, ...rest]: readonly number[], change: Change): Json {
  if (step === undefined || 'text' in json) return 'text' in json ? change.value : json
  if ('items' in json) {
    const { items } = json
    if (items.length === 0) return { items: [change.value] }
    const at = step % items.length
    if (rest.length > 0) return { items: items.with(at, changed(items[at]!, rest, change)) }
    return { items: items.toSpliced(at, 1, ...instead(items[at]!, change)) }
  }
  const { members } = json
  if (members.length === 0) return { members: [[change.key, change.value]] }
  const at = step % members.length
  const [key, value] = members[at]!
  if (rest.length > 0) return { members: members.with(at, [key, changed(value, rest, change)]) }
  if (change.how === 'rename') return { members: members.with(at, [change.key, value]) }
  if (change.how === 'insert') return { members: members.toSpliced(at, 0, [change.key, change.value]) }
  if (change.how === 'double') return { members: [...members, [key, change.value]] }
  if (change.how === 'unwrap') return value
  return { members: members.toSpliced(at, 1, ...instead(value, change).slice(0, 2).map(value => [key, value] as const)) }
}

function instead (value: Json, { how, value: other, key }: Change): Json[] {
  switch (how) {
    case 'replace': return [other]
    case 'remove': return []
    case 'wrap': return [{ members: [[key, value]] }]
    case 'unwrap': return 'items' in value ? [...value.items] : [{ items: [value] }]
    case 'repeat': return Array(40).fill(value)
    case 'double': return [value, value]
    case 'rename':
    case 'insert': return [other, value]
  }
}

const anyValue = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...VALUES) }, { weight: 1, arbitrary: fc.string({ maxLength: 20 }).map(toJson) })
const anyChange: fc.Arbitrary<Change> = fc.record({
  path: fc.array(fc.nat(12), { minLength: 1, maxLength: 4 }),
  how: fc.constantFrom('replace', 'replace', 'replace', 'remove', 'double', 'rename', 'insert', 'wrap', 'unwrap', 'repeat'),
  value: anyValue,
  key: fc.constantFrom(...KEYS)
})

interface Damage { readonly at: number, readonly cut: number, readonly insert: string }

const anyDamage: fc.Arbitrary<Damage> = fc.record({
  at: fc.nat(400),
  cut: fc.nat(9),
  insert: fc.constantFrom('', '{', '}', '[', ']', '"', ',', ':', '\\', '\\u', 'null', '-', '\0', '\n', '\ufeff', '{"interaction_type":"update_only",', CANARY)
})

// The outermost object, with its members in order or the other way round, and spaces around it.
const anyDress = fc.constantFrom('', '', '', '', '\ufeff', ' \n', '\u00a0', '{"interaction_type":"update_only",', '[', 'null')

/** A text frame of this provider, or of the other one. */
export function anyText (provider: Provider): fc.Arbitrary<string> {
  const samples = [...SAMPLES[provider], ...SAMPLES[provider], ...SAMPLES.retell, ...SAMPLES.millis].map(toJson)
  return fc.oneof(
    { weight: 12, arbitrary: fc.tuple(fc.constantFrom(...samples), fc.array(anyChange, { maxLength: 3 })).map(([sample, changes]) => frameOf(sample, changes)) },
    {
      weight: 4,
      arbitrary: fc.tuple(fc.constantFrom(...samples), fc.array(anyChange, { maxLength: 1 }), fc.array(anyDamage, { minLength: 1, maxLength: 2 }), anyDress)
        .map(([sample, changes, damages, dress]) => dress +
          damages.reduce((text, { at, cut, insert }) => text.slice(0, at) + insert + text.slice(at + cut), frameOf(sample, changes)))
    },
    { weight: 1, arbitrary: anyValue.map(write) }
  )
}

function frameOf (sample: Json, changes: readonly Change[]): string {
  return write(changes.reduce((json, change) => changed(json, change.path, change), sample))
}

const BYTES = ['ff', 'c0af', 'eda080', 'f4908080', 'efbbbf', '00', '80', 'e2'].map(hex => Buffer.from(hex, 'hex'))

/** A frame as it may come from a socket that checks nothing. */
export function anyFrame (provider: Provider): fc.Arbitrary<WireFrame> {
  const text = anyText(provider)
  const asText = text.map(text => ({ data: Buffer.from(text), binary: false }))
  return fc.oneof(
    { weight: 16, arbitrary: asText },
    { weight: 1, arbitrary: asText.map(({ data }) => ({ data, binary: true })) },
    { weight: 1, arbitrary: text.map(text => ({ data: Buffer.from(text, 'utf16le'), binary: false })) },
    {
      weight: 2,
      arbitrary: fc.tuple(text, fc.nat(400), fc.constantFrom(...BYTES)).map(([text, at, bytes]) => {
        const data = Buffer.from(text)
        return { data: Buffer.concat([data.subarray(0, at), bytes, data.subarray(at)]), binary: false }
      })
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map(bytes => ({ data: Buffer.from(bytes), binary: false })) }
  )
}
