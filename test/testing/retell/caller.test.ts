import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import FakeTimers from '@sinonjs/fake-timers'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, pressDigits, toolCall, toolResult, transferCall, type Agent, type Call, type Turn } from '../../../lib/index.js'
import { DialError, RetellCaller, type RetellCallerOptions } from '../../../lib/testing/index.js'
import { deferred } from '../../helpers/app.js'
import type { Frame } from '../../helpers/caller.js'
import { clockOf } from '../../helpers/clock.js'
import { setEnv } from '../../helpers/env.js'
import { findsOut, findsOutStale, startServer, type Behaviour } from '../../helpers/scripted-server.js'

setEnv(t)

async function listen (t: Test, server: Server): Promise<string> {
  t.teardown(() => { server.close() })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An app with the plugin as it comes, that does not listen. */
async function createApp (t: Test, agent: Agent) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', agent)
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0 })
  return app
}

function saidIn ({ transcript }: Turn): string {
  return transcript.at(-1)?.content ?? ''
}

t.test('a call reads like a conversation', async t => {
  const app = await createApp(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield `Hello, ${turn.call.variables['name']}.`
    yield 'You said '
    yield `${saidIn(turn)}.`
  })
  const call = await RetellCaller.dial(app, { variables: { name: 'Noor' } })
  t.match(call.reply, { id: 0, reason: 'greeting', text: 'Hello, Noor.', outcome: 'completed' })
  const reply = await call.say('Tuesday')
  t.match(reply, { id: 1, reason: 'response', text: 'You said Tuesday.', heard: 'You said Tuesday.', outcome: 'completed', action: undefined })
  t.ok(reply.firstTokenMs! <= reply.firstSentenceMs! && reply.firstSentenceMs! <= reply.durationMs!)
  t.strictSame(call.transcript, [
    { role: 'agent', content: 'Hello, Noor.' }, { role: 'user', content: 'Tuesday' }, { role: 'agent', content: 'You said Tuesday.' }
  ])
  t.strictSame(call.findings, [])
  t.equal(call.end, undefined)
  t.strictSame(await call.hangUp(), { by: 'caller', reason: 'user_hangup' })
  t.throws(() => call.ask('Hello?'), { message: 'the call is over: user_hangup' })
})

t.test('both call types tell of themselves', async t => {
  const calls: Call[] = []
  const app = await createApp(t, turn => { calls.push(turn.call); return 'Hello.' })
  await RetellCaller.dial(app, { callId: 'call_phone', direction: 'outbound', metadata: { crm: 'c-19' } })
  await RetellCaller.dial(app, { callId: 'call_web', callType: 'web_call' })
  t.match(calls, [
    { id: 'call_phone', from: '+14155550101', to: '+14155550199', direction: 'outbound', metadata: { crm: 'c-19' }, details: { call_type: 'phone_call' } },
    { id: 'call_web', from: undefined, direction: undefined, details: { call_type: 'web_call', call_id: 'call_web' } }
  ])
})

t.test('an interruption keeps what was spoken by then', async t => {
  const gate = deferred()
  const app = await createApp(t, async function * (turn) {
    if (saidIn(turn) !== 'slow') return yield 'Yes.'
    yield * ['One ', 'two ', 'three ']
    await gate.promise
    yield 'four.'
  })
  const call = await RetellCaller.dial(app)
  const slow = call.ask('slow')
  await slow.words(3)
  t.equal(slow.isLive, true)
  const reply = await call.interrupt('no', { afterWords: 2 })
  t.match(slow, { text: 'One two three ', heard: 'One two ', outcome: 'interrupted' })
  t.equal(reply.text, 'Yes.')
  t.strictSame(call.transcript.slice(-4), [
    { role: 'user', content: 'slow' }, { role: 'agent', content: 'One two ' }, { role: 'user', content: 'no' }, { role: 'agent', content: 'Yes.' }
  ])
  t.match(await call.interrupt('again'), { text: 'Yes.' }, 'where nothing streams it is an utterance like any other')
  const late = call.ask('slow')
  await late.words(1)
  call.ask('faster')
  t.match(late, { outcome: 'interrupted', heard: late.text })
  t.strictSame(call.findings, [])
  gate.resolve()
  await call.hangUp()
})

t.test('a caller who says nothing is reminded, as often as the agent wants', async t => {
  const app = await createApp(t, async turn => {
    if (turn.reason === 'greeting') await turn.call.updateAgent({ reminder_max_count: 2 })
    return turn.reason
  })
  const call = await RetellCaller.dial(app)
  t.match(await call.silence(), { reason: 'reminder', text: 'reminder' })
  await call.silence()
  t.match(call.agentConfig, { reminder_max_count: 2 })
  t.throws(() => call.remind(), { message: 'the agent wants no more than 2 reminders' })
  await call.say('Hi')
  await call.silence()
})

t.test('an uninterruptible goodbye is heard to its end', async t => {
  const clock = FakeTimers.createClock()
  const app = await createApp(t, async function * (turn) {
    if (turn.reason === 'response') yield endCall({ say: 'Bye then.' })
  })
  const call = await RetellCaller.dial(app, { clock: clockOf(clock), wordsPerMinute: 60 })
  const bye = call.ask('bye')
  await bye.words(2)
  t.throws(() => call.ask('Wait!'), { message: 'the agent cannot be interrupted now' })
  const interrupted = call.interrupt('Wait!', { afterWords: 0 })
  while (bye.isLive) await bye.words(Infinity)
  clock.tick(2_000)
  await t.rejects(interrupted, { message: 'the call is over: agent_hangup' })
  t.match(bye, { heard: 'Bye then.', outcome: 'completed' })
})

t.test('a call that is dropped is dialled again, and what streamed is asked for again', async t => {
  const gate = deferred()
  const held = [deferred(), deferred(), deferred(), deferred()]
  const app = await createApp(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    if (turn.id === 3) return yield 'Yes.'
    const next = held.shift()
    next?.resolve()
    if (next !== undefined) await gate.promise
    yield turn.reason === 'reminder' ? 'Still there?' : `Yes, ${saidIn(turn)}`
  })
  const [first, second, third, fourth] = held.map(({ promise }) => promise)
  const call = await RetellCaller.dial(app)
  const lost = call.ask('please')
  await first
  await call.drop()
  t.equal(lost.outcome, 'lost')
  await second
  t.throws(() => call.remind(), { message: 'the agent is not silent' })
  await call.drop()
  t.match(await call.hear(lost), { id: 3, text: 'Yes.' }, 'who waits hears the one that was asked again')
  call.remind()
  await third
  await call.drop()
  t.match(call.reply, { id: 5, reason: 'reminder' })
  await fourth
  await call.drop()
  t.equal(call.end, undefined)
  await call.drop()
  t.strictSame(await call.ended, { by: 'fault', reason: 'error_llm_websocket_runtime' }, 'four times, and no more')
  t.strictSame(call.findings, [])
  gate.resolve()
})

t.test('tools that are put on record come back in the transcript', async t => {
  const app = await createApp(t, async function * (turn) {
    if (saidIn(turn) !== 'book') return yield JSON.stringify(turn.messages)
    yield toolCall('tc_1', 'book', { at: 9 })
    yield toolResult('tc_1', '{"booked":true}', true)
    yield toolCall('tc_2', 'look', {})
    yield 'Booked.'
  })
  const call = await RetellCaller.dial(app, { callType: 'web_call' })
  await call.say('book')
  t.strictSame(call.tools, [
    { id: 'tc_1', name: 'book', arguments: '{"at":9}', result: '{"booked":true}', successful: true },
    { id: 'tc_2', name: 'look', arguments: '{}' }
  ])
  t.match(await call.say('done?'), { text: /"tool_call_id":"tc_1","content":"{\\"booked\\":true}"/ })
})

t.test('tools stand between the words that were said before and those said after', async t => {
  const app = await createApp(t, async function * (turn) {
    if (saidIn(turn) !== 'book') return yield 'Well?'
    yield toolCall('tc_1', 'find', {})
    yield toolResult('tc_1', '[]')
    yield 'Let me see. '
    yield toolCall('tc_2', 'book', {})
    yield 'Booked.'
  })
  const call = await RetellCaller.dial(app)
  await call.say('book')
  await call.say('thanks')
  const woven = (call.frames.findLast(({ frame }) => (frame as Frame)['interaction_type'] === 'response_required')!.frame as Frame)['transcript_with_tool_calls'] as Frame[]
  t.strictSame(woven.map(({ role, content, tool_call_id: id }) => id ?? `${role}: ${content}`), ['agent: Well?', 'user: book', 'tc_1', 'tc_1', 'agent: Let me see. Booked.', 'tc_2', 'user: thanks'])
})

t.test('what was put on record before the line broke is told to who is dialled again', async t => {
  const app = await createApp(t, async function * (turn) {
    if (turn.reason !== 'response') return
    yield 'Let me see. '
    if (turn.call.state['isBooked']) return yield 'Booked.'
    turn.call.state['isBooked'] = true
    yield toolCall('tc_1', 'book', {})
    await once(turn.signal, 'abort')
  })
  const call = await RetellCaller.dial(app)
  await call.ask('book').words(1)
  while (call.tools.length === 0) await call.settled()
  await call.drop()
  t.match(await call.reply!.over(), { text: 'Let me see. Booked.' })
  const { frame } = call.frames.findLast(({ frame }) => (frame as Frame)['interaction_type'] === 'response_required')!
  t.match((frame as Frame)['transcript_with_tool_calls'], [{ role: 'user' }, { role: 'agent', content: 'Let me see. ' }, { role: 'tool_call_invocation', tool_call_id: 'tc_1' }])
})

t.test('a caller who was not answered yet goes on with what they were saying', async t => {
  const gate = deferred()
  const app = await createApp(t, async turn => {
    if (saidIn(turn) === 'Tuesday') await gate.promise
    return `You said ${saidIn(turn)}.`
  })
  const call = await RetellCaller.dial(app)
  call.ask('Tuesday')
  t.equal((await call.say('or Friday')).text, 'You said Tuesday or Friday.')
  gate.resolve()
})

t.test('actions are carried out once the words are spoken', async t => {
  const app = await createApp(t, async function * (turn) {
    switch (saidIn(turn)) {
      case 'bye': return yield endCall({ say: 'Goodbye!' })
      case 'desk': return yield transferCall('+14155550111', { say: 'One moment.' })
      case 'one': return yield pressDigits('1#')
      default: yield 'Hello.'
    }
  })
  const call = await RetellCaller.dial(app)
  t.match(await call.say('one'), { action: { type: 'press-digits', digits: '1#' } })
  t.equal(call.digits, '1#')
  t.match(await call.say('bye'), { text: 'Goodbye!', action: { type: 'end-call' } })
  t.strictSame(await call.ended, { by: 'agent', reason: 'agent_hangup' })
  const other = await RetellCaller.dial(app)
  await other.say('desk')
  t.strictSame(await other.ended, { by: 'agent', reason: 'call_transfer', destination: '+14155550111' })
  t.strictSame([...call.findings, ...other.findings], [])
})

t.test('what the app says between turns is heard', async t => {
  const app = await createApp(t, turn => turn.reason === 'greeting' ? 'Hello.' : new Promise(() => {}))
  const call = await RetellCaller.dial(app, { callId: 'call_1', callType: 'web_call' })
  const live = call.ask('Anything new?')
  await app.calls.get('call_1')!.sendMetadata({ panel: 'calendar' })
  await app.calls.get('call_1')!.interject('Your payment went through.')
  t.match(await live.over(), { outcome: 'interrupted' })
  t.strictSame(call.transcript.at(-1), { role: 'agent', content: 'Your payment went through.' })
  t.strictSame(call.metadata, [{ panel: 'calendar' }])
  await app.calls.get('call_1')!.end({ say: 'Goodbye.' })
  t.strictSame(await call.ended, { by: 'agent', reason: 'agent_hangup' })
})

t.test('a server that refuses says why, as far as it can be known', async t => {
  const app = await createApp(t, () => 'Hello.')
  app.get('/teapot/:id', async (_request, reply) => reply.code(418).send())
  for (const [options, status, message] of [
    [{ address: '192.0.2.1' }, 403, /RETELL_ALLOWLIST/],
    [{ path: '/nowhere' }, 404, /nothing is at this path/],
    [{ path: '/teapot' }, 418, /^the server refused the call with 418$/]
  ] as const) {
    const error = await RetellCaller.dial(app, options).then(() => undefined, (error: unknown) => error)
    t.type(error, DialError)
    t.match(error, { status, message })
  }
  const { port } = new URL(await listen(t, createServer().on('upgrade', (_request, socket) => {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n')
  })))
  await t.rejects(RetellCaller.dial(`ws://127.0.0.1:${port}`), { message: 'the server cannot be reached: Invalid Sec-WebSocket-Accept header' })
  const error = await RetellCaller.dial('ws://127.0.0.1:1/llm-websocket').then(() => undefined, (error: unknown) => error)
  t.match(error, { status: undefined, message: 'the server cannot be reached: ECONNREFUSED: nothing listens there: is it running, at this port?' })
})

// Servers that get it wrong

const begin = (content = 'Hello.') => ({ response_type: 'response', response_id: 0, content, content_complete: true })
const speech = (id: unknown, content: unknown, complete: unknown = true, more: object = {}) => ({ response_type: 'response', response_id: id, content, content_complete: complete, ...more })

const nothing: Behaviour = () => {}

/** Calls a server that does this with the first request, and answers the second as it should. */
async function callWrong (t: Test, wrong: Behaviour, { opened = (_frame, send) => send(begin()), ...options }: RetellCallerOptions & { opened?: Behaviour } = {}) {
  const url = await startServer(t, opened, (frame, send, socket) => {
    if (frame['interaction_type'] === 'response_required' && frame['response_id'] === 1) wrong(frame, send, socket)
    if (frame['response_id'] > 1) send(speech(frame['response_id'], 'Fine.'))
  })
  return await RetellCaller.dial(`${url.replace('ws', 'http')}/`, { timeoutMs: 5_000, ...options })
}

const wrongs: Parameters<typeof findsOut>[1] = {
  'no JSON': { frames: ['{"half', '[]', speech(1, 'Yes.')], codes: ['not-json', 'not-json'] },
  'no response_type': { frames: [{ response_id: 1, content: 'Yes.', content_complete: true }], codes: ['no-response-type'] },
  'a frame of another platform': { frames: [{ response_type: 'response.create' }, { response_type: 'toString' }, speech(1, 'Yes.')], codes: ['unknown-type', 'unknown-type'] },
  'the wrong types': { frames: [speech('1', 'No.'), speech(1, null), speech(1, 'No.', 'true'), speech(1, 'Yes.')], codes: ['malformed', 'malformed', 'malformed'] },
  'members that are null': { frames: [speech(1, 'Yes.', true, { end_call: null, transfer_number: null, digit_to_press: null })], codes: [] },
  'an id of its own': { frames: [speech(7, 'No.'), speech(1, 'Yes.')], codes: ['unasked-response'] },
  'more behind the end': { frames: [speech(1, 'Yes.'), speech(1, 'And more.')], codes: ['after-completion'] },
  'a second greeting': { frames: [speech(0, 'Hello again.'), speech(0, ''), speech(1, 'Yes.')], codes: ['second-greeting'] },
  'a late config': { frames: [{ response_type: 'config', config: {} }, speech(1, 'Yes.')], codes: ['late-config'] },
  'a keep-alive of its own': { frames: [{ response_type: 'ping_pong', timestamp: 1 }, speech(1, 'Yes.')], codes: ['wrong-timestamp'] },
  'a closing frame of a reply that nobody waits for': { frames: [speech(0, '', true), speech(1, 'Yes.')], codes: [] },
  'an action with each frame': { frames: [speech(1, 'Yes', false, { digit_to_press: '1' }), speech(1, '.', true, { digit_to_press: '1' })], codes: [] },
  'actions that are none': { frames: [speech(1, 'Yes', false, { digit_to_press: '1' }), speech(1, '.', true, { transfer_number: '', digit_to_press: '' })], codes: [] },
  'words that run together': { frames: [speech(1, 'No.', false), speech(1, 'No. ', false), speech(1, 'Yes.')], codes: ['run-together-words'] },
  'metadata on a phone call': { frames: [{ response_type: 'metadata', metadata: {} }, speech(1, 'Yes.')], codes: ['metadata-on-phone-call'] },
  'what nobody can set': { frames: [{ response_type: 'update_agent', agent_config: { responsiveness: 2 } }, { response_type: 'update_agent', agent_config: { responsiveness: 1 } }, speech(1, 'Yes.')], codes: ['malformed'] },
  'tools out of order': {
    frames: [
      { response_type: 'tool_call_result', tool_call_id: 'tc_1', content: '{}' },
      { response_type: 'tool_call_invocation', tool_call_id: 'tc_1', name: 'book', arguments: 'none' },
      { response_type: 'tool_call_invocation', tool_call_id: 'tc_2', name: 'book', arguments: '[]' },
      { response_type: 'tool_call_invocation', tool_call_id: 'tc_1', name: 'book', arguments: '{}' },
      { response_type: 'tool_call_result', tool_call_id: 'tc_1', content: '{}' },
      { response_type: 'tool_call_result', tool_call_id: 'tc_1', content: '{}' },
      speech(1, 'Yes.')
    ],
    codes: ['orphaned-tool-result', 'tool-arguments', 'tool-arguments', 'repeated-tool-call', 'repeated-tool-result']
  }
}

findsOut(t, wrongs, callWrong)
findsOutStale(t, (words, isLast) => speech(1, words, isLast), callWrong)

t.test('an action that came too late, on an empty frame, is warned of', async t => {
  const call = await callWrong(t, (_frame, send) => send(speech(1, 'Goodbye, and thank you. ', false), speech(1, '', true, { transfer_number: '+14155550111' })))
  await call.say('Bye')
  t.match(call.findings, [{ code: 'bare-action' }])
  t.match(await call.ended, { destination: '+14155550111' })
})

t.test('an action is lost where the caller talks over it', async t => {
  const call = await callWrong(t, (_frame, send) => send(speech(1, 'Goodbye, ', false, { end_call: true })))
  const bye = call.ask('Bye')
  await bye.words(1)
  t.same(bye.action, { type: 'end-call' })
  await call.interrupt('wait')
  t.equal(bye.action, undefined)
  t.equal(call.end, undefined)
})

t.test('of several actions the end of the call wins, then the transfer', async t => {
  for (const [frames, reason] of [
    [[speech(1, 'Bye. ', false, { transfer_number: '+1' }), speech(1, 'Bye.', true, { end_call: true })], 'agent_hangup'],
    [[speech(1, 'Bye.', true, { digit_to_press: '1', transfer_number: '+1' })], 'call_transfer']
  ] as const) {
    const call = await callWrong(t, (_frame, send) => send(...frames))
    await call.say('Bye')
    t.match(await call.ended, { reason })
    t.match(call.findings, [{ code: 'several-actions' }])
  }
})

t.test('a reply that goes on behind an interjection is found out, and an interjection that goes on behind its end', async t => {
  const words = (content: string) => ({ response_type: 'agent_interrupt', interrupt_id: 1, content, content_complete: true })
  const call = await callWrong(t, (_frame, send) => send(speech(1, 'One ', false), words('Wait!'), speech(1, 'two.'), words('More.')))
  await call.say('Yes?')
  t.match(call.reply, { id: 1, reason: 'interjection', text: 'Wait!' })
  await call.settled()
  t.strictSame(call.findings.map(({ code }) => code), ['stale-response', 'after-completion'])
  t.strictSame(call.transcript.map(({ content }) => content), ['Hello.', 'Yes?', 'One ', 'Wait!'])
})

t.test('an interjection comes in pieces, and may end the call', async t => {
  const piece = (content: string, complete: boolean, more: object = {}) => ({ response_type: 'agent_interrupt', interrupt_id: 1, content, content_complete: complete, ...more })
  const call = await callWrong(t, (_frame, send) => send(piece('One ', false), piece('moment.', true, { end_call: true })))
  t.match(await call.say('Yes?'), { outcome: 'interrupted' })
  t.strictSame(call.transcript.at(-1), { role: 'agent', content: 'One moment.' })
  t.match(await call.ended, { by: 'agent' })
})

for (const [how, close, reason, codes] of [
  ['a binary frame', (socket: { send (data: Buffer): void }) => socket.send(Buffer.from('{}')), 'error_llm_websocket_corrupt_payload', ['binary-frame']],
  ['a close without a code', (socket: { close (code?: number): void }) => socket.close(), 'error_llm_websocket_open', ['closed']],
  ['a close with another code', (socket: { close (code?: number): void }) => socket.close(1011), 'error_llm_websocket_runtime', ['closed']],
  ['a close in good order', (socket: { close (code?: number): void }) => socket.close(1000), 'agent_hangup', []]
] as const) {
  t.test(`${how} ends the call`, async t => {
    const call = await callWrong(t, (_frame, _send, socket) => close(socket))
    t.match(await call.say('Yes?'), { outcome: 'lost' })
    t.match(await call.ended, { reason })
    t.strictSame(call.findings.map(({ code }) => code), codes)
  })
}

t.test('a server that breaks the connection is dialled again', async t => {
  let broken = 0
  const url = await startServer(t, (_frame, send) => send(begin(broken === 0 ? 'Hello.' : '')), (frame, send, socket) => {
    if (frame['response_id'] === 1) {
      broken++
      return socket.terminate()
    }
    if (frame['response_id'] !== undefined) send(speech(frame['response_id'], 'Yes.'))
  })
  const call = await RetellCaller.dial(url)
  t.match(await call.say('Yes?'), { id: 2, text: 'Yes.', outcome: 'completed' })
  t.match(call.replies[1], { id: 1, outcome: 'lost' })
  t.match(call.findings, [{ code: 'broken-connection' }])
})

t.test('a server that breaks the connection before its greeting is dialled again, and may greet then', async t => {
  let connections = 0
  const url = await startServer(t, (_frame, send, socket) => {
    if (++connections === 1) socket.terminate()
    else send(begin())
  }, nothing)
  const call = await RetellCaller.dial(url)
  t.match(call.reply, { text: 'Hello.', outcome: 'completed' })
  t.match(call.findings, [{ code: 'broken-connection' }])
})

t.test('a server that breaks the connection as soon as it is dialled again is dialled once more', async t => {
  let connections = 0
  const asked: unknown[] = []
  const url = await startServer(t, (_frame, send, socket) => {
    if (++connections === 2) return socket.terminate()
    send({ response_type: 'config', config: {} }, begin(connections === 1 ? 'Hello.' : ''))
  }, (frame, send, socket) => {
    if (frame['interaction_type'] !== 'response_required') return
    asked.push([connections, frame['response_id']])
    if (connections === 1) socket.terminate()
    else send(speech(2, 'Here.'))
  })
  const call = await RetellCaller.dial(url)
  await call.ask('Hi').over()
  t.match(await call.reply!.over(), { id: 2, text: 'Here.' })
  t.strictSame(asked, [[1, 1], [3, 2]])
  t.match(call.findings, [{ code: 'broken-connection' }, { code: 'broken-connection' }])
})

t.test('a server that never completes is given up, and says what had come', async t => {
  const call = await callWrong(t, (_frame, send) => send(speech(1, 'One moment', false)), { timeoutMs: 50 })
  await t.rejects(call.say('Yes?'), { name: 'NoReplyError', message: 'no end after 50 ms; what had come of the reply to 1: "One moment"', reply: { id: 1 } })
})

t.test('a line that is dropped while it is dialled again, or hung up, or spoken on', async t => {
  const answer = (turn: Turn): string => `Yes, ${saidIn(turn)}`
  t.test('is dialled as often as it was dropped', async t => {
    const app = await createApp(t, answer)
    const call = await RetellCaller.dial(app)
    await Promise.all([call.drop(), call.drop()])
    t.match(await call.say('hello'), { text: 'Yes, hello' })
    await call.hangUp()
  })
  for (const [when, meanwhile] of [['', () => new Promise(resolve => setImmediate(resolve))], [' before it was dropped', () => {}]] as const) {
    t.test(`is hung up${when}`, async t => {
      const app = await createApp(t, answer)
      const call = await RetellCaller.dial(app)
      const dropped = call.drop()
      await meanwhile()
      await call.hangUp()
      const { length } = call.frames
      await dropped
      // No connection is left of which the server could think that it goes on.
      await app.close()
      t.match(call.end, { by: 'caller' })
      t.equal(call.frames.length, length)
    })
  }
  t.test('is hung up before anybody was dialled', async t => {
    const app = await createApp(t, answer)
    await app.ready()
    const dialled = deferred()
    const ready = deferred()
    let isFirst = true
    const call = await RetellCaller.dial({
      server: app.server,
      async ready () {
        if (isFirst) return
        dialled.resolve()
        await ready.promise
      }
    })
    isFirst = false
    const dropped = call.drop()
    await dialled.promise
    await call.hangUp()
    ready.resolve()
    await dropped
    await app.close()
    t.match(call.end, { by: 'caller' })
  })
  t.test('is hung up with a second drop to come', async t => {
    const app = await createApp(t, answer)
    const call = await RetellCaller.dial(app)
    const dropped = Promise.all([call.drop(), call.drop()])
    await call.hangUp()
    await dropped
    await app.close()
    t.match(call.end, { by: 'caller' })
  })
  t.test('takes along what was said meanwhile', async t => {
    const app = await createApp(t, answer)
    const call = await RetellCaller.dial(app)
    const settled = call.settled()
    const dropped = call.drop()
    await new Promise(resolve => setImmediate(resolve))
    const reply = call.ask('hello')
    await call.settled()
    await dropped
    await settled
    t.match(await call.hear(reply), { text: 'Yes, hello', outcome: 'completed' })
    await call.hangUp()
  })
})

t.test('a greeting that is lost with its connection begins anew', async t => {
  let connections = 0
  const url = await startServer(t, (_frame, send) => {
    if (++connections === 1) send(speech(0, 'How may ', false))
    else send(begin('How may I help?'))
  }, nothing)
  const call = await RetellCaller.place(url)
  await call.reply!.words(1)
  await call.drop()
  t.match(await call.hear(call.replies[0]!), { text: 'How may I help?', outcome: 'completed' })
  t.match(call.replies[0], { outcome: 'lost', text: 'How may ' })
})

t.test('an interjection that is lost with its connection is nobody\'s answer', async t => {
  const call = await callWrong(t, (_frame, send) => send({ response_type: 'agent_interrupt', interrupt_id: 1, content: 'One ', content_complete: false }))
  call.ask('Yes?')
  while (call.reply!.reason !== 'interjection') await call.settled()
  await call.drop()
  t.match(call.reply, { outcome: 'lost', reason: 'interjection' })
})

t.test('a server that cannot be dialled again has lost the connection', async t => {
  const server = createServer()
  const { WebSocketServer } = await import('ws')
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', socket => { socket.send(JSON.stringify(begin())) })
  const url = (await listen(t, server)).replace('http', 'ws')
  const call = await RetellCaller.dial(url)
  server.close()
  await call.drop()
  t.match(call.end, { by: 'fault', reason: 'error_llm_websocket_lost_connection' })
  t.match(call.findings, [{ code: 'unreachable', message: /cannot be reached: ECONNREFUSED: / }])
})

t.test('nobody waits for a server that does not answer', async t => {
  const server = createServer()
  server.on('upgrade', () => {})
  const url = (await listen(t, server)).replace('http', 'ws')
  await t.rejects(RetellCaller.dial(url, { timeoutMs: 20 }), { name: 'DialError', message: 'the server does not answer within 20 ms' })
})

t.test('a server that cannot be reached at first is dialled as often as that is wanted, 3 s apart', async t => {
  for (const [attempts, most] of [[3, 2], [3, 3], [undefined, 1]] as const) {
    const clock = FakeTimers.createClock()
    const { WebSocketServer } = await import('ws')
    const sockets = new WebSocketServer({ noServer: true })
    let dials = 0
    const server = createServer().on('upgrade', (request, socket, head) => {
      if (++dials <= most) socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n')
      else sockets.handleUpgrade(request, socket, head, client => { client.send(JSON.stringify(begin())) })
    })
    t.teardown(() => { for (const client of sockets.clients) client.terminate() })
    const placed = RetellCaller.place((await listen(t, server)).replace('http', 'ws'), { clock: clockOf(clock), ...(attempts !== undefined && { attempts }) })
    const failed = most === (attempts ?? 1)
    const over = placed.then(() => {}, () => {})
    for (let waits = 1; waits < Math.min(attempts ?? 1, most + 1); waits++) {
      while (clock.countTimers() === 0) await new Promise(resolve => setImmediate(resolve))
      clock.tick(2_999)
      t.equal(dials, waits)
      clock.tick(1)
    }
    await over
    t.equal(dials, failed ? most : most + 1)
    if (failed) await t.rejects(placed, { name: 'DialError', status: 503 })
    else await (await placed).hangUp()
  }
})

t.test('a line that broke is dialled again after as long as that is to take, unless it is hung up meanwhile', async t => {
  const app = await createApp(t, turn => `Yes, ${saidIn(turn)}`)
  for (const hangsUp of [false, true]) {
    const clock = FakeTimers.createClock()
    const call = await RetellCaller.dial(app, { clock: clockOf(clock), redialMs: 90_000 })
    let redials = 0
    call.events.on('redialled', () => { redials++ })
    const dropped = call.drop()
    await new Promise(resolve => setImmediate(resolve))
    const reply = call.ask('hello')
    if (hangsUp) await call.hangUp()
    clock.tick(90_000)
    await dropped
    t.equal(redials, hangsUp ? 0 : 1)
    t.match(await call.hear(reply), { outcome: hangsUp ? 'lost' : 'completed' })
    await call.hangUp()
  }
})

t.test('whoever looks is told when the line breaks, and when it is back', async t => {
  const app = await createApp(t, () => 'Hello.')
  const call = await RetellCaller.dial(app)
  const events: string[] = []
  for (const name of ['disconnected', 'redialled'] as const) call.events.on(name, () => events.push(name))
  await call.drop()
  t.strictSame(events, ['disconnected', 'redialled'])
  await call.hangUp()
  t.strictSame(events, ['disconnected', 'redialled'])
})

t.test('a server that answers no pings is found out', async t => {
  const { WebSocketServer } = await import('ws')
  const server = createServer()
  const sockets = new WebSocketServer({ server, autoPong: false })
  sockets.on('connection', socket => { socket.send(JSON.stringify(begin())) })
  t.teardown(() => { for (const client of sockets.clients) client.terminate() })
  const call = await RetellCaller.dial((await listen(t, server)).replace('http', 'ws'), { timeoutMs: 50 })
  await call.settled()
  t.match(call.findings, [{ code: 'no-pong' }])
  await call.hangUp()
})

t.test('time is the test\'s, where it wants to', async t => {
  t.test('a begin message that does not come leaves the agent mute', async t => {
    const clock = FakeTimers.createClock()
    const url = await startServer(t, nothing, nothing)
    const dialled = RetellCaller.dial(url, { clock: clockOf(clock) })
    while (clock.countTimers() < 2) await new Promise(resolve => setImmediate(resolve))
    clock.tick(10_000)
    await t.rejects(dialled, { name: 'NoReplyError', message: /no end after 10000 ms/ })
  })

  t.test('a keep-alive that is not answered has Retell dial again, twice', async t => {
    const clock = FakeTimers.createClock()
    const pings: Frame[] = []
    const connections: object[] = []
    const url = await startServer(t, (_frame, send, socket) => {
      connections.push(socket)
      send({ response_type: 'config', config: { auto_reconnect: true } }, begin(connections.length === 1 ? 'Hello.' : ''))
    }, frame => { if (frame['interaction_type'] === 'ping_pong') pings.push(frame) })
    const call = await RetellCaller.dial(url, { clock: clockOf(clock) })
    for (const round of [1, 2, 3]) {
      while (connections.length < round || clock.countTimers() === 0) await new Promise(resolve => setImmediate(resolve))
      clock.tick(2_000)
      clock.tick(5_000)
    }
    t.strictSame(await call.ended, { by: 'fault', reason: 'error_llm_websocket_lost_connection' })
    t.strictSame(call.findings.map(({ code }) => code), ['no-keepalive', 'no-keepalive', 'no-keepalive'])
    t.match(pings[0], { timestamp: Number })
  })

  t.test('one that is answered with another timestamp is an answer', async t => {
    const clock = FakeTimers.createClock()
    const url = await startServer(t, (_frame, send) => send({ response_type: 'config', config: { auto_reconnect: true } }, { response_type: 'config', config: { auto_reconnect: true } }, begin()), (frame, send) => {
      if (frame['interaction_type'] === 'ping_pong') send({ response_type: 'ping_pong', timestamp: 1 })
    })
    const call = await RetellCaller.dial(url, { clock: clockOf(clock) })
    for (let i = 0; i < 4; i++) {
      clock.tick(2_000)
      await call.settled()
    }
    t.strictSame(call.findings.map(({ code }) => code), ['late-config', ...Array(4).fill('wrong-timestamp')])
    await call.hangUp()
    t.equal(clock.countTimers(), 0)
  })

  t.test('what is spoken for longer than a reply may take is no late reply', async t => {
    const clock = FakeTimers.createClock()
    const app = await createApp(t, turn => turn.reason === 'greeting' ? '' : 'One two three four five.')
    const call = await RetellCaller.dial(app, { clock: clockOf(clock), timeoutMs: 3_000, wordsPerMinute: 60 })
    const said = call.say('Hi')
    while (call.reply!.isLive) await call.reply!.words(Infinity)
    for (let i = 0; i < 5; i++) {
      await call.settled()
      clock.tick(1_000)
    }
    t.match(await said, { outcome: 'completed', heard: 'One two three four five.' })
  })

  t.test('a plugin answers them', async t => {
    const clock = FakeTimers.createClock()
    const app = await createApp(t, () => 'Hello.')
    const call = await RetellCaller.dial(app, { clock: clockOf(clock) })
    for (let i = 0; i < 5; i++) {
      clock.tick(2_000)
      await call.say('Hi')
    }
    t.strictSame(call.findings, [])
    t.ok(call.frames.filter(({ from, frame }) => from === 'server' && (frame as Frame)['response_type'] === 'ping_pong').length >= 4)
  })
})
