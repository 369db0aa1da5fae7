import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocketServer } from 'ws'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, flush, pause, transferCall, type Agent, type Call, type Turn } from '../../../lib/index.js'
import { MillisCaller, type MillisCallerOptions } from '../../../lib/testing/index.js'
import { deferred } from '../../helpers/app.js'
import { setEnv } from '../../helpers/env.js'
import { findsOut, findsOutStale, startServer, type Behaviour } from '../../helpers/scripted-server.js'

setEnv(t)

async function createApp (t: Test, agent: Agent) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', agent)
  await app.register(voiceAgentPlugin, { secret: 'sesame-sesame-sesame', drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' } })
  return app
}

const PATH = '/millis/sesame-sesame-sesame'

function saidIn ({ transcript }: Turn): string {
  return transcript.at(-1)?.content ?? ''
}

t.test('a call reads like a conversation', async t => {
  const calls: Call[] = []
  const app = await createApp(t, async function * (turn) {
    calls.push(turn.call)
    if (turn.reason === 'greeting') return yield 'Hello.'
    yield 'You said '
    yield flush()
    yield pause(300)
    yield `${saidIn(turn)}.`
  })
  const call = await MillisCaller.dial(app, { path: PATH, sessionId: 'ses_1', firstStreamId: 7, metadata: { crm: 'c-19' }, voip: { from: '+14155550101', to: '+14155550199', direction: 'inbound' } })
  t.match(call.reply, { id: 7, reason: 'greeting', text: 'Hello.' })
  t.match(await call.say('Tuesday'), { id: 8, text: 'You said Tuesday.', outcome: 'completed' })
  t.match(calls[0], { id: 'ses_1', from: '+14155550101', to: '+14155550199', direction: 'inbound', metadata: { crm: 'c-19' } })
  t.strictSame(call.transcript.map(({ content }) => content), ['Hello.', 'Tuesday', 'You said Tuesday.'])
  t.strictSame(call.findings, [])
  t.strictSame(await call.hangUp(), { by: 'caller', reason: 'user_hangup' })
})

t.test('an interruption keeps what was spoken by then', async t => {
  const gate = deferred()
  const app = await createApp(t, async function * (turn) {
    if (saidIn(turn) !== 'slow') return yield 'Yes.'
    yield * ['One ', 'two ', 'three ']
    await gate.promise
  })
  const call = await MillisCaller.dial(app, { path: PATH })
  const slow = call.ask('slow')
  const reply = await call.interrupt('no', { afterWords: 2 })
  t.match(slow, { heard: 'One two ', outcome: 'interrupted' })
  t.equal(reply.text, 'Yes.')
  t.strictSame(call.frames.filter(({ frame }) => (frame as { type: string }).type === 'interrupt').map(({ frame }) => frame), [{ type: 'interrupt', stream_id: slow.id }])
  gate.resolve()
})

t.test('a call that is dropped is dialled again as the same session', async t => {
  const app = await createApp(t, turn => `Yes, ${saidIn(turn)}`)
  const call = await MillisCaller.dial(app, { path: PATH })
  await call.drop()
  t.match(await call.say('hello?'), { text: 'Yes, hello?' })
  t.equal(app.calls.size, 1)
  t.strictSame(call.findings, [])
})

t.test('what streamed when it was dropped is asked for again', async t => {
  const gate = deferred()
  const asked = deferred()
  let isHeld = true
  const app = await createApp(t, async function * (turn) {
    if (turn.reason === 'response' && isHeld) {
      isHeld = false
      asked.resolve()
      await gate.promise
    }
    yield 'Yes.'
  })
  const call = await MillisCaller.dial(app, { path: PATH })
  const lost = call.ask('please')
  await asked.promise
  await call.drop()
  t.equal(lost.outcome, 'lost')
  t.match(await call.reply!.over(), { text: 'Yes.' })
  gate.resolve()
})

t.test('actions are carried out once the words were played', async t => {
  const app = await createApp(t, async function * (turn) {
    if (saidIn(turn) === 'bye') return yield endCall({ say: 'Goodbye!' })
    if (saidIn(turn) === 'desk') return yield transferCall('+14155550111', { say: 'One moment.' })
    yield 'Hello.'
  })
  const call = await MillisCaller.dial(app, { path: PATH })
  t.match(await call.say('bye'), { text: 'Goodbye!' })
  t.strictSame(await call.ended, { by: 'agent', reason: 'agent_hangup' })
  const other = await MillisCaller.dial(app, { path: PATH })
  await other.say('desk')
  t.strictSame(await other.ended, { by: 'agent', reason: 'call_transfer', destination: '+14155550111' })
})

t.test('a call that does not introduce itself is answered all the same', async t => {
  const app = await createApp(t, () => 'Hello.')
  const call = await MillisCaller.dial(app, { path: PATH, introduces: false })
  t.equal(call.reply, undefined)
  t.match(await call.say('Hi'), { text: 'Hello.' })
})

// Servers that get it wrong

const speech = (id: unknown, content: unknown, last: unknown = true, more: object = {}) => ({ type: 'stream_response', data: { stream_id: id, content, end_of_stream: last, ...more } })

async function callWrong (t: Test, wrong: Behaviour, { opened = () => {}, ...options }: MillisCallerOptions & { opened?: Behaviour } = {}) {
  const url = await startServer(t, opened, (frame, send, socket) => {
    const id = frame['data']?.stream_id
    if (frame['type'] === 'start_call') send(speech(id, id === 0 ? 'Hello.' : ''))
    if (frame['type'] === 'stream_request' && id === 1) wrong(frame, send, socket)
    if (frame['type'] === 'stream_request' && id !== 1) send(speech(id, 'Fine.'))
  })
  return await MillisCaller.dial(url, { timeoutMs: 5_000, firstStreamId: 0, ...options })
}

const wrongs: Parameters<typeof findsOut>[1] = {
  'no JSON': { frames: ['{"half', '[]', speech(1, 'Yes.')], codes: ['not-json', 'not-json'] },
  'a binary frame': { frames: [Buffer.from('{}'), speech(1, 'Yes.')], codes: ['binary-frame'] },
  'a frame of another platform': { frames: [{ response_type: 'response' }, { type: 'toString' }, speech(1, 'Yes.')], codes: ['unknown-type', 'unknown-type'] },
  'the wrong types': { frames: [speech(null, 'No.'), speech(1, null), speech(1, 'No.', 'true'), speech(1, 'No.', true, { pause: -1 }), speech(1, 'No.', true, { pause: 0 }), speech(1, 'No.', true, { pause: null }), { type: 'stream_response' }, speech(1, 'Yes.')], codes: Array(7).fill('malformed') as string[] },
  'members that are null': { frames: [speech(1, 'Yes.', true, { flush: null })], codes: [] },
  'an id of its own': { frames: [speech(9, 'No.'), speech(1, 'Yes.')], codes: ['unasked-stream'] },
  'the id as another type': { frames: [speech('1', 'No.'), speech(1, 'Yes.')], codes: ['unasked-stream'] },
  'a transfer without its stream': { frames: [{ type: 'transfer_call', data: { destination: '+1' } }, speech(1, 'Yes.')], codes: ['malformed'] },
  'more behind the end': { frames: [speech(1, 'Yes.'), speech(1, 'And more.')], codes: ['after-completion'] }
}

findsOut(t, wrongs, callWrong)
findsOutStale(t, (words, isLast) => speech(1, words, isLast), callWrong)

t.test('a server that ends the call in a stream of its own is found out', async t => {
  const call = await callWrong(t, (_frame, send) => send(speech(1, 'Bye.'), { type: 'end_call', data: { stream_id: 'mine' } }))
  await call.say('Bye')
  t.match(await call.ended, { by: 'agent' })
  t.match(call.findings, [{ code: 'unasked-stream' }])
})

t.test('a line that is dropped takes along what was said meanwhile, and may be hung up', async t => {
  const app = await createApp(t, turn => `Yes, ${saidIn(turn)}`)
  const call = await MillisCaller.dial(app, { path: PATH })
  const dropped = Promise.all([call.drop(), call.drop()])
  await new Promise(resolve => setImmediate(resolve))
  const reply = call.ask('hello')
  await dropped
  t.match(await call.hear(reply), { text: 'Yes, hello', outcome: 'completed' })
  const again = call.drop()
  await new Promise(resolve => setImmediate(resolve))
  await call.hangUp()
  await again
  await app.close()
  t.match(call.end, { by: 'caller' })
})

t.test('a server that speaks before it was introduced is found out', async t => {
  const call = await callWrong(t, () => {}, { opened: (_frame, send) => send(speech(1, 'Hello.')) })
  t.match(call.findings, [{ code: 'before-start' }])
})

t.test('a server that greets again is found out', async t => {
  const url = await startServer(t, () => {}, (frame, send) => send(speech(frame['data'].stream_id, 'Hello.')))
  const call = await MillisCaller.dial(url)
  await call.drop()
  await call.say('Hi')
  t.match(call.findings, [{ code: 'second-greeting' }])
})

t.test('a server that closes the connection leaves the call in the air', async t => {
  for (const [code, by] of [[1000, 'agent'], [1011, 'fault']] as const) {
    const call = await callWrong(t, (_frame, _send, socket) => { socket.close(code) })
    t.match(await call.say('Yes?'), { outcome: 'lost' })
    t.match(await call.ended, { by, reason: `closed with ${code}` })
    t.match(call.findings, [{ code: 'closed' }])
  }
})

t.test('a server that breaks the connection, or closes it with a code, is dialled again as often as that is wanted', async t => {
  let connections = 0
  const url = await startServer(t, () => { connections++ }, (frame, send, socket) => {
    const id = frame['data'].stream_id
    if (frame['type'] === 'start_call') send(speech(id, connections === 1 ? 'Hello.' : ''))
    if (frame['type'] !== 'stream_request') return
    if (connections === 1) socket.terminate()
    else if (connections === 3) send(speech(id, 'Yes.'))
    else socket.close(1001)
  })
  const call = await MillisCaller.dial(url, { redials: 3 })
  const events: string[] = []
  for (const name of ['disconnected', 'redialled'] as const) call.events.on(name, () => events.push(name))
  t.match(await call.say('Yes?'), { text: 'Yes.', outcome: 'completed' })
  connections = 3
  await call.drop()
  t.match(await call.say('And now?'), { outcome: 'lost' })
  t.match(await call.ended, { by: 'fault', reason: 'closed with 1001' })
  t.strictSame(call.findings.map(({ code }) => code), ['broken-connection', 'broken-connection', 'broken-connection', 'closed'])
  t.strictSame(events, [...Array(4).fill(['disconnected', 'redialled']).flat(), 'disconnected'])
})

t.test('a server that closes the connection in good order is not dialled again', async t => {
  const call = await callWrong(t, (_frame, _send, socket) => { socket.close(1000) }, { redials: 3 })
  await call.say('Bye')
  t.match(await call.ended, { by: 'agent', reason: 'closed with 1000' })
})

t.test('a greeting of which nothing was heard may come after the call was dialled again', async t => {
  let connections = 0
  const url = await startServer(t, () => { connections++ }, (frame, send, socket) => {
    const id = frame['data'].stream_id
    if (frame['type'] === 'stream_request') send(speech(id, 'Yes.'))
    else if (connections === 1) socket.terminate()
    else if (frame['type'] === 'start_call') send(speech(id, 'Hello.'))
  })
  const call = await MillisCaller.dial(url, { redials: 1 })
  t.match(call.replies, [{ text: '', outcome: 'lost' }, { reason: 'greeting', text: 'Hello.', outcome: 'completed' }])
  t.match(await call.say('Hi'), { text: 'Yes.' })
  t.match(call.findings, [{ code: 'broken-connection' }])
})

t.test('a greeting that is lost with its connection is not asked for again', async t => {
  let connections = 0
  const url = await startServer(t, () => { connections++ }, (frame, send) => { if (frame['type'] === 'stream_request') send(speech(frame['data'].stream_id, 'Yes.')) })
  const dialled = MillisCaller.dial(url, { timeoutMs: 100 })
  await t.rejects(dialled, { name: 'NoReplyError' })
  t.equal(connections, 1)
})

t.test('a server that cannot be dialled again is a fault', async t => {
  const sockets = new WebSocketServer({ noServer: true })
  sockets.on('connection', socket => { socket.send(JSON.stringify(speech(4, 'Hello.'))) })
  let calls = 0
  const server = createServer().on('upgrade', (request, socket, head) => {
    // Behind start_call.
    if (++calls > 1) socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n')
    else sockets.handleUpgrade(request, socket, head, client => { client.once('message', () => sockets.emit('connection', client)) })
  })
  t.teardown(() => { server.close() })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const call = await MillisCaller.dial(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  await call.drop()
  t.strictSame(call.end, { by: 'fault', reason: 'the connection is lost' })
  t.match(call.findings, [{ code: 'unreachable', message: /refused the call with 503/ }])
  await call.settled()
})
