import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import type { FastifyError } from 'fastify'
import { endCall, pressDigits, toolCall, toolResult, transferCall, type Action, type TerminalAction } from '../../../lib/contract/agent.js'
import { FEATURES, lacks, type ActionFrames, type LeavingAction, type ProviderEvent } from '../../../lib/providers/codec.js'
import { RetellCodec, retellBegin } from '../../../lib/providers/retell/codec.js'
import { retell } from '../../helpers/caller.js'
import { scaledRuns } from '../../helpers/runs.js'

const open = () => new RetellCodec(retellBegin(2_000))

const bytes = (frame: unknown) => Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame))

/** Decodes an object or a JSON text, on a socket of its own unless given one. */
const decode = (frame: unknown, codec = open()) => codec.decode(bytes(frame), false)

/** What an update says, if the frame is one that can be read. */
function readUpdate (event: ProviderEvent) {
  assert.equal(event.type, 'update')
  return event.type === 'update' ? event.read() : undefined
}

/** An event with the transcript as people read it, to be compared whole. */
const plain = (event: ProviderEvent) => event.type === 'asked' ? { ...event, transcript: event.transcript.utterances() } : event

const parse = (frames: readonly string[]) => frames.map(frame => JSON.parse(frame))
const parsed = ({ now, afterPlayback }: ActionFrames) => ({ now: parse(now), afterPlayback: parse(afterPlayback) })

const read = (frame: unknown) => plain(decode(frame))

/** What it throws; `t.throws` would be content with a part of the message. */
function thrown (action: () => unknown) {
  try {
    return action()
  } catch (error) {
    return { code: (error as FastifyError).code, message: (error as Error).message }
  }
}

// The events we expect

const asked = (id: number, reason: string, ...transcript: object[]) => ({ type: 'asked', id, reason, transcript })
const NO_FACTS = { from: undefined, to: undefined, direction: undefined, metadata: undefined, variables: undefined }

const greet = (details: object, facts: object = {}) => ({ type: 'started', resumed: false, facts: { ...NO_FACTS, ...facts, details } })
const malformed = (why: string) => ({ type: 'ignored', why, malformed: true })

// The frames we expect to send

const response = (id: number, content: string, complete: boolean, more: object = {}) =>
  ({ response_type: 'response', response_id: id, content, content_complete: complete, ...more })
const interrupt = (id: number, content: string, more: object = {}) =>
  ({ response_type: 'agent_interrupt', interrupt_id: id, content, content_complete: true, ...more })

// What Retell sends

t.test('A2: a ping is answered with the timestamp it came with', async t => {
  t.strictSame(decode('{"interaction_type":"ping_pong","timestamp":1760000002000}'),
    { type: 'keepalive', reply: '{"response_type":"ping_pong","timestamp":1760000002000}' })
  t.strictSame(decode({ ...retell.ping(0), sequence: 3 }), { type: 'keepalive', reply: '{"response_type":"ping_pong","timestamp":0}' })
})

for (const [what, frame] of [
  ['a ping without a timestamp', { interaction_type: 'ping_pong' }],
  ['a ping whose timestamp is no number', { interaction_type: 'ping_pong', timestamp: 'now' }],
  ['a ping whose timestamp is an object', { interaction_type: 'ping_pong', timestamp: {} }],
  ['a ping whose timestamp says it is text', { interaction_type: 'ping_pong', timestamp: { toString: '' } }],
  ['a ping whose timestamp is null', { interaction_type: 'ping_pong', timestamp: null }],
  ['A14: a ping of the old name, with content,', { interaction_type: 'pingpong', content: 'x' }]
] as const) {
  t.test(`${what} is answered with the time of day`, async t => {
    const before = Date.now()
    const event = decode(frame)
    const after = Date.now()
    assert.equal(event.type, 'keepalive')
    const reply = JSON.parse(event.type === 'keepalive' ? event.reply : '')
    t.ok(reply.timestamp >= before && reply.timestamp <= after)
    t.strictSame(reply, { response_type: 'ping_pong', timestamp: reply.timestamp })
  })
}

t.test('A14: a ping of the old name is answered under the new one', async t => {
  t.strictSame(decode({ interaction_type: 'pingpong', timestamp: 7 }), { type: 'keepalive', reply: '{"response_type":"ping_pong","timestamp":7}' })
})

t.test('a ping whose timestamp is text is answered with its number, since an unanswered ping costs the connection', async t => {
  t.strictSame(decode({ interaction_type: 'ping_pong', timestamp: '7' }), { type: 'keepalive', reply: '{"response_type":"ping_pong","timestamp":7}' })
})

t.test('A3: call details are decoded, though the list of events leaves them out', async t => {
  const call = {
    call_type: 'phone_call',
    call_id: 'call_0a1b2c3d4e5f60718293a4b5c6d',
    agent_id: 'agent_77',
    agent_version: 4,
    call_status: 'registered',
    direction: 'inbound',
    from_number: '+14155550101',
    to_number: '+14155550199',
    metadata: { crm_id: 'c-19' },
    retell_llm_dynamic_variables: { first_name: 'Noor' }
  }
  t.strictSame(decode({ interaction_type: 'call_details', call }), {
    type: 'started',
    resumed: false,
    facts: {
      from: '+14155550101',
      to: '+14155550199',
      direction: 'inbound',
      metadata: { crm_id: 'c-19' },
      variables: { first_name: 'Noor' },
      details: call
    }
  })
})

t.test('A18: call details may be empty', async t => {
  t.strictSame(decode({ interaction_type: 'call_details', call: {} }), greet({}))
})

t.test('A18: members of call details that are null or wrong are as good as absent, and stay readable', async t => {
  for (const call of [
    { from_number: null, to_number: null, direction: null, metadata: null, retell_llm_dynamic_variables: null, call_status: null, start_timestamp: null },
    { from_number: '', to_number: 1, direction: 'sideways', metadata: 'c-19', retell_llm_dynamic_variables: ['a'] },
    { call_status: 7, start_timestamp: 'now' },
    { metadata: ['c-19'], retell_llm_dynamic_variables: { first_name: null, age: 7 } }
  ]) {
    t.strictSame(decode({ interaction_type: 'call_details', call }), greet(call))
  }
})

t.test('an outbound call says so', async t => {
  const call = { direction: 'outbound', retell_llm_dynamic_variables: { name: 'Noor', age: 7 } }
  t.strictSame(decode({ interaction_type: 'call_details', call }), greet(call, { direction: 'outbound', variables: { name: 'Noor' } }))
})

t.test('call details without a call are malformed', async t => {
  for (const call of [undefined, null, 'call_1', ['call_1']]) {
    t.strictSame(decode({ interaction_type: 'call_details', call }), malformed('call_details: /call'))
  }
})

for (const [behaviour, resumed, call] of [
  ['a call that is ongoing for a minute is resumed', true, { call_status: 'ongoing', start_timestamp: Date.now() - 60_000 }],
  ['an ongoing call that does not say since when is resumed', true, { call_status: 'ongoing' }],
  ['an ongoing call whose start is null is resumed', true, { call_status: 'ongoing', start_timestamp: null }],
  ['a call that is ongoing since this moment is new', false, { call_status: 'ongoing', start_timestamp: Date.now() }],
  ['a call whose start lies ahead of our clock is new', false, { call_status: 'ongoing', start_timestamp: Date.now() + 60_000 }],
  ['a registered call is new, however old', false, { call_status: 'registered', start_timestamp: 1 }],
  ['a call without a status is new', false, { start_timestamp: 1 }]
] as const) {
  t.test(`A5: ${behaviour}`, async t => {
    const event = decode(retell.details(call))
    t.equal(event.type === 'started' && event.resumed, resumed)
  })
}

t.test('a request is a turn to answer', async t => {
  const transcript = [{ role: 'agent', content: 'Which day suits you? ' }, { role: 'user', content: 'Tuesday morning, if you can.' }]
  t.strictSame(read({ interaction_type: 'response_required', response_id: 4, transcript }), { type: 'asked', id: 4, reason: 'response', transcript })
})

t.test('a reminder is a turn to remind', async t => {
  const transcript = [{ role: 'agent', content: 'Are you still with me? ' }]
  t.strictSame(read({ interaction_type: 'reminder_required', response_id: 5, transcript }), { type: 'asked', id: 5, reason: 'reminder', transcript })
})

t.test('a request carries the transcript with tool calls for the model', async t => {
  const event = decode({ ...retell.request(1, 'Hi'), transcript_with_tool_calls: [{ role: 'user', content: 'Hi' }, { role: 'dtmf', digit: '4' }] })
  t.strictSame(event.type === 'asked' && event.transcript.entries(),
    [{ kind: 'speech', role: 'user', content: 'Hi' }, { kind: 'note', content: '(pressed 4)' }])
})

for (const kind of ['response', 'reminder'] as const) {
  const request = (members: object) => ({ interaction_type: `${kind}_required`, ...members })

  t.test(`A4: a ${kind} request without an integer response_id is ignored`, async t => {
    const refused = malformed(`${kind}_required: /response_id`)
    t.strictSame(decode(request({ timestamp: 3, transcript: [{ role: 'user', content: 'Hi' }] })), refused)
    for (const id of [null, '4', 4.5, true, [4], {}]) t.strictSame(decode(request({ response_id: id, transcript: [] })), refused)
    t.strictSame(decode(`{"interaction_type":"${kind}_required","response_id":1e999,"transcript":[]}`), refused)
  })

  t.test(`a ${kind} request whose id could not be echoed as it came is malformed`, async t => {
    t.strictSame(read(request({ response_id: Number.MAX_SAFE_INTEGER, transcript: [] })), asked(Number.MAX_SAFE_INTEGER, kind))
    t.strictSame(decode(request({ response_id: Number.MAX_SAFE_INTEGER + 1, transcript: [] })), malformed(`${kind}_required: /response_id`))
  })

  t.test(`A18: a ${kind} request needs nothing but id and transcript, and minds nothing more`, async t => {
    const said = { role: 'user', content: 'Hi' }
    t.strictSame(read(request({ response_id: 1, transcript: [] })), asked(1, kind))
    t.strictSame(read(request({ response_id: 1, transcript: [said], transcript_with_tool_calls: null, timestamp: 3, mood: { calm: true } })),
      asked(1, kind, said))
  })

  t.test(`a ${kind} request without a transcript is malformed`, async t => {
    for (const transcript of [undefined, null, 'Hi', {}]) {
      t.strictSame(decode(request({ response_id: 1, transcript })), malformed(`${kind}_required: /transcript`))
    }
  })
}

t.test('A13: a request is not rejected for the roles or members of its utterances', async t => {
  const transcript = [{ role: 'transfer_target', content: 'Desk here', metadata: { a: 1 } }, { role: 'user', content: 'Hi', words: 'wrong' }]
  t.strictSame(read({ ...retell.request(1), transcript }), asked(1, 'response', ...transcript))
})

t.test('A16: a first request with id 0 is a turn', async t => {
  t.strictSame(read(retell.request(0, 'Hi')), asked(0, 'response', { role: 'user', content: 'Hi' }))
})

t.test('a request that is not newer than the last one is ignored, whatever its kind', async t => {
  const codec = open()
  const stale = { type: 'ignored', why: 'response_id is not newer than the last one', malformed: false }
  const events = [
    retell.request(2), retell.request(2), retell.reminder(2), retell.request(1), retell.request('9'), retell.reminder(3), retell.request(-1)
  ].map(frame => decode(frame, codec)).map(event => event.type === 'asked' ? event.id : event)
  t.strictSame(events, [2, stale, stale, stale, malformed('response_required: /response_id'), 3, stale])
})

t.test('A5: the guard of ids starts anew on every socket', async t => {
  decode(retell.request(7, 'Hi'))
  t.strictSame(read(retell.request(3, 'Hi')), asked(3, 'response', { role: 'user', content: 'Hi' }))
})

t.test('an update tells the transcript and who has the floor', async t => {
  const transcript = [
    {
      role: 'agent',
      content: 'Hello, front desk. ',
      words: [{ word: 'Hello,', start: 0.61, end: 0.94 }, { word: 'front', start: 0.94, end: 1.2 }, { word: 'desk.', start: 1.2, end: 1.55 }]
    },
    {
      role: 'user',
      content: 'Hi, I need',
      words: [{ word: 'Hi,', start: 2.4, end: 2.6 }, { word: 'I', start: 2.6, end: 2.7 }, { word: 'need', start: 2.7, end: 2.9 }]
    }
  ]
  // How long each word took is not read.
  const untimed = transcript.map(entry => ({ ...entry, words: [] }))
  t.strictSame(readUpdate(decode({ interaction_type: 'update_only', turntaking: 'user_turn', transcript })), { transcript: untimed, floor: 'user' })
  t.strictSame(readUpdate(decode({ interaction_type: 'update_only', turntaking: 'agent_turn', transcript })), { transcript: untimed, floor: 'agent' })
})

t.test('A17: user_turn tells of the floor, and cancels nothing', async t => {
  t.equal(decode({ ...retell.update('Right'), turntaking: 'user_turn' }).type, 'update')
})

t.test('A18: an update needs nothing but a transcript, and minds nothing more', async t => {
  const transcript = [{ role: 'user', content: 'Hi' }]
  for (const members of [
    {}, { turntaking: null }, { turntaking: 'nobody' }, { turntaking: 7 },
    { transcript_with_tool_calls: null }, { transcript_with_tool_calls: [] }, { mood: {} }
  ]) {
    t.strictSame(readUpdate(decode({ interaction_type: 'update_only', transcript, ...members })), { transcript })
  }
})

t.test('A18: words may be wrong or huge, as nobody looks at them', async t => {
  for (const words of ['wrong', {}, [null], 'x'.repeat(1 << 20)]) {
    const transcript = [{ role: 'user', content: 'Hi', words }]
    t.strictSame(readUpdate(decode({ interaction_type: 'update_only', transcript }))?.transcript?.map(({ role, content }) => ({ role, content })), [{ role: 'user', content: 'Hi' }])
  }
})

// An update is told from its first or its last bytes, and only read when somebody asks.

const MORE = '"transcript":[{"role":"user","content":"Hi"}]'

for (const [where, text] of [
  ['comes first', `{"interaction_type":"update_only",${MORE}}`],
  ['comes last', `{${MORE},"interaction_type":"update_only"}`],
  ['comes first among blanks', ` \n{ \t"interaction_type" :\r\n"update_only" , ${MORE} } `],
  ['comes last among blanks', ` { ${MORE} ,\n\t"interaction_type" : "update_only"\r\n} \n`],
  ['stands in the middle', `{"a":1,"interaction_type":"update_only",${MORE}}`],
  ['comes first behind many blanks', `${' '.repeat(100)}{"interaction_type":"update_only",${MORE}}`],
  ['comes last before many blanks', `{${MORE},"interaction_type":"update_only"${' '.repeat(100)}}`],
  ['is written with escapes', `{"interaction\\u005ftype":"update\\u005fonly",${MORE}}`]
] as const) {
  t.test(`an update is recognised where its key ${where}`, async t => {
    t.strictSame(readUpdate(decode(text)), { transcript: [{ role: 'user', content: 'Hi' }] })
  })
}

t.test('an update is not parsed before somebody asks what it says', async t => {
  t.equal(decode('{"interaction_type":"update_only", and this is not JSON').type, 'update')
  t.equal(decode('and this is not JSON, "interaction_type":"update_only"}').type, 'update')
})

for (const [what, text] of [
  ['is cut off', `{"interaction_type":"update_only",${MORE}`],
  ['goes on behind its end', `{"interaction_type":"update_only",${MORE}}}`],
  ['has no start', `${MORE},"interaction_type":"update_only"}`],
  ['is an array at its start', '["a","interaction_type":"update_only"}'],
  ['has no transcript', '{"interaction_type":"update_only"}'],
  ['has null for a transcript', '{"interaction_type":"update_only","transcript":null}'],
  ['has text for a transcript', '{"interaction_type":"update_only","transcript":"Hi"}'],
  ['has its key in the middle and text for a transcript', '{"a":1,"interaction_type":"update_only","transcript":"Hi"}']
] as const) {
  t.test(`an update that ${what} cannot be read`, async t => {
    t.equal(readUpdate(decode(text)), undefined)
  })
}

for (const [where, members] of [
  ["in the caller's words", { transcript: [{ role: 'user', content: '{"interaction_type":"update_only",' }] }],
  ["at the end of somebody's words", { note: ',"interaction_type":"update_only"}' }],
  ['in an object inside', { inner: { interaction_type: 'update_only' } }],
  ['under another key', { last_interaction_type: 'update_only' }],
  ['as a key', { update_only: 'interaction_type' }]
] as const) {
  t.test(`a request is not taken for an update when the words stand ${where}`, async t => {
    const request = retell.request(1, 'Hi')
    t.equal(decode({ ...request, ...members }).type, 'asked')
    t.equal(decode({ ...members, ...request, ...members }).type, 'asked')
  })
}

/** JSON in the order it is written in, with as many members of one object as there are. */
type Tree = null | boolean | number | string | Tree[] | { members: Array<[string, Tree]> }

const BLANKS = ['', '', '', ' ', '\n', '\t\r\n  ', ' '.repeat(70)]

/** Writes JSON with blanks, and escapes, wherever JSON takes them. */
function write (tree: Tree, pick: (below: number) => number): string {
  const blank = () => BLANKS[pick(BLANKS.length)]!
  if (typeof tree === 'string') return pick(8) === 0 ? escaped(tree) : JSON.stringify(tree)
  if (Array.isArray(tree)) return `[${blank()}${tree.map(item => blank() + write(item, pick) + blank()).join(',')}]`
  if (typeof tree !== 'object' || tree === null) return JSON.stringify(tree)
  const members = tree.members.map(([key, value]) => blank() + write(key, pick) + blank() + ':' + blank() + write(value, pick) + blank())
  return `{${blank()}${members.join(',')}}`
}

function escaped (text: string): string {
  const units = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i).toString(16).padStart(4, '0'))
  return `"${units.map(unit => `\\u${unit}`).join('')}"`
}

const anyKey = fc.oneof(
  { weight: 4, arbitrary: fc.constant('interaction_type') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('transcript', 'interaction_type ', '"interaction_type"',
      '{"interaction_type', 'last_interaction_type', 'Interaction_type', '__proto__')
  },
  { weight: 1, arbitrary: fc.string() }
)
const anyWords = fc.oneof(
  { weight: 4, arbitrary: fc.constant('update_only') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('response_required', 'update_only ', '"update_only"', '\\', ',', '{',
      '{"interaction_type":"update_only",', ',"interaction_type":"update_only"}', '\\","interaction_type":"update_only"}')
  },
  { weight: 1, arbitrary: fc.string() }
)
const { object: anyObject } = fc.letrec<{ value: Tree, object: { members: Array<[string, Tree]> } }>(tie => ({
  value: fc.oneof({ maxDepth: 3 }, anyWords, fc.constantFrom(null, true, 0, -1.5e-7), tie('object'), fc.array(tie('value'), { maxLength: 3 })),
  object: fc.record({ members: fc.uniqueArray(fc.tuple(anyKey, tie('value')), { selector: ([key]) => key, maxLength: 4 }) })
}))

t.test('whatever object comes, it is an update if and only if its own key says so', async () => fc.assert(fc.property(
  anyObject, fc.infiniteStream(fc.nat()), (tree, numbers) => {
    const text = write(tree, below => numbers.next().value! % below)
    const isUpdate = JSON.parse(text).interaction_type === 'update_only'
    assert.equal(decode(text).type === 'update', isUpdate, text)
  }), { numRuns: scaledRuns(5_000) }))

t.test('an update that is cut off anywhere is no update, or cannot be read', async () => {
  const text = JSON.stringify({ ...retell.update('Yes?', 'Hi'), turntaking: 'user_turn' })
  for (let length = 0; length < text.length; length++) {
    const event = decode(text.slice(0, length))
    if (event.type === 'update') assert.equal(event.read(), undefined)
    else assert.deepEqual(event, malformed('not JSON'))
  }
})

t.test('A8: a binary frame is malformed, also when an update is in it', async t => {
  for (const frame of [retell.update('Hi'), retell.ping(), retell.request(1, 'Hi')]) {
    t.strictSame(open().decode(bytes(frame), true), malformed('binary frame'))
  }
})

t.test('A15: an interaction type that is none of the five is ignored', async t => {
  t.strictSame(decode({ interaction_type: 'ping', timestamp: 1 }), { type: 'ignored', why: 'unknown type ping', malformed: false })
  t.strictSame(decode({ interaction_type: 'agent_interrupt', response_id: 1 }), { type: 'ignored', why: 'unknown type agent_interrupt', malformed: false })
  t.strictSame(decode({ interaction_type: 'call ended by Noor' }), { type: 'ignored', why: 'unknown type', malformed: false })
})

t.test('a frame without an interaction type is malformed', async t => {
  for (const frame of [{}, { response_type: 'response' }, { interaction_type: null }, { interaction_type: ['update_only'] }]) {
    t.strictSame(decode(frame), malformed('no discriminator'))
  }
})

t.test('what is no JSON object is malformed', async t => {
  t.strictSame(['', '{'].map(text => decode(text)), ['not JSON', 'not JSON'].map(malformed))
  for (const text of ['[]', 'null', '"update_only"']) t.strictSame(decode(text), malformed('not a JSON object'))
})

// What we send

const DESK = '+15550100009'

t.test('A5: every socket is opened with the config, and the begin message waits for the call details', async t => {
  const codec = open()
  t.strictSame(parse(codec.opening),
    [{ response_type: 'config', config: { auto_reconnect: true, call_details: true, transcript_with_tool_calls: true } }])
  t.strictSame(open().opening, codec.opening)
  t.strictSame(codec.begin, { id: 0, waitMs: 2_000 })
})

t.test('A2: no ping is sent unasked', async t => {
  t.notMatch(open().opening.join(), 'ping_pong')
})

t.test('Retell lacks nothing but the flush', async t => {
  const codec = open()
  t.strictSame([codec.provider, FEATURES.filter(feature => lacks(codec, feature))], ['retell', ['flush']])
})

t.test('speech is an open response', async t => {
  t.strictSame(JSON.parse(open().speech(4, 'Tuesday at nine is free. ')),
    { response_type: 'response', response_id: 4, content: 'Tuesday at nine is free. ', content_complete: false })
})

t.test('the begin message has id 0, and may be silence', async t => {
  t.strictSame(parsed(open().completion(0, '', false)), { now: [response(0, '', true)], afterPlayback: [] })
})

t.test('speech may be shielded from the caller', async t => {
  t.strictSame(JSON.parse(open().speech(4, 'Listen. ', { uninterruptible: true })), response(4, 'Listen. ', false, { no_interruption_allowed: true }))
  t.strictSame(JSON.parse(open().speech(4, 'Listen. ', { uninterruptible: false })), response(4, 'Listen. ', false))
})

t.test('a flush changes nothing', async t => {
  t.equal(open().speech(4, 'Hi', { flush: true }), open().speech(4, 'Hi'))
})

t.test('a pause is a dash a second, with spaces around each', async t => {
  const contents = [0.5, 1_000, 1_001, 3_000].map(pauseMs => JSON.parse(open().speech(4, 'Hm.', { pauseMs })).content)
  t.strictSame(contents, ['Hm. - ', 'Hm. - ', 'Hm. - - ', 'Hm. - - - '])
})

t.test('a completion is one frame with the last words, whether or not there were others', async t => {
  t.strictSame(parsed(open().completion(4, 'Bye.', true)), { now: [response(4, 'Bye.', true)], afterPlayback: [] })
  t.strictSame(parsed(open().completion(4, 'Bye.', false)), { now: [response(4, 'Bye.', true)], afterPlayback: [] })
})

t.test('goodbye, hang-up and completion are one frame, shielded from the caller', async t => {
  t.strictSame(parsed(open().completion(9, 'Thanks for calling, goodbye!', false, endCall())), {
    now: [response(9, 'Thanks for calling, goodbye!', true, { end_call: true, no_interruption_allowed: true })],
    afterPlayback: []
  })
})

t.test('a hang-up without a word is one frame', async t => {
  t.strictSame(parsed(open().completion(9, '', true, endCall())), { now: [response(9, '', true, { end_call: true })], afterPlayback: [] })
})

t.test('last words, transfer and completion are one frame', async t => {
  t.strictSame(parsed(open().completion(9, 'One moment.', true, transferCall(DESK))),
    { now: [response(9, 'One moment.', true, { transfer_number: DESK, no_interruption_allowed: true })], afterPlayback: [] })
})

t.test("a transfer may show the caller's number", async t => {
  t.strictSame(parsed(open().completion(9, '', false, transferCall(DESK, { showCaller: true }))),
    { now: [response(9, '', true, { transfer_number: DESK, show_transferee_as_caller: true })], afterPlayback: [] })
})

t.test('digits are pressed by a frame without content, behind the one that has it', async t => {
  const digits = response(9, '', true, { digit_to_press: '12#' })
  t.strictSame(parsed(open().completion(9, '', true, pressDigits('12#') as TerminalAction)), { now: [digits], afterPlayback: [] })
  t.strictSame(parsed(open().completion(9, 'Dialling.', false, pressDigits('12#') as TerminalAction)),
    { now: [response(9, 'Dialling.', false), digits], afterPlayback: [] })
})

type ToolAction = Extract<Action, { action: 'tool-call' | 'tool-result' }>

t.test('tool calls and their results are recorded', async t => {
  const record = (action: Action) => JSON.parse(open().toolRecord(action as ToolAction))
  t.strictSame(record(toolCall('tc_7f3', 'find_slot', { day: 'tue' })),
    { response_type: 'tool_call_invocation', tool_call_id: 'tc_7f3', name: 'find_slot', arguments: '{"day":"tue"}' })
  const result = { response_type: 'tool_call_result', tool_call_id: 'tc_7f3', content: '{"slots":["09:00"]}' }
  t.strictSame(record(toolResult('tc_7f3', result.content, true)), { ...result, successful: true })
  t.strictSame(record(toolResult('tc_7f3', result.content, false)), { ...result, successful: false })
  t.strictSame(record(toolResult('tc_7f3', result.content)), result)
})

t.test('A15: an interjection has an interrupt_id of ours, and no response_id', async t => {
  const content = 'One moment, your payment just went through.'
  t.strictSame(JSON.parse(open().interjection(1, content, true)),
    { response_type: 'agent_interrupt', interrupt_id: 1, content, content_complete: true, no_interruption_allowed: true })
  t.strictSame(JSON.parse(open().interjection(2, content, false)), { response_type: 'agent_interrupt', interrupt_id: 2, content, content_complete: true })
})

t.test('an action from outside a turn is an interjection, shielded from the caller', async t => {
  const control = (action: LeavingAction, last?: number) => parsed(open().control(3, last, action))
  const sent = (content: string, more: object) => ({ now: [interrupt(3, content, { no_interruption_allowed: true, ...more })], afterPlayback: [] })
  t.strictSame(control(endCall({ say: 'Bye.' }), 7), sent('Bye.', { end_call: true }))
  t.strictSame(control(endCall()), sent('', { end_call: true }))
  t.strictSame(control(transferCall(DESK, { say: 'One moment.' }), 7), sent('One moment.', { transfer_number: DESK }))
})

t.test("a transfer from outside a turn cannot show the caller's number", async t => {
  t.strictSame(thrown(() => open().control(1, 7, transferCall(DESK, { showCaller: true }))),
    { code: 'VOICE_AGENT_ERR_UNSUPPORTED', message: 'showCaller outside a turn is not supported by retell' })
})

t.test('metadata is any JSON object', async t => {
  t.strictSame(JSON.parse(open().metadata({ panel: 'calendar', day: 'tue' })), { response_type: 'metadata', metadata: { panel: 'calendar', day: 'tue' } })
  t.strictSame(JSON.parse(open().metadata({})), { response_type: 'metadata', metadata: {} })
  t.strictSame(JSON.parse(open().metadata({ toJSON: () => ({ a: 1 }) })), { response_type: 'metadata', metadata: { a: 1 } })
})

t.test('metadata that is no JSON object is an error of its author', async t => {
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const throwing = { toJSON () { throw new Error('secret') } }
  const refused = (message: string) => ({ code: 'VOICE_AGENT_ERR_ACTION', message: `sendMetadata: metadata ${message}` })
  for (const metadata of [null, undefined, 'secret', 7, ['secret'], () => {}, new Date(), { toJSON: () => 'secret' }, { toJSON: () => undefined }]) {
    t.strictSame(thrown(() => open().metadata(metadata as never)), refused('must be a JSON object'))
  }
  for (const metadata of [circular, { a: 1n }, throwing]) {
    t.strictSame(thrown(() => open().metadata(metadata)), refused('cannot be written as JSON'))
  }
})

t.test('A3: the agent can be changed in mid-call, though the list of events leaves it out', async t => {
  for (const config of [
    { reminder_trigger_ms: 4000, reminder_max_count: 1 },
    { responsiveness: 0, interruption_sensitivity: 1, reminder_trigger_ms: 0.5, reminder_max_count: 0 },
    {}
  ]) t.strictSame(JSON.parse(open().agentConfig(config)), { response_type: 'update_agent', agent_config: config })
})

for (const [config, message] of [
  [{ responsiveness: 1.25 }, 'responsiveness: Expected number to be less or equal to 1'],
  [{ responsiveness: -0.5 }, 'responsiveness: Expected number to be greater or equal to 0'],
  [{ responsiveness: 1, interruption_sensitivity: 7 }, 'interruption_sensitivity: Expected number to be less or equal to 1'],
  [{ interruption_sensitivity: '0.5' }, 'interruption_sensitivity: Expected number'],
  [{ interruption_sensitivity: NaN }, 'interruption_sensitivity: Expected number'],
  [{ reminder_trigger_ms: 0 }, 'reminder_trigger_ms: Expected number to be greater than 0'],
  [{ reminder_trigger_ms: Infinity }, 'reminder_trigger_ms: Expected number'],
  [{ reminder_max_count: 1.5 }, 'reminder_max_count: Expected integer'],
  [{ reminder_max_count: -1 }, 'reminder_max_count: Expected integer to be greater or equal to 0'],
  [{ reminder_max_count: null }, 'reminder_max_count: Expected integer'],
  [{ voice_id: 'noor' }, 'voice_id: Unexpected property'],
  [null, 'config: Expected object']
] as const) {
  t.test(`a wrong change of the agent is refused without its value: ${message}`, async t => {
    t.strictSame(thrown(() => open().agentConfig(config as never)), { code: 'VOICE_AGENT_ERR_ACTION', message: `updateAgent: ${message}` })
  })
}

t.test('a change of the agent that is no object is refused', async t => {
  for (const config of [undefined, 'fast', []]) {
    t.strictSame(thrown(() => open().agentConfig(config as never)), { code: 'VOICE_AGENT_ERR_ACTION', message: 'updateAgent: config: Expected object' })
  }
})

t.test('an id comes back as it came', async () => fc.assert(fc.property(fc.oneof(fc.nat(), fc.maxSafeNat()), id => {
  const codec = open()
  assert.deepEqual(plain(decode(retell.request(id), codec)), asked(id, 'response'))
  const frames = [codec.speech(id, 'Hi'), ...codec.completion(id, '', true).now, ...codec.completion(id, '', true, endCall()).now]
  assert.deepEqual(frames.map(frame => JSON.parse(frame).response_id), [id, id, id])
})))
