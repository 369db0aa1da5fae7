import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { endCall, transferCall, type Utterance } from '../../../lib/contract/agent.js'
import { millisControlFrames, type MillisControlFrames } from '../../../lib/providers/millis/frames.js'
import { MillisCodec } from '../../../lib/providers/millis/codec.js'
import { FEATURES, lacks, type ActionFrames, type Codec, type ProviderEvent } from '../../../lib/providers/codec.js'
import { millis } from '../../helpers/caller.js'

const open = (control: Partial<MillisControlFrames> = {}) => new MillisCodec({ ...millisControlFrames, ...control })

const decode = (frame: unknown) => open().decode(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)), false)

/** An event with its functions called, to be compared whole. */
function plain (event: ProviderEvent) {
  if (event.type === 'asked') return { ...event, transcript: event.transcript.utterances() }
  return event.type === 'update' ? { ...event, read: event.read() } : event
}

const read = (frame: unknown) => plain(decode(frame))

/** A frame with its members under `data`. */
const wrap = (type: string, data: object) => ({ type, data })

const parse = (frames: readonly string[]) => frames.map(frame => JSON.parse(frame))
const parsed = ({ now, afterPlayback }: ActionFrames) => ({ now: parse(now), afterPlayback: parse(afterPlayback) })

// The events we expect

const asked = (id: number, ...transcript: Utterance[]) => ({ type: 'asked', id, reason: 'response', transcript })
const NO_FACTS = { from: undefined, to: undefined, direction: undefined, metadata: undefined, variables: undefined }

const greet = (id: string | undefined, greeting: number | undefined, details: object, facts: object = {}) => ({
  type: 'started',
  ...(id !== undefined && { id }),
  ...(greeting !== undefined && { greeting }),
  resumed: false,
  facts: { ...NO_FACTS, ...facts, details }
})
const heard = (partial: string, final: boolean) => ({ type: 'update', read: { partial, final } })
const malformed = (why: string) => ({ type: 'ignored', why, malformed: true })

// The frames we expect to send

const said = (id: number, content: string, end: boolean, more: object = {}) =>
  wrap('stream_response', { stream_id: id, content, end_of_stream: end, ...more })

// What Millis sends

t.test('a web call starts', async t => {
  const data = { stream_id: 0, agent_id: 'agt-demo', session_id: 'ses-7f3a', call_sid: null, metadata: { customer: 'c-19' }, voip: null }
  t.strictSame(decode(wrap('start_call', data)), greet('ses-7f3a', 0, data, { metadata: { customer: 'c-19' } }))
})

t.test('5: a phone call starts, from who dialled to who was dialled, and both stay readable as they came', async t => {
  const data = {
    stream_id: 0,
    agent_id: 'agt-demo',
    session_id: 'ses-7f3b',
    call_sid: 'CA0000',
    metadata: {},
    voip: { from: '+15550100001', to: '+15550100002', provider: 'twilio', direction: 'inbound' }
  }
  t.strictSame(decode({ type: 'start_call', data }), {
    type: 'started',
    id: 'ses-7f3b',
    greeting: 0,
    resumed: false,
    facts: { ...NO_FACTS, from: '+15550100001', to: '+15550100002', direction: 'inbound', metadata: {}, details: data }
  })
})

t.test('5: members of voip that are missing, null or wrong are as good as absent', async t => {
  const facts = (voip: unknown) => {
    const event = decode(millis.start(0, 'ses_1', { voip }))
    if (event.type !== 'started') return event
    const { details, ...others } = event.facts
    return others
  }
  t.strictSame(facts({ direction: 'outbound' }), { ...NO_FACTS, direction: 'outbound' })
  t.strictSame(facts({ to: '+15550100002' }), { ...NO_FACTS, to: '+15550100002' })
  for (const voip of [{}, { from: null, to: null, direction: null }, { from: '', to: 7, direction: 'sideways' }, 'voip', 7, ['+1']]) {
    t.strictSame(facts(voip), NO_FACTS)
  }
})

t.test('6: a call is known by its session_id, whatever its call_sid or call_id', async t => {
  for (const data of [{}, { call_sid: null }, { call_sid: 7 }, { call_sid: 'CA0000', call_id: 'x' }]) {
    const event = decode(millis.start(0, 'ses_1', data))
    t.equal(event.type === 'started' && event.id, 'ses_1')
  }
})

for (const [what, metadata, ours] of [
  ['an object', { customer: { id: 19 } }, { customer: { id: 19 } }],
  ['an empty object', {}, {}],
  ['absent', undefined, undefined],
  ['null', null, undefined],
  ['a string', '{"customer":19}', undefined],
  ['an array', ['customer'], undefined]
] as const) {
  t.test(`11: metadata that is ${what} is an object to us or nothing, and stays readable as it came`, async t => {
    const data = { stream_id: 0, session_id: 'ses_1', ...(metadata !== undefined && { metadata }) }
    t.strictSame(decode({ type: 'start_call', data }), greet('ses_1', 0, data, { metadata: ours }))
  })
}

t.test('1: a call starts with nothing but its type', async t => {
  for (const data of [undefined, {}]) {
    const frame = { type: 'start_call', ...(data !== undefined && { data }) }
    t.strictSame(decode(frame), greet(undefined, undefined, data ?? frame))
  }
})

t.test('3: in start_call null is as good as absent', async t => {
  const data = { stream_id: null, agent_id: null, session_id: null, call_sid: null, metadata: null, voip: null }
  t.strictSame(decode({ type: 'start_call', data }), greet(undefined, undefined, data))
})

t.test('a session_id that is empty is none', async t => {
  const data = { stream_id: 1, session_id: '' }
  t.strictSame(decode(wrap('start_call', data)), greet(undefined, 1, data))
})

t.test('a session_id that would swamp the log is none, and stays readable', async t => {
  for (const [length, id] of [[256, 'x'.repeat(256)], [257, undefined]] as const) {
    const data = { stream_id: 1, session_id: 'x'.repeat(length) }
    t.strictSame(decode(wrap('start_call', data)), greet(id, 1, data))
  }
})

t.test('a session_id that was rounded, so that other calls may have it too, is none', async t => {
  for (const [sessionId, id] of [
    ['9007199254740991', '9007199254740991'], ['-9007199254740991', '-9007199254740991'], ['9007199254740993', undefined],
    ['1234567890123456789', undefined], ['1e999', undefined], ['1.5', undefined]
  ] as const) {
    const event = decode(`{"type":"start_call","data":{"stream_id":1,"session_id":${sessionId}}}`)
    t.equal(event.type === 'started' && event.id, id, sessionId)
  }
})

t.test('a call whose stream id is neither number nor string is malformed', async t => {
  t.strictSame(decode(millis.start(true)), malformed('start_call: /stream_id'))
})

t.test('a call is greeted whatever its session_id is', async t => {
  for (const [sessionId, id] of [[77, '77'], [{}, undefined], [true, undefined], [null, undefined]] as const) {
    const data = { stream_id: 1, session_id: sessionId }
    t.strictSame(decode(wrap('start_call', data)), greet(id, 1, data))
  }
})

t.test("details are the provider's object, also when that has data of its own", async t => {
  for (const inner of [{ a: 1 }, 'x', null]) {
    const data = { stream_id: 0, session_id: 'ses_1', data: inner }
    t.strictSame(decode({ type: 'start_call', data }), greet('ses_1', 0, data))
  }
})

t.test('a request is a turn to answer', async t => {
  const transcript = [{ role: 'assistant', content: 'Front desk, good morning.' }, { role: 'user', content: 'Are you open on Sunday?' }]
  t.strictSame(read(wrap('stream_request', { stream_id: 3, transcript })), {
    type: 'asked',
    id: 3,
    reason: 'response',
    transcript: [{ role: 'agent', content: 'Front desk, good morning.' }, { role: 'user', content: 'Are you open on Sunday?' }]
  })
})

t.test('7: a request whose transcript is a string is one turn of the user', async t => {
  t.strictSame(read(wrap('stream_request', { stream_id: 3, transcript: 'are you open' })), asked(3, { role: 'user', content: 'are you open' }))
})

t.test('7: a request whose text stands under any other name is malformed', async t => {
  for (const members of [{ text: 'Hi' }, { content: 'Hi' }, { delta: 'Hi' }, { transcript: null }, { transcript: 7 }, { transcript: {} }]) {
    t.strictSame(decode(wrap('stream_request', { stream_id: 3, ...members })), malformed('stream_request: /transcript'))
  }
})

t.test('8: a request that ends with the agent, or says nothing, is a turn like any other', async t => {
  t.strictSame(read(wrap('stream_request', { stream_id: 3, transcript: [{ role: 'Bot', content: 'Still there?' }] })),
    asked(3, { role: 'agent', content: 'Still there?' }))
  t.strictSame(read(millis.request(4)), asked(4))
})

t.test('12: a request before any start_call is a turn like any other', async t => {
  const codec = open()
  const event = codec.decode(Buffer.from(JSON.stringify(millis.request(3, 'Hi'))), false)
  t.strictSame(plain(event), asked(3, { role: 'user', content: 'Hi' }))
})

t.test('no order of ids is asked for: a request with a lower id, or the same, is a turn too', async t => {
  const codec = open()
  const ids = [3, 3, 1, 'a', 0].map(id => {
    const event = codec.decode(Buffer.from(JSON.stringify(millis.request(id, 'Hi'))), false)
    return event.type === 'asked' && event.id
  })
  t.strictSame(ids, [3, 3, 1, 'a', 0])
})

t.test('a partial transcript is an update', async t => {
  const partial = (transcript: string, final: boolean) => wrap('partial_transcript', { session_id: 'ses-7f3a', transcript, is_final: final })
  t.strictSame(read(partial('are you open on', false)), heard('are you open on', false))
  t.strictSame(read(partial('are you open on Sunday', true)), heard('are you open on Sunday', true))
})

t.test('3: a partial transcript whose is_final is null or absent is not final', async t => {
  t.strictSame(read(wrap('partial_transcript', { transcript: '', is_final: null })), heard('', false))
  t.strictSame(read(wrap('partial_transcript', { transcript: '' })), heard('', false))
})

t.test('7: a partial transcript that is no string is malformed', async t => {
  for (const transcript of [undefined, null, [], [{ role: 'user', content: 'Hi' }], 7]) {
    t.strictSame(decode(wrap('partial_transcript', { transcript })), malformed('partial_transcript: /transcript'))
  }
  t.strictSame(decode(wrap('partial_transcript', { transcript: 'Hi', is_final: 'true' })), malformed('partial_transcript: /is_final'))
})

t.test('the end of playback and an interrupt name their turn', async t => {
  t.strictSame(decode('{"type":"playback_finished","data":{"session_id":"ses-7f3a","stream_id":3}}'), { type: 'played', id: 3 })
  t.strictSame(decode('{"type":"interrupt","stream_id":3}'), { type: 'interrupted', id: 3 })
})

const TRANSCRIPT = [{ role: 'user', content: 'Hi' }]

for (const [type, members, event] of [
  ['stream_request', { stream_id: 3, transcript: TRANSCRIPT }, asked(3, ...TRANSCRIPT)],
  ['partial_transcript', { session_id: 'ses_1', transcript: 'Hi', is_final: true }, heard('Hi', true)],
  ['playback_finished', { session_id: 'ses_1', stream_id: 3 }, { type: 'played', id: 3 }],
  ['interrupt', { stream_id: 3 }, { type: 'interrupted', id: 3 }]
] as const) {
  t.test(`2: ${type} is read under data and from the top`, async t => {
    t.strictSame(read({ type, data: members }), event)
    t.strictSame(read({ type, ...members }), event)
    t.strictSame(read({ ...members, type, data: null }), event)
  })

  t.test(`2: what ${type} has under data comes before what it has at the top`, async t => {
    t.strictSame(read({ type, data: members, stream_id: 9, transcript: [], is_final: null }), event)
    const [[first, value], ...others] = Object.entries(members) as [[string, unknown], ...Array<[string, unknown]>]
    t.strictSame(read({ type, data: Object.fromEntries(others), [first]: value }), event)
  })

  t.test(`1: ${type} minds no member it does not know`, async t => {
    t.strictSame(read({ type, data: { ...members, mood: { calm: true }, type: 'other' }, version: 4 }), event)
  })
}

t.test('2: start_call is read under data and from the top', async t => {
  const members = { stream_id: 3, session_id: 'ses_1', metadata: { a: 1 }, voip: { from: '+1' } }
  const facts = { from: '+1', metadata: { a: 1 } }
  t.strictSame(decode({ type: 'start_call', data: members }), greet('ses_1', 3, members, facts))
  t.strictSame(decode({ type: 'start_call', ...members }), greet('ses_1', 3, { type: 'start_call', ...members }, facts))
  t.strictSame(decode({ type: 'start_call', ...members, stream_id: 9, data: { stream_id: 3 } }), greet('ses_1', 3, { stream_id: 3 }, facts))
})

t.test('4: a frame whose stream_id is missing or of no use is malformed', async t => {
  for (const id of [undefined, null, true, [3], { id: 3 }]) {
    t.strictSame(decode(wrap('stream_request', { stream_id: id, transcript: [] })), malformed('stream_request: /stream_id'))
    t.strictSame(decode({ type: 'interrupt', stream_id: id }), malformed('interrupted: /stream_id'))
    t.strictSame(decode(wrap('playback_finished', { stream_id: id })), malformed('played: /stream_id'))
  }
})

/** Ids as JSON can carry them; there is no negative zero on the way back. */
const anyId = fc.oneof(
  fc.constantFrom(0, '0', '', -1), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }).map(id => id + 0), fc.string({ unit: 'binary' })
)

t.test('4: an id comes back as it came, with its type', async () => fc.assert(fc.property(anyId, id => {
  const codec = open()
  const event = (frame: object) => codec.decode(Buffer.from(JSON.stringify(frame)), false)
  const ids = [millis.start(id), millis.request(id, 'Hi'), millis.interrupt(id), millis.played(id)].map(frame => {
    const decoded = event(frame)
    return decoded.type === 'started' ? decoded.greeting : 'id' in decoded && decoded.id
  })
  assert.deepEqual(ids, [id, id, id, id])

  const { now, afterPlayback } = codec.completion(id, 'Bye.', true, endCall())
  const frames = [codec.speech(id, 'Hi'), ...now, ...afterPlayback, ...codec.control(1, id, transferCall('+1')).now]
  assert.deepEqual(frames.map(frame => JSON.parse(frame).data.stream_id), [id, id, id, id])
})))

t.test('13: an unknown type is ignored', async t => {
  t.strictSame(['end_call', 'call_end', 'ping', 'Start_Call', 'constructor'].map(type => decode({ type, data: { stream_id: 3 } })),
    ['end_call', 'call_end', 'ping', 'Start_Call', 'constructor'].map(type => ({ type: 'ignored', why: `unknown type ${type}`, malformed: false })))
})

t.test('13: what is no JSON object with a type is malformed, and no more than that', async t => {
  t.strictSame(['', '{"type":', '[]', '{}', '{"type":null}', '{"data":{"type":"interrupt","stream_id":3}}'].map(decode),
    ['not JSON', 'not JSON', 'not a JSON object', 'no discriminator', 'no discriminator', 'no discriminator'].map(malformed))
  t.strictSame(open().decode(Buffer.from(JSON.stringify(millis.interrupt(3))), true), malformed('binary frame'))
})

t.test('3: the notation of the documented samples is not what is on the wire', async t => {
  t.strictSame(decode("{'type': 'start_call', 'data': {'stream_id': 0, 'voip': None}}"), malformed('not JSON'))
  t.strictSame(decode('{"type":"partial_transcript","data":{"transcript":"Hi","is_final":False}}'), malformed('not JSON'))
})

// What we send

t.test('nothing is sent before start_call, as no stream has an id', async t => {
  const codec: Codec = open()
  t.strictSame([codec.provider, codec.opening, codec.begin], ['millis', [], undefined])
})

t.test('Millis lacks what its protocol has no word for', async t => {
  const codec: Codec = open()
  t.strictSame(FEATURES.filter(feature => lacks(codec, feature)), ['uninterruptible', 'press-digits', 'show-caller', 'interject', 'metadata', 'update-agent'])
  t.strictSame([codec.interjection, codec.metadata, codec.agentConfig, codec.toolRecord], [undefined, undefined, undefined, undefined])
})

t.test('9: speech always says that the stream goes on', async t => {
  t.strictSame(JSON.parse(open().speech(3, 'Let me ')), said(3, 'Let me ', false))
})

t.test('1: flush and pause are left out where they are not wanted', async t => {
  t.strictSame(JSON.parse(open().speech(3, 'Let me look. ', { flush: true })), said(3, 'Let me look. ', false, { flush: true }))
  t.strictSame(JSON.parse(open().speech(3, 'Yes, from ten to four.', { pauseMs: 400 })), said(3, 'Yes, from ten to four.', false, { pause: 400 }))
  t.strictSame(JSON.parse(open().speech(3, 'Yes.', { flush: false, uninterruptible: true })), said(3, 'Yes.', false))
})

t.test('9: a completion says that the stream ends, and flushes the last words', async t => {
  t.strictSame(parsed(open().completion(3, '', true)), { now: [said(3, '', true)], afterPlayback: [] })
  t.strictSame(parsed(open().completion(3, 'At ten.', false)), { now: [said(3, 'At ten.', true, { flush: true })], afterPlayback: [] })
})

const END = said(3, '', true)
const HANG_UP = wrap('end_call', { stream_id: 3 })
const TRANSFER = wrap('transfer_call', { stream_id: 3, destination: '+15550100009' })

t.test('an action waits until what was said is played', async t => {
  t.strictSame(parsed(open().completion(3, '', true, endCall())), { now: [END], afterPlayback: [HANG_UP] })
  t.strictSame(parsed(open().completion(3, 'Bye.', false, endCall())), { now: [said(3, 'Bye.', true, { flush: true })], afterPlayback: [HANG_UP] })
  t.strictSame(parsed(open().completion(3, '', true, transferCall('+15550100009'))), { now: [END], afterPlayback: [TRANSFER] })
})

t.test('an action of a turn that said nothing waits for nothing', async t => {
  t.strictSame(parsed(open().completion(3, '', false, endCall())), { now: [END, HANG_UP], afterPlayback: [] })
  t.strictSame(parsed(open().completion(3, '', false, transferCall('+15550100009'))), { now: [END, TRANSFER], afterPlayback: [] })
})

t.test('an action from outside a turn says its words on the last stream', async t => {
  t.strictSame(parsed(open().control(1, 3, endCall({ say: 'Bye.' }))), { now: [said(3, 'Bye.', true, { flush: true })], afterPlayback: [HANG_UP] })
  t.strictSame(parsed(open().control(1, 3, transferCall('+15550100009', { say: 'One moment.' }))),
    { now: [said(3, 'One moment.', true, { flush: true })], afterPlayback: [TRANSFER] })
})

t.test('an action from outside a turn without words is one frame', async t => {
  t.strictSame(parsed(open().control(1, 3, endCall())), { now: [HANG_UP], afterPlayback: [] })
  t.strictSame(parsed(open().control(1, 3, transferCall('+15550100009'))), { now: [TRANSFER], afterPlayback: [] })
})

t.test('4: a last stream with id 0 is a stream', async t => {
  t.strictSame(parsed(open().control(1, 0, endCall({ say: 'Bye.' }))),
    { now: [said(0, 'Bye.', true, { flush: true })], afterPlayback: [wrap('end_call', { stream_id: 0 })] })
})

t.test('an action before any turn has no stream to speak on', async t => {
  t.strictSame(parsed(open().control(1, undefined, endCall({ say: 'Bye.' }))), { now: [wrap('end_call', {})], afterPlayback: [] })
  t.strictSame(parsed(open().control(1, undefined, transferCall('+15550100009'))),
    { now: [wrap('transfer_call', { destination: '+15550100009' })], afterPlayback: [] })
})

t.test('10: the frames that nobody could prove are replaced in one place, one by one', async t => {
  const endOnly = open({ endCall: streamId => ({ type: 'hangup', stream: streamId }) })
  t.strictSame(parsed(endOnly.completion(3, '', true, endCall())), { now: [END], afterPlayback: [{ type: 'hangup', stream: 3 }] })
  t.strictSame(parsed(endOnly.control(1, 3, endCall())), { now: [{ type: 'hangup', stream: 3 }], afterPlayback: [] })
  t.strictSame(parsed(endOnly.control(1, 3, transferCall('+15550100009'))), { now: [TRANSFER], afterPlayback: [] })

  const transferOnly = open({ transferCall: (streamId, destination) => ({ type: 'forward', stream: streamId, destination }) })
  t.strictSame(parsed(transferOnly.completion(3, '', false, transferCall('+15550100009'))),
    { now: [END, { type: 'forward', stream: 3, destination: '+15550100009' }], afterPlayback: [] })
  t.strictSame(parsed(transferOnly.control(1, 3, endCall())), { now: [HANG_UP], afterPlayback: [] })
})

t.test('control frames of the app\'s own that are no objects are an error to it, and nothing is sent', async t => {
  const control = { endCall: () => undefined as never, transferCall: () => 'transfer' as never }
  const codec = new MillisCodec(control)
  for (const action of [endCall(), transferCall('+14155550100')] as const) {
    t.throws(() => codec.completion(1, '', false, action), { code: 'VOICE_AGENT_ERR_ACTION', message: /controlFrames/ })
    t.throws(() => codec.control(1, undefined, action), { code: 'VOICE_AGENT_ERR_ACTION' })
  }
})
