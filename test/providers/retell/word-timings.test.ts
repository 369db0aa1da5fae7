import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { parseFrame } from '../../../lib/providers/frame.js'
import { RetellCodec, retellBegin } from '../../../lib/providers/retell/codec.js'
import { withoutWordTimings } from '../../../lib/providers/retell/word-timings.js'
import { scaledRuns } from '../../helpers/runs.js'

const timed = (content: string) => ({
  content,
  words: content.split(' ').map((word, at) => ({ word, start: at / 4, end: at / 4 + 0.2 })),
  role: 'user'
})

/** What is left of a frame of which no list of words is looked at. */
function unread (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unread)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, key === 'words' && Array.isArray(member) ? [] : unread(member)]))
}

const parsed = (text: string): unknown => unread(parseFrame(Buffer.from(text), false, withoutWordTimings))

t.test('lists of words are emptied, and nothing else is', async t => {
  const { content, role } = timed('Hi, I need')
  const emptied = JSON.stringify({ interaction_type: 'response_required', transcript: [{ content, words: [], role }, { content, words: [], role }] })
  const frame = { interaction_type: 'response_required', transcript: [timed(content), timed(content)] }
  t.equal(withoutWordTimings(JSON.stringify(frame)), emptied)
  t.equal(withoutWordTimings(emptied), emptied)
  for (const text of [
    '{"words":7,"a":[1]}', '{"words":null}', '{"words":"[1]"}', '{"words":{"a":[1]}}', '{"words":', '{"words": ', '{"words":[1,2', '{"a":"words","b":[1]}',
    JSON.stringify({ content: 'He said "words":[1, 2]', a: ['"words":[1]'] }), '{"a":["words",[1]]}', ''
  ]) t.equal(withoutWordTimings(text), text)
})

t.test('as Python writes them, too', async t => {
  t.equal(withoutWordTimings('{"role": "user", "words": [{"word": "Hi", "start": 0.1}], "content": "Hi"}'), '{"role": "user", "words": [], "content": "Hi"}')
})

t.test('a bracket in a word does not end its list', async t => {
  for (const word of ['[inaudible]', ']', 'a],', ']},{', '\\]"', '],"role":"agent","words":[']) {
    const frame = { interaction_type: 'response_required', response_id: 1, transcript: [timed('Hi'), timed(`${word} please`), timed(`yes ${word}`)] }
    const text = JSON.stringify(frame)
    t.strictSame(parsed(text), unread(frame), word)
    const event = new RetellCodec(retellBegin(0)).decode(Buffer.from(text), false)
    assert.equal(event.type, 'asked')
    t.strictSame(event.transcript.utterances().map(({ content }) => content), frame.transcript.map(({ content }) => content), word)
  }
})

t.test('what is no list of words to a call\'s details, is left in them', async t => {
  const event = new RetellCodec(retellBegin(0)).decode(Buffer.from('{"interaction_type":"call_details","call":{"metadata":{"words":["blue"]}}}'), false)
  assert.equal(event.type, 'started')
  t.strictSame(event.facts.metadata, { words: ['blue'] })
})

const anyText = fc.oneof(fc.string(), fc.array(fc.constantFrom('"words":', '"', '[', ']', '{', '}', ',', ':', '\\', ' ', 'a', '1'), { maxLength: 8 }).map(parts => parts.join('')))
const { value: anyValue } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 5 },
    anyText,
    fc.constantFrom(null, true, 0, -1.5e-7),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(fc.oneof(fc.constantFrom('words', 'word', 'a"words', '\\"words'), anyText), tie('value')), { maxLength: 4 }).map(members => ({ ...Object.fromEntries(members) }))
  )
}))
const anyFrame = fc.record({ transcript: fc.array(fc.record({ words: fc.array(anyValue), content: anyText }), { maxLength: 4 }), words: anyValue, more: anyValue })

t.test('whatever is in a frame, all but the lists of words comes out', async () => fc.assert(fc.property(anyFrame, fc.boolean(), (frame, spaced) => {
  const text = spaced ? JSON.stringify(frame, null, 1).replace(/\n */g, '') : JSON.stringify(frame)
  assert.deepEqual(parsed(text), unread(JSON.parse(text)), text)
}), { numRuns: scaledRuns(5_000) }))

t.test('a frame that is cut off anywhere is none', async () => {
  const text = JSON.stringify({ interaction_type: 'response_required', response_id: 1, transcript: [timed('Hi there'), timed('[x] yes')] })
  for (let length = 0; length < text.length; length++) assert.equal(parseFrame(Buffer.from(text.slice(0, length)), false, withoutWordTimings), 'not JSON')
})
