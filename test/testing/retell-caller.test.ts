import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import FakeTimers from '@sinonjs/fake-timers'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, pressDigits, toolCall, toolResult, transferCall, type Agent, type Call, type Turn } from '../../lib/index.js'
import { DialError, RetellCaller, type Clock, type RetellCallerOptions } from '../../lib/testing/index.js'
import { deferred } from '../helpers/app.js'
import type { Frame } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { startServer, type Behaviour } from '../helpers/scripted-server.js'

setEnv(t)

async function listen (t: Test, server: Server): Promise<string> {
  t.teardown(() => { server.close() })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function clockOf (clock: FakeTimers.Clock): Clock {
  return { now: () => clock.now, setTimeout: (act, ms) => clock.setTimeout(act, ms), clearTimeout: timer => { clock.clearTimeout(timer) } }
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

t.test('a caller who says nothing is reminded', async t => {
  const app = await createApp(t, turn => turn.reason)
  const call = await RetellCaller.dial(app)
  t.match(await call.silence(), { reason: 'reminder', text: 'reminder' })
})

t.test('a call that is dropped is dialled again, and what streamed is asked for again', async t => {
  const gate = deferred()
  const held = [deferred(), deferred(), deferred()]
  const app = await createApp(t, async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    const next = held.shift()
    next?.resolve()
    if (next !== undefined) await gate.promise
    yield turn.reason === 'reminder' ? 'Still there?' : `Yes, ${saidIn(turn)}`
  })
  const [first, second, third] = held.map(({ promise }) => promise)
  const call = await RetellCaller.dial(app)
  const lost = call.ask('please')
  await first
  await call.drop()
  t.equal(lost.outcome, 'superseded')
  await second
  await call.drop()
  await third
  call.silence().catch(() => {})
  await call.drop()
  t.match(await call.reply!.over(), { id: 5, reason: 'reminder', text: 'Still there?' })
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
  t.match(error, { status: undefined, message: 'the server cannot be reached: ECONNREFUSED' })
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

const wrongs: Record<string, { frames: Array<object | string>, codes: string[], text?: string }> = {
  'no JSON': { frames: ['{"half', '[]', speech(1, 'Yes.')], codes: ['not-json', 'not-json'] },
  'no response_type': { frames: [{ response_id: 1, content: 'Yes.', content_complete: true }], codes: ['no-response-type'] },
  'a frame of another platform': { frames: [{ response_type: 'response.create' }, { response_type: 'toString' }, speech(1, 'Yes.')], codes: ['unknown-response-type', 'unknown-response-type'] },
  'the wrong types': { frames: [speech('1', 'No.'), speech(1, null), speech(1, 'No.', 'true'), speech(1, 'Yes.')], codes: ['malformed', 'malformed', 'malformed'] },
  'members that are null': { frames: [speech(1, 'Yes.', true, { end_call: null, transfer_number: null, digit_to_press: null })], codes: [] },
  'an id of its own': { frames: [speech(7, 'No.'), speech(1, 'Yes.')], codes: ['unasked-response'] },
  'more behind the end': { frames: [speech(1, 'Yes.'), speech(1, 'And more.')], codes: ['after-completion'] },
  'a second greeting': { frames: [speech(0, 'Hello again.'), speech(0, ''), speech(1, 'Yes.')], codes: ['second-greeting'] },
  'a late config': { frames: [{ response_type: 'config', config: {} }, speech(1, 'Yes.')], codes: ['late-config'] },
  'a keep-alive of its own': { frames: [{ response_type: 'ping_pong', timestamp: 1 }, speech(1, 'Yes.')], codes: ['wrong-timestamp'] },
  'metadata on a phone call': { frames: [{ response_type: 'metadata', metadata: {} }, speech(1, 'Yes.')], codes: ['metadata-on-phone-call'] },
  'what nobody can set': { frames: [{ response_type: 'update_agent', agent_config: { responsiveness: 2 } }, { response_type: 'update_agent', agent_config: { responsiveness: 1 } }, speech(1, 'Yes.')], codes: ['malformed'] },
  'tools out of order': {
    frames: [
      { response_type: 'tool_call_result', tool_call_id: 'tc_1', content: '{}' },
      { response_type: 'tool_call_invocation', tool_call_id: 'tc_1', name: 'book', arguments: 'none' },
      { response_type: 'tool_call_invocation', tool_call_id: 'tc_2', name: 'book', arguments: '[]' },
      { response_type: 'tool_call_invocation', tool_call_id: 'tc_1', name: 'book', arguments: '{}' },
      { response_type: 'tool_call_result', tool_call_id: 'tc_1', content: '{}' },
      speech(1, 'Yes.')
    ],
    codes: ['orphaned-tool-result', 'tool-arguments', 'tool-arguments', 'repeated-tool-call']
  }
}

for (const [name, { frames, codes }] of Object.entries(wrongs)) {
  t.test(`a server that sends ${name} is found out`, async t => {
    const call = await callWrong(t, (_frame, send) => send(...frames))
    t.match(await call.say('Yes?'), { text: 'Yes.', outcome: 'completed' })
    t.match(await call.say('Still there?'), { text: 'Fine.' })
    t.strictSame(call.findings.map(({ code }) => code), codes)
  })
}

t.test('a server that goes on with a reply that was given up is found out, and what crossed is not', async t => {
  const call = await callWrong(t, (_frame, send, socket) => {
    send(speech(1, 'One ', false))
    setImmediate(() => send(speech(1, 'two ', false)))
    // Each request has a ping behind it, which is answered by then.
    let pings = 0
    socket.on('ping', () => { if (++pings === 2) send(speech(1, 'three.')) })
  })
  await call.ask('One?').words(1)
  await call.interrupt('Two?')
  await call.say('Three?')
  t.match(call.findings, [{ code: 'stale-response', frame: { content: 'three.' } }])
})

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
  t.match(await call.say('Yes?'), { outcome: 'superseded' })
  t.match(await call.reply!.over(), { id: 2, text: 'Yes.' })
  t.strictSame(call.findings, [])
})

t.test('a server that breaks the connection before its greeting is dialled again, and may greet then', async t => {
  let connections = 0
  const url = await startServer(t, (_frame, send, socket) => {
    if (++connections === 1) socket.terminate()
    else send(begin())
  }, nothing)
  const call = await RetellCaller.dial(url)
  t.match(call.reply, { text: 'Hello.', outcome: 'completed' })
  t.strictSame(call.findings, [])
})

t.test('a server that never completes is given up, and says what had come', async t => {
  const call = await callWrong(t, (_frame, send) => send(speech(1, 'One moment', false)), { timeoutMs: 50 })
  await t.rejects(call.say('Yes?'), { name: 'NoReplyError', message: 'no end after 50 ms; what had come of the reply to 1: "One moment"', reply: { id: 1 } })
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
