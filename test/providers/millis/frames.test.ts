import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { endCall, transferCall, type TerminalAction } from '../../../lib/contract/agent.js'
import { millisControlFrames, millisOutbound } from '../../../lib/providers/millis/frames.js'
import { MillisCodec } from '../../../lib/providers/millis/codec.js'

const response = millisOutbound.stream_response

const SAMPLE = { stream_id: 3, content: 'Let me look. ', flush: true, end_of_stream: false }

t.test('a stream_response as Millis wants it is accepted', async t => {
  for (const data of [
    SAMPLE,
    { stream_id: 3, content: 'Yes, from ten to four.', pause: 400, end_of_stream: false },
    { stream_id: 3, content: '', end_of_stream: true },
    { stream_id: 0, content: '', end_of_stream: true },
    { stream_id: 'a', content: '', end_of_stream: true }
  ]) t.ok(response.Check({ type: 'stream_response', data }), JSON.stringify(data))
})

t.test('a stream_response with a wrong member is refused', async t => {
  for (const change of [
    { stream_id: null }, { stream_id: true }, { content: null }, { content: 7 }, { content: ['Hi'] },
    { end_of_stream: 'true' }, { end_of_stream: null }, { end_of_stream: 0 }, { flush: 'true' }, { flush: false }, { flush: null },
    { pause: 0 }, { pause: -1 }, { pause: '400' }, { pause: null }, { pause: NaN }, { mood: 'calm' }
  ]) t.notOk(response.Check({ type: 'stream_response', data: { ...SAMPLE, ...change } }), JSON.stringify(change))
})

t.test('9: a stream_response without end_of_stream, or any other member that it needs, is refused', async t => {
  for (const missing of ['stream_id', 'content', 'end_of_stream']) {
    const data = Object.fromEntries(Object.entries(SAMPLE).filter(([member]) => member !== missing))
    t.notOk(response.Check({ type: 'stream_response', data }), missing)
  }
})

t.test('2: a stream_response without its envelope, or with another one, is refused', async t => {
  for (const frame of [
    { type: 'stream_response', ...SAMPLE },
    { type: 'stream_response', data: SAMPLE, stream_id: 3 },
    { type: 'stream_response', data: null },
    { type: 'response', data: SAMPLE },
    { data: SAMPLE }
  ]) t.notOk(response.Check(frame), JSON.stringify(frame))
})

t.test('10: the control frames are what they most probably are', async t => {
  t.strictSame(millisControlFrames.endCall(3), { type: 'end_call', data: { stream_id: 3 } })
  t.strictSame(millisControlFrames.transferCall('a', '+15550100009'), { type: 'transfer_call', data: { stream_id: 'a', destination: '+15550100009' } })
})

// Whatever is asked of the encoder

const open = () => new MillisCodec(millisControlFrames)
const anyId = fc.oneof(fc.nat(), fc.string())
const anyText = fc.string({ unit: 'binary' })
const anyPause = fc.double({ min: 0, minExcluded: true, max: 60_000, noNaN: true })
const anySpeechOptions = fc.record({ uninterruptible: fc.boolean(), flush: fc.boolean(), pauseMs: anyPause }, { requiredKeys: [] })
const anyAction: fc.Arbitrary<Exclude<TerminalAction, { action: 'press-digits' }>> = fc.oneof(
  anyText.map(say => endCall({ say })),
  fc.record({ destination: anyText.filter(text => text.trim() !== ''), say: anyText }).map(({ destination, say }) => transferCall(destination, { say }))
)

/** Reads a frame of ours as Millis would, and fails where it is not what Millis wants. */
function readResponse (text: string) {
  const frame: unknown = JSON.parse(text)
  assert.ok(response.Check(frame), text)
  return frame.data
}

function control (id: string | number | undefined, action: TerminalAction) {
  return action.action === 'transfer-call' ? millisControlFrames.transferCall(id, action.destination) : millisControlFrames.endCall(id)
}

t.test('all speech is what Millis wants, with every character of it', async () => fc.assert(fc.property(
  anyId, anyText, anySpeechOptions, (id, text, options) => {
    const data = readResponse(open().speech(id, text, options))
    assert.deepEqual([data.stream_id, data.content, data.end_of_stream], [id, text, false])
  })))

t.test('every completion is what Millis wants: all of the text in a frame that ends the stream, then the action', async () => fc.assert(fc.property(
  anyId, anyText, fc.boolean(), fc.option(anyAction, { nil: undefined }), (id, text, spoken, action) => {
    const { now, afterPlayback } = open().completion(id, text, spoken, action)
    const [last, ...others] = now
    const data = readResponse(last!)
    assert.deepEqual([data.stream_id, data.content, data.end_of_stream], [id, text, true])
    assert.deepEqual([...others, ...afterPlayback].map(frame => JSON.parse(frame)), action === undefined ? [] : [control(id, action)])
    if (spoken || text !== '') assert.equal(others.length, 0)
  })))

t.test('every control from outside a turn is what Millis wants', async () => fc.assert(fc.property(anyId, anyAction, (id, action) => {
  const { now, afterPlayback } = open().control(1, id, action)
  const frames = [...now, ...afterPlayback]
  assert.deepEqual(JSON.parse(frames.at(-1)!), control(id, action))
  assert.deepEqual(frames.slice(0, -1).map(frame => readResponse(frame).content), action.say === '' ? [] : [action.say])
})))
