import dns from 'node:dns'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { mock } from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import websocket from '@fastify/websocket'
import { WebSocket, WebSocketServer } from 'ws'
import t from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { upgradingSocket } from '../../lib/http/websocket.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { Caller, dial, dialUrl, millis, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { PING, RawPeer, rawFrame, TEXT, upgradeRequest } from '../helpers/raw-peer.js'
import { upgrade, upgradeAndStay } from '../helpers/upgrade.js'
import { SECRET } from '../helpers/webhooks.js'

const OPEN = { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' } } satisfies VoiceAgentOptions
const MIB = 1024 * 1024

// TLS without a certificate: both sides know the key.
const PSK = { ciphers: 'PSK', maxVersion: 'TLSv1.2' as const }
const KEY = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

setEnv(t)

function wsUrl (address: string): string {
  return address.replace('http', 'ws')
}

// The app's own WebSocket route. It hangs up, because an injected socket never notices that its peer did.
async function ownRoute (scope: FastifyInstance): Promise<void> {
  scope.get('/own', { websocket: true }, socket => {
    socket.on('message', data => socket.send(String(data), () => socket.terminate()))
  })
}

interface Layout {
  readonly name: string
  /** Registers plugin, @fastify/websocket and the app's own route. Resolves with the instance that has `injectWS`. */
  register (app: FastifyInstance): Promise<{ tester: () => FastifyInstance }>
}

const LAYOUTS: Layout[] = [
  {
    name: 'registered on the app before the plugin',
    async register (app) {
      await app.register(websocket)
      await app.register(voiceAgentPlugin, OPEN)
      app.register(ownRoute)
      return { tester: () => app }
    }
  },
  {
    name: 'registered on the app before the plugin, nothing awaited',
    async register (app) {
      app.register(websocket)
      app.register(voiceAgentPlugin, OPEN)
      app.register(ownRoute)
      return { tester: () => app }
    }
  },
  {
    name: 'registered on the app after the plugin',
    async register (app) {
      await app.register(voiceAgentPlugin, OPEN)
      await app.register(websocket)
      app.register(ownRoute)
      return { tester: () => app }
    }
  },
  {
    name: 'registered on the app after the plugin, nothing awaited',
    async register (app) {
      app.register(voiceAgentPlugin, OPEN)
      app.register(websocket)
      app.register(ownRoute)
      return { tester: () => app }
    }
  },
  {
    name: 'registered in a scope before the plugin',
    async register (app) {
      app.register(async scope => {
        await scope.register(websocket)
        await ownRoute(scope)
      })
      app.register(voiceAgentPlugin, OPEN)
      return { tester: () => app }
    }
  },
  {
    name: 'registered in a scope after the plugin',
    async register (app) {
      await app.register(voiceAgentPlugin, OPEN)
      app.register(async scope => {
        await scope.register(websocket)
        await ownRoute(scope)
      })
      return { tester: () => app }
    }
  },
  {
    name: 'registered on the app, the plugin in a scope before it',
    async register (app) {
      app.register(async scope => { await scope.register(voiceAgentPlugin, OPEN) })
      app.register(websocket)
      app.register(ownRoute)
      return { tester: () => app }
    }
  },
  {
    name: 'registered in one scope, the plugin in another',
    async register (app) {
      let tester = app
      app.register(async scope => {
        await scope.register(websocket)
        await ownRoute(scope)
      })
      app.register(async scope => {
        tester = scope
        await scope.register(voiceAgentPlugin, OPEN)
      })
      return { tester: () => tester }
    }
  },
  {
    name: 'registered on the app, the plugin twice in scopes after it',
    async register (app) {
      await app.register(websocket)
      app.register(async scope => { await scope.register(voiceAgentPlugin, OPEN) })
      app.register(async scope => { await scope.register(voiceAgentPlugin, { ...OPEN, prefix: '/second' }) })
      app.register(ownRoute)
      return { tester: () => app }
    }
  },
  {
    name: 'registered on the app after the plugin, which is there twice',
    async register (app) {
      await app.register(voiceAgentPlugin, OPEN)
      app.register(async scope => { await scope.register(voiceAgentPlugin, { ...OPEN, prefix: '/second' }) })
      await app.register(websocket)
      app.register(ownRoute)
      return { tester: () => app }
    }
  }
]

for (const { name, register } of LAYOUTS) {
  t.test(`@fastify/websocket ${name}: both it and the plugin serve, and every upgrade is dispatched once`, async t => {
    const { app } = createApp(t)
    const dispatched: string[] = []
    const greeted: string[] = []
    app.addHook('onRequest', async request => { dispatched.push(request.url) })
    app.decorate('agent', turn => {
      greeted.push(turn.call.id)
      return 'Hello!'
    })
    const { tester } = await register(app)
    const address = await app.listen({ port: 0, host: '127.0.0.1' })

    const callers: Array<[path: string, dialled: (path: string) => Promise<Caller>]> = [
      ['call_1', path => dialUrl(t, wsUrl(address) + path)],
      ['call_2', path => dial(t, tester(), path)]
    ]
    for (const [callId, dialled] of callers) {
      const own = await dialled('/own')
      own.send({ echo: callId })
      t.strictSame(await own.next(), { echo: callId })
      const caller = await dialled(`/llm-websocket/${callId}`)
      caller.send(retell.details())
      t.strictSame((await caller.response(0)).slice(1), [{ response_type: 'response', response_id: 0, content: 'Hello!', content_complete: true }])
    }
    t.strictSame(greeted, ['call_1', 'call_2'])
    t.strictSame(dispatched, ['/own', '/llm-websocket/call_1', '/own', '/llm-websocket/call_2'])
    t.equal((await upgrade(t, `${address}/llm-websocket`)).status, 400)

    const { status } = await upgradeAndStay(t, `${address}/nowhere`)
    t.equal(status, 'HTTP/1.1 404 Not Found')
    await app.close()
  })
}

t.test('an upgrade to nowhere is answered 404, and who asked for it does not keep the app from closing', async t => {
  const { app } = createApp(t)
  app.get('/page', async () => 'page')
  await app.register(voiceAgentPlugin, OPEN)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const [nowhere, page] = [await upgradeAndStay(t, `${address}/nowhere`), await upgradeAndStay(t, `${address}/page`)]
  t.equal(nowhere.status, 'HTTP/1.1 404 Not Found')
  t.equal(page.status, 'HTTP/1.1 200 OK')
  const closed = Promise.all([nowhere, page].map(({ socket }) => once(socket, 'close')))
  await app.close()
  await closed
})

t.test('who was answered without an upgrade, and stays, is hung up on', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { status, socket } = await upgradeAndStay(t, `${address}/nowhere`)
  t.equal(status, 'HTTP/1.1 404 Not Found')
  const caller = await dialUrl(t, `${wsUrl(address)}/millis`)
  const closed = once(socket, 'close')
  mock.timers.tick(10_000)
  await closed
  await caller.settled()
  t.equal(app.calls.size, 1)
})

t.test('what another upgrade listener takes stays with it', async t => {
  const { app } = createApp(t)
  const dispatched: string[] = []
  app.addHook('onRequest', async request => { dispatched.push(request.url) })
  const others = new WebSocketServer({ noServer: true })
  others.on('connection', socket => socket.send('{"from":"other"}'))
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.url === '/other') others.handleUpgrade(request, socket, head, client => others.emit('connection', client))
  })
  await app.register(voiceAgentPlugin, OPEN)
  const address = wsUrl(await app.listen({ port: 0, host: '127.0.0.1' }))
  const other = await dialUrl(t, `${address}/other`)
  t.strictSame(await other.next(), { from: 'other' })
  await other.settled()
  const caller = await dialUrl(t, `${address}/llm-websocket/call_1`)
  t.match(await caller.next(), { response_type: 'config' })
  t.strictSame(dispatched, ['/llm-websocket/call_1'])
  others.clients.forEach(client => client.terminate())
})

t.test('every address the app listens on takes calls', async t => {
  // What `localhost` is differs from machine to machine.
  const lookup = dns.lookup as (...args: any[]) => void
  t.intercept(dns, 'lookup', {
    value: (host: string, options: any, done: (error: null, addresses: object[]) => void) => {
      if (host !== 'localhost' || options.all !== true) return lookup(host, options, done)
      done(null, ['127.0.0.1', '127.0.0.2'].map(address => ({ address, family: 4 })))
    }
  })
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  await app.listen({ port: 0, host: 'localhost' })
  const addresses = app.addresses() as AddressInfo[]
  t.strictSame(addresses.map(({ address }) => address).sort(), ['127.0.0.1', '127.0.0.2'])
  for (const { address, port } of addresses) {
    const caller = await dialUrl(t, `ws://${address}:${port}/llm-websocket/call_${address}`)
    caller.send(retell.details())
    t.match(await caller.response(0), [{}, { content: 'How may I help you?' }])
  }
  t.equal(app.calls.size, 2)
})

t.test('a transcript of 7 MiB is read', async t => {
  const { app } = createApp(t)
  let heard = 0
  await app.register(voiceAgentPlugin, { ...OPEN, onTranscript (_call, { transcript }) { heard = transcript?.[0]?.content.length ?? 0 } })
  const caller = await dialUrl(t, `${wsUrl(await app.listen({ port: 0 }))}/llm-websocket/call_1`)
  caller.send(retell.details(), retell.update('x'.repeat(7 * MIB)))
  await caller.settled()
  t.equal(heard, 7 * MIB)
})

t.test('a frame of more than 8 MiB ends its own call with 1009, and no other', async t => {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  const address = wsUrl(await app.listen({ port: 0 }))
  const [caller, other] = [await dialUrl(t, `${address}/llm-websocket/call_1`), await dialUrl(t, `${address}/millis`)]
  caller.send('x'.repeat(8 * MIB + 1))
  t.match(await caller.closed, { code: 1009 })
  t.match(logs.filter(({ level }) => level >= 40), [{ msg: 'socket failed', err: { code: 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' } }])
  other.send(millis.start(0))
  t.match(await other.stream(0), [{ data: { content: 'How may I help you?' } }])
})

t.test('what a listener takes that listens once stays with it', async t => {
  const { app } = createApp(t)
  const dispatched: string[] = []
  app.addHook('onRequest', async request => { dispatched.push(request.url) })
  await app.register(voiceAgentPlugin, OPEN)
  const address = wsUrl(await app.listen({ port: 0, host: '127.0.0.1' }))
  const others = new WebSocketServer({ noServer: true })
  app.server.prependOnceListener('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    others.handleUpgrade(request, socket, head, client => client.send('{"from":"other"}'))
  })
  const other = await dialUrl(t, `${address}/other`)
  t.strictSame(await other.next(), { from: 'other' })
  await other.settled()
  t.strictSame(dispatched, [])
  other.socket.terminate()
})

t.test('an app may listen for the errors of sockets, too', async t => {
  const { app, logs } = createApp(t)
  const errors: string[] = []
  await app.register(websocket, { options: { maxPayload: 8 * MIB } })
  app.websocketServer.on('connection', socket => socket.on('error', (error: Error & { code: string }) => { errors.push(error.code) }))
  await app.register(voiceAgentPlugin, OPEN)
  const caller = await dialUrl(t, `${wsUrl(await app.listen({ port: 0 }))}/llm-websocket/call_1`)
  caller.send('x'.repeat(8 * MIB + 1))
  t.match(await caller.closed, { code: 1009 })
  t.strictSame(errors, ['WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'])
  t.match(logs.filter(({ level }) => level >= 40), [{ msg: 'socket failed' }])
})

t.test('who was told that there is nothing for it, and does not hang up, does not hold up the app', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, { ...OPEN, millis: { allowlist: '*', webhookSecret: SECRET } })
  const { port, hostname } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.write(`GET /webhooks/millis HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${SECRET}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  await once(socket, 'data')
  const closed = once(socket, 'close')
  await app.close()
  await closed
})

t.test('the request that a call came with is let go of, unless somebody waits for its end', async t => {
  const { app } = createApp(t)
  const responses: ServerResponse[] = []
  const ended: string[] = []
  app.addHook('onRequest', async ({ url }, { raw }) => {
    responses.push(raw)
    if (url.endsWith('watched')) raw.on('close', () => { ended.push(url) })
  })
  await app.register(voiceAgentPlugin, OPEN)
  const address = wsUrl(await app.listen({ port: 0 }))
  const callers = []
  for (const id of ['call_1', 'watched']) callers.push(await dialUrl(t, `${address}/llm-websocket/${id}`))
  t.strictSame(responses.map(({ socket }) => socket !== null), [false, true])
  for (const caller of callers) caller.socket.terminate()
  await once(responses[1]!, 'close')
  t.strictSame(ended, ['/llm-websocket/watched'])
})

t.test('a peer that answers pings stays, one that answers none is dropped', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  const address = wsUrl(await app.listen({ port: 0 }))
  const alive = await dialUrl(t, `${address}/millis`)
  const deaf = new Caller(new WebSocket(`${address}/millis`, { autoPong: false }))
  t.teardown(() => deaf.socket.terminate())
  await once(deaf.socket, 'open')
  for (const [i, caller] of [alive, deaf].entries()) {
    caller.send(millis.start(0, `ses_${i}`))
    await caller.stream(0)
  }
  for (let ms = 5_000; ms < 60_000; ms += 5_000) {
    mock.timers.tick(5_000)
    if (ms % 20_000 === 0) await once(alive.socket, 'ping')
    await alive.settled()
  }
  t.equal(app.calls.size, 2)
  mock.timers.tick(5_000)
  t.match(await deaf.closed, { code: 1006 })
  await alive.settled()
  t.strictSame([...app.calls].map(({ id }) => id), ['ses_0'])
  t.match(logs.filter(({ level }) => level >= 40), [{ msg: 'connection dropped', why: 'the provider answers no pings', callId: 'ses_1' }])
})

t.test('the answer to a handshake and what is sent behind it leave in one piece', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const peer = new RawPeer(t, (app.server.address() as AddressInfo).port)
  peer.write(upgradeRequest('/llm-websocket/call_1'))
  const [first] = await once(peer.socket, 'data') as [Buffer]
  t.match(String(first), /^HTTP\/1\.1 101 [^]*"response_type":"config"/)
})

t.test('a connection that no call could take is dropped, and all others are served', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const calls = app.calls as unknown as { add (): void }
  calls.add = () => { throw new Error('no') }
  const nonsense = Buffer.from([0xff, 0xff])
  for (const ahead of [rawFrame(PING, ''), rawFrame(TEXT, '{}'), nonsense]) {
    const peer = new RawPeer(t, (app.server.address() as AddressInfo).port)
    peer.write(Buffer.concat([Buffer.from(upgradeRequest('/llm-websocket/call_1')), ahead]))
    await peer.closed
  }
  Reflect.deleteProperty(calls, 'add')
  await dialUrl(t, `${wsUrl(address)}/llm-websocket/call_2`)
  t.strictSame(Array.from(app.calls, ({ id }) => id), ['call_2'])
})

t.test('calls are not compressed', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  const caller = await dialUrl(t, `${wsUrl(await app.listen({ port: 0 }))}/llm-websocket/call_1`)
  t.equal(caller.socket.extensions, '')
})

t.test('a small maxPayload of the app is warned of at start, and no other', async t => {
  for (const [maxPayload, warns] of [[1024, true], [8 * MIB, false], [0, false], [undefined, false]] as const) {
    for (const options of maxPayload === undefined ? [undefined, {}] : [{ maxPayload }]) {
      const { app, logs } = createApp(t)
      await app.register(websocket, options === undefined ? {} : { options })
      await app.register(voiceAgentPlugin, OPEN)
      t.strictSame(logs.filter(({ level }) => level >= 40).map(({ maxPayload, advised }) => [maxPayload, advised]), warns ? [[maxPayload, 8 * MIB]] : [])
    }
  }
})

t.test('an app whose @fastify/websocket keeps no list of clients takes calls, and drops them when it closes', async t => {
  const { app } = createApp(t)
  await app.register(websocket, { options: { clientTracking: false } })
  await app.register(voiceAgentPlugin, OPEN)
  const caller = await dialUrl(t, `${wsUrl(await app.listen({ port: 0 }))}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  await app.close()
  t.match(await caller.closed, { code: 1006 })
})

t.test('who would rather speak HTTP/2 is answered in HTTP/1.1, body and all', async t => {
  for (const tls of [false, true]) {
    const { app } = createApp(t, 'trace', tls ? { https: { ...PSK, pskCallback: () => KEY } } as never : {})
    app.post('/plain', async request => ({ got: request.body, upgrade: request.headers.upgrade ?? 'none' }))
    await app.register(voiceAgentPlugin, OPEN)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    const socket = tls ? connectTls({ port, host: '127.0.0.1', ...PSK, pskCallback: () => ({ psk: KEY, identity: 'x' }), checkServerIdentity: () => undefined }) : connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    const body = JSON.stringify({ words: 'x'.repeat(100_000) })
    const request = (connection: string) => `POST /plain HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    // Twice on one connection.
    for (let n = 1; n <= 2; n++) {
      socket.write(request('Upgrade, HTTP2-Settings'))
      let answer = ''
      while (!answer.endsWith('"upgrade":"none"}')) answer += String((await once(socket, 'data'))[0])
      t.match(answer, /^HTTP\/1\.1 200 OK/)
      t.ok(answer.includes(body))
    }
  }
})

t.test('of a request that no router was handed, the socket is its own', async t => {
  const socket = {} as IncomingMessage['socket']
  t.equal(upgradingSocket({ socket } as IncomingMessage), socket)
})
