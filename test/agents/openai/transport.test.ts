import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import net, { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { mock } from 'node:test'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import * as undici from 'undici'
import { openTransport } from '../../../lib/agents/openai/transport.js'
import { atLoopEnd } from '../../../lib/timing/loop-end.js'
import { CUT, hold, RESET, startScriptedModel, STALL } from '../../../lib/testing/scripted-model.js'
import { runNode } from '../../helpers/process.js'

const QUESTION = { path: '/v1/chat/completions', headers: { 'content-type': 'application/json', authorization: 'Bearer key' }, body: '{"messages":[]}' }

/** The client's ends of the connections that are opened while the test runs, in order. */
function clientSockets (t: Test): () => Socket[] {
  const connecting = mock.method(net, 'connect')
  t.teardown(() => { connecting.mock.restore() })
  return () => connecting.mock.calls.map(({ result }) => result as Socket)
}

async function setup (t: Test) {
  const sockets = clientSockets(t)
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const transport = openTransport(undici, server.origin)
  t.teardown(() => transport.close())
  return {
    server,
    transport,
    sockets,
    ask: (signal?: AbortSignal) => transport.post({ ...QUESTION, ...(signal && { signal }) }),
    /** Resolves once as many connections were asked for, and all are open on both ends, the spare one too. */
    connected: async (count: number): Promise<void> => {
      while (server.connections < count) await once(server.events, 'connected')
      for (const socket of sockets()) if (socket.connecting) await once(socket, 'connect')
    },
    /** Opens the spare connection, and waits until it is. */
    warm: async (): Promise<Socket> => {
      transport.warm()
      const socket = sockets().at(-1)!
      if (socket.connecting) await once(socket, 'connect')
      return socket
    }
  }
}

/** A transport to a server of one's own. */
async function connectTo (t: Test, server: Server) {
  const peers: Socket[] = []
  server.on('connection', (socket: Socket) => {
    peers.push(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const transport = openTransport(undici, origin)
  t.teardown(async () => {
    await transport.close()
    server.close()
    for (const peer of peers) peer.destroy()
  })
  return { transport, origin, peers }
}

function serve (t: Test, listener: RequestListener) {
  return connectTo(t, createHttpServer(listener))
}

/** Told what undici sends, as it does, while the test runs. */
function onSent (t: Test, sent: () => void): void {
  subscribe('undici:client:sendHeaders', sent)
  t.teardown(() => { unsubscribe('undici:client:sendHeaders', sent) })
}

async function failure (promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => undefined, (error: unknown) => error)
}

// A request and its answer

t.test('over a connection that was used before it is sent ahead of the later words of others', async t => {
  const { ask } = await setup(t)
  await (await ask()).body.text()
  const order: string[] = []
  onSent(t, () => { order.push('request') })
  atLoopEnd({ flush: () => { order.push('words') } })
  const answer = ask()
  t.strictSame(order, [])
  await (await answer).body.text()
  t.strictSame(order, ['request', 'words'])
})

t.test('a request is sent as it is, and its answer has status, headers and body', async t => {
  const seen: unknown[] = []
  const { transport, origin } = await serve(t, (request, response) => {
    let body = ''
    request.on('data', part => { body += String(part) }).on('end', () => {
      const { method, url, headers } = request
      seen.push([method, url, headers.authorization, headers['content-type'], headers.host, body])
      response.writeHead(200, { 'x-request-id': 'r1' }).end('Grüß dich')
    })
  })
  const path = '/v1/chat/completions?api-version=1&b=%20'
  const { head, body } = await transport.post({ ...QUESTION, path, body: '{"a":"ü"}' })
  t.strictSame(seen, [['POST', path, 'Bearer key', 'application/json', new URL(origin).host, '{"a":"ü"}']])
  t.equal(head.status, 200)
  t.equal(head.headers.get('X-Request-Id'), 'r1')
  t.match(Object.fromEntries(head.headers.entries()), { 'x-request-id': 'r1', 'transfer-encoding': 'chunked' })
  t.equal(await body.text(), 'Grüß dich')
})

t.test('every status is an answer, and no redirect is followed', async t => {
  const { transport } = await serve(t, (request, response) => {
    response.writeHead(Number(request.url?.slice(1)), { location: '/200' }).end()
  })
  for (const status of [200, 204, 299, 300, 307, 400, 404, 429, 500]) {
    const { head, body } = await transport.post({ ...QUESTION, path: `/${status}` })
    t.equal(head.status, status)
    await body.text()
  }
})

t.test('the body of a refusal is read whole, in whatever pieces it comes', async t => {
  const gate = hold()
  const text = 'Zu viele Anfragen 👋 '.repeat(50_000)
  const { transport } = await serve(t, async (_request, response) => {
    const bytes = Buffer.from(text)
    response.writeHead(429, { 'retry-after': '2' })
    response.write(bytes.subarray(0, 19)) // inside a character
    await gate
    response.end(bytes.subarray(19))
  })
  const { head, body } = await transport.post(QUESTION)
  t.equal(head.status, 429)
  const read = body.text()
  gate.release()
  t.equal(await read, text)
})

t.test('the body of a stream is read as it comes', async t => {
  const gate = hold()
  const { transport } = await serve(t, async (_request, response) => {
    response.write('One')
    await gate
    response.end('two')
  })
  const { body } = await transport.post(QUESTION)
  t.equal(String((await body.next()).value), 'One')
  gate.release()
  t.equal(String((await body.next()).value), 'two')
  t.strictSame(await body.next(), { done: true, value: undefined })
})

t.test('what cannot be sent is an error', async t => {
  const { transport } = await serve(t, (_request, response) => { response.end() })
  t.match(await failure(transport.post({ ...QUESTION, path: 'no path' })), { code: 'UND_ERR_INVALID_ARG' })
  t.match(await failure(transport.post({ ...QUESTION, headers: { 'bad name': 'x' } })), { code: 'UND_ERR_INVALID_ARG' })
})

// Abort

t.test('what was aborted before is not sent, and rejects with the reason', async t => {
  const { sockets, ask } = await setup(t)
  for (const reason of [new Error('superseded'), 'superseded', null]) t.equal(await failure(ask(AbortSignal.abort(reason)).then(() => { throw new Error('no failure') })), reason)
  t.match(await failure(ask(AbortSignal.abort())), { name: 'AbortError' })
  t.equal(sockets().length, 0)
})

t.test('what is aborted while its connection is opened is not sent, and rejects at once', async t => {
  const { server, sockets, ask } = await setup(t)
  const controller = new AbortController()
  const asked = ask(controller.signal)
  const reason = new Error('superseded')
  controller.abort(reason)
  t.equal(await failure(asked), reason)
  while (sockets()[0]?.destroyed !== true) await nextLoopTurn()
  t.equal(server.requests.length, 0)
})

t.test('what is aborted before the head is cancelled, and is not sent again', async t => {
  const { server, ask } = await setup(t)
  server.next(STALL)
  const controller = new AbortController()
  const [requested, cancelled] = [once(server.events, 'request'), once(server.events, 'cancelled')]
  const asked = ask(controller.signal)
  await requested
  const reason = Object.assign(new Error('superseded'), { code: 'ECONNRESET' })
  controller.abort(reason)
  t.equal(await failure(asked), reason)
  await cancelled
  t.equal(server.requests.length, 1)
})

t.test('what is aborted in mid-stream is cancelled', async t => {
  const { server, ask } = await setup(t)
  server.next(['One ', STALL])
  const controller = new AbortController()
  const cancelled = once(server.events, 'cancelled')
  const { body } = await ask(controller.signal)
  t.match(String((await body.next()).value), 'data: ')
  const reason = new Error('superseded')
  controller.abort(reason)
  const left = (async () => { for await (const chunk of body) t.ok(chunk.length) })()
  t.equal(await failure(left), reason)
  await cancelled
})

t.test('an abort behind the end changes nothing', async t => {
  const { server, ask } = await setup(t)
  const controller = new AbortController()
  await (await ask(controller.signal)).body.text()
  controller.abort()
  await nextLoopTurn()
  await (await ask()).body.text()
  t.strictSame(server.requests.map(({ connection }) => connection), [1, 1])
  t.equal(server.cancelled, 0)
})

// Connections

t.test('nothing is opened before there is a need', async t => {
  const { server, sockets } = await setup(t)
  await nextLoopTurn()
  t.equal(sockets().length, 0)
  t.equal(server.connections, 0)
})

t.test('requests that follow each other share a connection, beside one spare', async t => {
  const { server, sockets, ask, connected } = await setup(t)
  for (let i = 0; i < 4; i++) {
    await (await ask()).body.text()
    await nextLoopTurn() // undici lets a connection rest for one
  }
  await connected(2)
  t.strictSame(server.requests.map(({ connection }) => connection), [1, 1, 1, 1])
  t.equal(sockets().length, 2)
})

t.test('once it is warm the first request opens no connection of its own', async t => {
  const { server, sockets, ask, warm, connected } = await setup(t)
  await warm()
  t.equal(server.requests.length, 0)
  const response = await ask()
  t.equal(server.requests[0]?.connection, 1)
  await response.body.text()
  await connected(2)
  t.equal(sockets().length, 2, 'a new spare, and no more')
})

t.test('a request that comes while it is being warmed waits for that connection', async t => {
  const { server, transport, sockets, ask, connected } = await setup(t)
  transport.warm()
  await (await ask()).body.text()
  t.equal(server.requests[0]?.connection, 1)
  await connected(sockets().length)
  t.ok(sockets().length <= 2)
})

t.test('it is warmed once, however often one asks', async t => {
  const { server, transport, sockets, warm } = await setup(t)
  transport.warm()
  await warm()
  transport.warm()
  await nextLoopTurn()
  t.equal(sockets().length, 1)
  t.equal(server.connections, 1)
})

t.test('the request behind a superseded one takes the spare connection, and a new one is opened', async t => {
  const { server, sockets, ask, connected } = await setup(t)
  for (let i = 1; i <= 4; i++) {
    server.next(['One ', STALL])
    const controller = new AbortController()
    const { body } = await ask(controller.signal)
    await body.next()
    t.equal(server.requests.at(-1)?.connection, i)
    await connected(i + 1)
    t.equal(sockets().length, i + 1, 'that of each request so far, and a spare one')
    const disconnected = once(server.events, 'disconnected')
    controller.abort()
    await disconnected
  }
  t.equal(server.open, 1)
})

t.test('the request behind a superseded one does not wait until that has gone', async t => {
  const { server, sockets, ask, connected } = await setup(t)
  server.next(['One ', STALL])
  const controller = new AbortController()
  const { body } = await ask(controller.signal)
  await body.next()
  await connected(2)
  controller.abort()
  await (await ask()).body.text()
  t.equal(server.requests.at(-1)?.connection, 2)
  await connected(3)
  t.equal(sockets().length, 3)
})

t.test('requests at the same time have a connection each', async t => {
  const { server, sockets, ask, warm, connected } = await setup(t)
  await warm()
  const gate = hold()
  server.next([gate, 'One'], [gate, 'Two'], [gate, 'Three'])
  const responses = Promise.all([ask(), ask(), ask()])
  gate.release()
  await Promise.all((await responses).map(response => response.body.text()))
  t.strictSame(new Set(server.requests.map(({ connection }) => connection)).size, 3)
  await connected(sockets().length)
  t.ok(sockets().length <= 4)
})

t.test('a server in IPv6 is warmed and asked', async t => {
  const dialled = mock.method(net, 'connect', () => { throw new Error('no connections from here') })
  t.teardown(() => { dialled.mock.restore() })
  const transport = openTransport(undici, 'http://[::1]:11434')
  t.teardown(() => transport.close())
  transport.warm()
  t.match(await failure(transport.post(QUESTION)), { message: 'no connections from here' })
  t.ok(dialled.mock.callCount() >= 2)
  t.strictSame(new Set(dialled.mock.calls.map(({ arguments: [options] }) => (options as unknown as net.TcpNetConnectOpts).host)), new Set(['::1']))
})

t.test('an idle transport keeps no process alive, and one that is asked does', async t => {
  const { server } = await setup(t)
  const program = runNode(t, ['--input-type=module', '--eval', `
    import * as undici from 'undici'
    import { openTransport } from './dist/agents/openai/transport.js'
    const transport = openTransport(undici, '${server.origin}')
    transport.warm()
    process.once('beforeExit', async () => {
      const { body } = await transport.post({ path: '/v1/chat/completions', headers: {}, body: '{"messages":[{"content":"Hi"}]}' })
      console.log((await body.text()).length > 0)
    })
  `])
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'true\n')
  t.equal(server.requests[0]?.connection, 1, 'that which was warmed')
})

// What is lost with a connection

t.test('a request that is lost with the spare connection is sent again', async t => {
  const { server, ask, warm } = await setup(t)
  await warm()
  server.next(CUT)
  const response = await ask()
  t.equal(response.head.status, 200)
  t.match(await response.body.text(), '[DONE]')
  t.equal(server.requests.length, 2)
  t.strictSame(server.requests[1]?.body, server.requests[0]?.body)
  t.equal(server.requests[1]?.headers.authorization, 'Bearer key')
  t.not(server.requests[1]?.connection, 1)
})

const hangUps: Record<string, (peer: Socket) => void> = {
  'hung up': peer => { peer.end() },
  'reset it': peer => { peer.resetAndDestroy() }
}
for (const [name, hangUp] of Object.entries(hangUps)) {
  t.test(`a request over a spare connection whose server ${name} just before is answered over another`, async t => {
    const sockets = clientSockets(t)
    const { transport, peers } = await serve(t, (_request, response) => { response.end('Hi') })
    transport.warm()
    const connected = [once(sockets()[0]!, 'connect')]
    while (peers.length === 0) await nextLoopTurn()
    await Promise.all(connected)
    hangUp(peers[0]!)
    const response = await transport.post(QUESTION)
    t.equal(await response.body.text(), 'Hi')
  })
}

t.test('a request that crosses with the server\'s word that it waited for too long is sent again', async t => {
  const sockets = clientSockets(t)
  const { transport, peers } = await connectTo(t, createServer(socket => {
    socket.on('data', () => { if (socket.writable) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi') })
  }))
  transport.warm()
  await once(sockets()[0]!, 'connect')
  while (peers.length === 0) await nextLoopTurn()
  const left = once(peers[0]!, 'close')
  peers[0]?.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\ncontent-length: 9\r\n\r\n')
  const response = await transport.post(QUESTION)
  t.equal(response.head.status, 200)
  t.equal(await response.body.text(), 'Hi')
  await left
})

t.test('a request that is answered so twice, or that was aborted meanwhile, is not sent again', async t => {
  let requests = 0
  const { transport } = await connectTo(t, createServer(socket => {
    socket.on('data', () => {
      requests++
      socket.end('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n')
    })
  }))
  t.equal((await transport.post(QUESTION)).head.status, 408)
  t.equal(requests, 2)

  const controller = new AbortController()
  const onHeaders = () => { queueMicrotask(() => { controller.abort() }) }
  subscribe('undici:request:headers', onHeaders)
  t.teardown(() => { unsubscribe('undici:request:headers', onHeaders) })
  const response = await transport.post({ ...QUESTION, signal: controller.signal })
  t.match(await failure(response.body.text()), { name: 'AbortError' })
  await nextLoopTurn()
  t.equal(requests, 3)
})

t.test('a refusal with the same status over a connection that stays open is one', async t => {
  let requests = 0
  const { transport } = await serve(t, (_request, response) => {
    requests++
    response.writeHead(408).end('the model was too slow')
  })
  t.equal(await (await transport.post(QUESTION)).body.text(), 'the model was too slow')
  t.equal(requests, 1)
})

t.test('a request right behind a response that ends its connection is answered over another', async t => {
  const { transport } = await serve(t, (_request, response) => { response.setHeader('connection', 'close').end('Hi') })
  for (let i = 0; i < 4; i++) t.equal(await (await transport.post(QUESTION)).body.text(), 'Hi')
})

for (const [name, hangUp] of Object.entries(hangUps)) {
  for (const turns of [0, 1, 2, 3]) {
    t.test(`a request over an idle connection whose server ${name} ${turns} turns of the event loop before is answered over another`, async t => {
      const { transport, peers } = await serve(t, (_request, response) => { response.end('Hi') })
      await (await transport.post(QUESTION)).body.text()
      for (let i = 0; i < 3; i++) await nextLoopTurn()
      hangUp(peers[0]!)
      for (let i = 0; i < turns; i++) await nextLoopTurn()
      t.equal(await (await transport.post(QUESTION)).body.text(), 'Hi')
    })
  }
}

t.test('the second time a request is lost is the last', async t => {
  const { server, ask, warm } = await setup(t)
  await warm()
  server.next(CUT, CUT)
  t.match(await failure(ask()), { code: 'UND_ERR_SOCKET' })
  t.equal(server.requests.length, 2)
})

t.test('what is lost with a connection of its own is not sent again', async t => {
  const { server, ask } = await setup(t)
  server.next(CUT)
  t.match(await failure(ask()), { code: 'UND_ERR_SOCKET' })
  t.equal(server.requests.length, 1)
})

t.test('what is lost with a connection that was opened for it ahead, but never waited, is not sent again', async t => {
  const { server, transport, ask } = await setup(t)
  transport.warm()
  server.next(CUT)
  t.match(await failure(ask()), { code: 'UND_ERR_SOCKET' })
  t.equal(server.requests.length, 1)
})

t.test('a request that is lost with a connection in use is sent again', async t => {
  const { server, ask } = await setup(t)
  await (await ask()).body.text()
  await nextLoopTurn()
  server.next(CUT)
  t.equal((await ask()).head.status, 200)
  t.strictSame(server.requests.map(({ connection }) => connection).slice(0, 2), [1, 1])
  t.equal(server.requests.length, 3)
})

t.test('what is reset is sent again on any connection, as the system does not say which was new', async t => {
  const { server, ask, warm } = await setup(t)
  server.next(RESET, ['One'])
  t.match(await (await ask()).body.text(), 'One')
  t.equal(server.requests.length, 2)
  await warm()
  server.next(RESET, RESET)
  t.match(await failure(ask()), { code: 'ECONNRESET' })
  t.equal(server.requests.length, 4)
})

t.test('what is answered with no HTTP is not sent again', async t => {
  let requests = 0
  const { transport } = await connectTo(t, createServer(socket => {
    socket.on('data', () => {
      requests++
      socket.end('SSH-2.0-OpenSSH_9.6\r\n')
    })
  }))
  t.match(await failure(transport.post(QUESTION)), { name: 'HTTPParserError' })
  t.equal(requests, 1)
})

t.test('what is lost behind the head is the reader\'s error', async t => {
  const { server, ask, warm } = await setup(t)
  await warm()
  server.next(['One ', CUT])
  const response = await ask()
  t.match(await failure(response.body.text()), { code: 'UND_ERR_SOCKET' })
  t.equal(server.requests.length, 1)
})

t.test('a server that refuses connections is an error, and is not asked again', async t => {
  const { server, transport, sockets, ask } = await setup(t)
  await server.close()
  t.match(await failure(ask()), { code: 'ECONNREFUSED' })
  t.equal(sockets().length, 2, 'one of them the spare')
  transport.warm()
  t.match(await failure(ask()), { code: 'ECONNREFUSED' })
})

t.test('a request that was aborted when it is lost is not sent again', async t => {
  const { server, ask, warm } = await setup(t)
  await warm()
  const controller = new AbortController()
  const onError = () => { queueMicrotask(() => { controller.abort() }) }
  subscribe('undici:request:error', onError)
  t.teardown(() => { unsubscribe('undici:request:error', onError) })
  server.next(CUT)
  t.match(await failure(ask(controller.signal)), { code: 'UND_ERR_SOCKET' })
  await nextLoopTurn()
  t.equal(server.requests.length, 1)
})

t.test('a request that was sent again is cancelled like any other', async t => {
  const { server, ask, warm } = await setup(t)
  await warm()
  server.next(CUT, ['One ', STALL])
  const controller = new AbortController()
  const cancelled = once(server.events, 'cancelled')
  const { body } = await ask(controller.signal)
  await body.next()
  controller.abort()
  t.match(await failure((async () => { for await (const chunk of body) t.ok(chunk.length) })()), { name: 'AbortError' })
  await cancelled
})

// Closing

t.test('closing it cuts what is under way and what is idle, and refuses what comes later', async t => {
  const { server, transport, sockets, ask, connected } = await setup(t)
  server.next(['One ', STALL], STALL)
  const streaming = await ask()
  await streaming.body.next()
  const requested = once(server.events, 'request')
  const waiting = failure(ask())
  await requested
  const opening = failure(ask())
  await connected(3)
  await transport.close()
  t.match(await waiting, { code: 'UND_ERR_DESTROYED' })
  t.match(await opening, { code: 'UND_ERR_DESTROYED' })
  t.match(await failure(streaming.body.text()), { code: 'UND_ERR_DESTROYED' })
  const opened = sockets().length
  t.match(await failure(ask()), { code: 'UND_ERR_DESTROYED' })
  transport.warm()
  t.equal(sockets().length, opened)
  while (server.open > 0) await once(server.events, 'disconnected')
  await transport.close()
})

t.test('closing it while connections are opened leaves none', async t => {
  const { server, transport, sockets, ask } = await setup(t)
  transport.warm()
  const answers = [ask(), ask()].map(failure)
  const closing = transport.close()
  t.match(await Promise.all(answers), [{ code: 'UND_ERR_DESTROYED' }, { code: 'UND_ERR_DESTROYED' }])
  await closing
  await Promise.all(sockets().map(async socket => { if (!socket.closed) await new Promise(resolve => { socket.once('close', resolve) }) }))
  while (server.open > 0) await once(server.events, 'disconnected')
  t.equal(server.requests.length, 0)
})

t.test('one that was never used is closed, too', async t => {
  const { server, transport } = await setup(t)
  await transport.close()
  await transport.close()
  t.equal(server.connections, 0)
})
