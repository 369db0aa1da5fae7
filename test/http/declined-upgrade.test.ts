/**
 * Requests that ask for another protocol than WebSocket, over raw sockets: where one ends and the next one begins.
 */
import { EventEmitter, once } from 'node:events'
import { createServer, IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Duplex, Readable } from 'node:stream'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DeclinedUpgrades, hasCutHeaders } from '../../lib/http/declined-upgrade.js'
import voiceAgentPlugin from '../../lib/index.js'
import { AT_ONCE, createApp, deferred } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { RawPeer } from '../helpers/raw-peer.js'

setEnv(t)

const UPGRADE = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'
const BIG = 8 * 1024 * 1024

/** A request that asks for HTTP/2. */
function h2c (method: string, path: string, { headers = '', body = '', upgrade = UPGRADE, version = '1.1' } = {}): string {
  return `${method} ${path} HTTP/${version}\r\nHost: x\r\n${upgrade}${headers}\r\n${body}`
}

const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`
const ofLength = (body: string): { headers: string, body: string } => ({ headers: `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\n`, body })
const inChunks = (...chunks: string[]): { headers: string, body: string } => ({
  headers: 'Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n',
  body: [...chunks, ''].map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')
})
const emptyHeaders = (count: number): string => 'a:\r\n'.repeat(count)

/** What was answered, in order: `[what a route says]`, or a status that is none of success. */
const answersIn = (text: string): string[] => text.match(/\[[^\]]*\]|(?<=HTTP\/1\.1 )[345]\d\d/g) ?? []

/** Did the peer end its side, read or not? */
const hasEnded = (socket: Socket): boolean => (socket as unknown as { _readableState: { ended: boolean } })._readableState.ended

async function listen (t: Test, { maxHeadersCount }: { maxHeadersCount?: number } = {}) {
  const { app } = createApp(t)
  const slow = deferred()
  const served: string[] = []
  const events = new EventEmitter()
  app.addHook('onRequest', async ({ method, url }) => {
    served.push(`${method} ${url}`)
    events.emit(url)
  })
  app.post('/echo', async ({ body, headers: { upgrade = '' } }) => `[echo ${upgrade}${String(body)}]`)
  app.get('/quick', async ({ headers: { upgrade = 'no upgrade' }, raw: { httpVersion } }) => `[quick, ${upgrade}, ${httpVersion}]`)
  app.get('/slow', async () => {
    await slow.promise
    return '[slow]'
  })
  app.get('/last', async (_request, reply) => {
    await slow.promise
    reply.header('connection', 'close')
    return '[last]'
  })
  app.get('/big', (_request, reply) => {
    let left = 64
    reply.send(new Readable({ read () { this.push(left-- > 0 ? Buffer.alloc(BIG / 64, 'x') : null) } }))
  })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' } })
  if (maxHeadersCount !== undefined) app.server.maxHeadersCount = maxHeadersCount
  const sockets: Socket[] = []
  app.server.on('connection', (socket: Socket) => sockets.push(socket))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, slow, served, sockets, asked: (url: string) => once(events, url), port: (app.server.address() as AddressInfo).port }
}

const INNER = get('/inner')
const BODIES = [ofLength('hello'), ofLength(INNER), ofLength(''), inChunks('hel', 'lo'), inChunks(INNER), inChunks()]

t.test('a body is a body, and the request behind it is served', async t => {
  const { port, served } = await listen(t)
  for (const { headers, body } of BODIES) {
    const peer = new RawPeer(t, port)
    peer.write(h2c('POST', '/echo', { headers, body }) + get('/quick', 'Connection: close\r\n'))
    await peer.closed
    const said = /chunked/.test(headers) ? body.includes(INNER) ? INNER : body.length > 5 ? 'hello' : '' : body
    t.strictSame(answersIn(peer.text), [`[echo ${said}]`, '[quick, no upgrade, 1.1]'])
  }
  t.notOk(served.includes('GET /inner'))
})

t.test('a body whose end is not known is refused, and what is in it is no request', async t => {
  const encodings = ['xchunked', 'gzip', 'chunked, gzip', 'x chunked', 'chunked\r\nTransfer-Encoding: identity']
  for (const encoding of encodings) {
    const { port, served } = await listen(t)
    const peer = new RawPeer(t, port)
    peer.write(h2c('POST', '/echo', { headers: `Transfer-Encoding: ${encoding}\r\n`, body: INNER }))
    await peer.closed
    t.match(peer.text, /^HTTP\/1\.1 400 /, encoding)
    t.strictSame(served.filter(request => !request.startsWith('POST /echo')), [])
  }
  for (const encoding of ['gzip, chunked', 'gzip\r\nTransfer-Encoding: chunked', 'Chunked']) {
    const { port, served } = await listen(t)
    const peer = new RawPeer(t, port)
    peer.write(h2c('POST', '/echo', { headers: `Content-Type: text/plain\r\nTransfer-Encoding: ${encoding}\r\n`, body: inChunks(INNER).body }))
    await peer.heard(/\[echo/)
    t.strictSame(served, ['POST /echo'], encoding)
  }
})

t.test('two lengths, a folded header and a request within a tunnel are no requests', async t => {
  const lengths = [`Content-Length: 1\r\nContent-Length: ${INNER.length}\r\n`, `Content-Length: ${INNER.length}\r\nTransfer-Encoding: chunked\r\n`, `Content-Length: 1, ${INNER.length}\r\n`,
    `Content-Length: +${INNER.length}\r\n`, `X: a\r\n Content-Length: 3\r\nContent-Length: ${INNER.length}\r\n`]
  for (const request of [...lengths.map(headers => h2c('POST', '/echo', { headers, body: INNER })), h2c('CONNECT', 'x:1', { body: INNER })]) {
    const { port, served } = await listen(t)
    const peer = new RawPeer(t, port)
    peer.write(request)
    await peer.closed
    t.strictSame(served.filter(request => !request.startsWith('POST /echo')), [])
    t.notMatch(peer.text, / 200 /)
  }
})

t.test('a body that comes later is a body', async t => {
  for (const { headers, body } of [ofLength('hello'), ofLength(INNER), inChunks('hel', 'lo'), inChunks(INNER)]) {
    for (const early of [0, 3]) {
      const { port, served, asked } = await listen(t)
      const peer = new RawPeer(t, port)
      const read = asked('/echo')
      peer.write(h2c('POST', '/echo', { headers, body: body.slice(0, early) }))
      await read
      peer.write(body.slice(early))
      await peer.heard(/\[echo [^]*\]/)
      t.strictSame(served, ['POST /echo'])
    }
  }
})

t.test('nothing piles up on a connection that asks with a body many times', async t => {
  const { port, sockets, asked } = await listen(t)
  const peer = new RawPeer(t, port)
  const { headers, body } = ofLength('hello')
  const listeners: number[] = []
  for (let n = 1; n <= 12; n++) {
    const read = asked('/echo')
    peer.write(h2c('POST', '/echo', { headers, body: body.slice(0, n % 6) }))
    await read
    peer.write(body.slice(n % 6))
    while (answersIn(peer.text).length < n) await once(peer.socket, 'data')
    const [socket] = sockets
    listeners.push(socket!.eventNames().reduce((all, name) => all + socket!.listenerCount(name), 0))
  }
  t.equal(listeners.at(-1), listeners[1])
})

t.test('a client that waits for 100 Continue sends its body', async t => {
  const { port } = await listen(t)
  const peer = new RawPeer(t, port)
  const { headers, body } = ofLength('hello')
  peer.write(h2c('POST', '/echo', { headers: `${headers}Expect: 100-continue\r\n` }))
  await peer.heard(/^HTTP\/1\.1 100 Continue\r\n\r\n/)
  peer.write(body)
  await peer.heard(/\[echo hello\]/)
})

t.test('requests are answered in order, though one ahead of them is still being answered', async t => {
  for (const request of [h2c('GET', '/quick'), h2c('POST', '/echo', ofLength('hello')), h2c('POST', '/echo', inChunks('hello'))]) {
    const { port, slow, served, asked } = await listen(t)
    const peer = new RawPeer(t, port)
    const first = asked('/slow')
    peer.write(get('/slow') + get('/slow') + request + get('/quick', 'Connection: close\r\n'))
    await first
    slow.resolve()
    await peer.closed
    const [, url = ''] = request.split(' ')
    t.strictSame(served, ['GET /slow', 'GET /slow', `${request.split(' ')[0]} ${url}`, 'GET /quick'])
    t.strictSame(answersIn(peer.text), ['[slow]', '[slow]', url === '/quick' ? '[quick, no upgrade, 1.1]' : '[echo hello]', '[quick, no upgrade, 1.1]'])
  }
})

t.test('a client that ends its side of the connection meanwhile gets the answer that is being made', async t => {
  for (const request of [h2c('GET', '/quick'), h2c('POST', '/echo', ofLength('hello'))]) {
    const { port, slow, asked, sockets } = await listen(t)
    const peer = new RawPeer(t, port)
    const first = asked('/slow')
    peer.write(get('/slow') + request)
    await first
    peer.socket.end()
    while (!hasEnded(sockets[0]!)) await nextLoopTurn()
    slow.resolve()
    await peer.closed
    t.equal(answersIn(peer.text)[0], '[slow]')
  }
})

t.test('an answer ahead that waits for the peer to read goes on', async t => {
  const { port, asked } = await listen(t)
  const peer = new RawPeer(t, port)
  peer.socket.pause()
  const first = asked('/big')
  peer.write(get('/big') + h2c('GET', '/quick', { headers: 'Connection: close\r\n' }))
  await first
  peer.socket.resume()
  await peer.closed
  t.ok(peer.text.length > BIG)
  t.match(peer.text, /\[quick/)
})

t.test('an answer ahead that ends the connection is the last one', async t => {
  const { port, slow, served, asked } = await listen(t)
  const peer = new RawPeer(t, port)
  const first = asked('/last')
  peer.write(get('/last') + h2c('GET', '/quick'))
  await first
  slow.resolve()
  await peer.closed
  t.strictSame(answersIn(peer.text), ['[last]'])
  t.strictSame(served, ['GET /last'])
})

t.test('a peer that resets the connection meanwhile harms nobody', async t => {
  for (const request of [h2c('GET', '/quick'), h2c('GET', '/quick', { headers: emptyHeaders(1_000) }), h2c('POST', '/echo', ofLength('hello'))]) {
    const { port, slow, asked, sockets } = await listen(t)
    const peer = new RawPeer(t, port)
    const first = asked('/slow')
    peer.write(get('/slow') + request)
    await first
    const closed = new Promise(resolve => sockets[0]!.once('close', resolve))
    peer.socket.resetAndDestroy()
    await closed
    slow.resolve()
    const other = new RawPeer(t, port)
    other.write(get('/quick'))
    await other.heard(/\[quick/)
  }
})

t.test('a socket that was reset ahead of its answer is no longer held', async t => {
  const server = createServer()
  const declined = new DeclinedUpgrades(server)
  server.on('upgrade', (...upgrade) => declined.serve(...upgrade))
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const handed = once(server, 'upgrade')
  const peer = new RawPeer(t, (server.address() as AddressInfo).port)
  peer.write(get('/slow') + h2c('GET', '/quick'))
  const [{ socket }] = await handed as [IncomingMessage]
  const closed = new Promise(resolve => socket.once('close', resolve))
  peer.socket.resetAndDestroy()
  await closed
  await nextLoopTurn()
  let destroyed = 0
  socket.destroy = () => {
    destroyed++
    return socket
  }
  declined.close()
  t.equal(destroyed, 0)
  t.equal(socket.listenerCount('drain'), 0)
})

t.test('an app that closes does not wait for an answer that never comes', async t => {
  const { app, port, asked } = await listen(t)
  const peer = new RawPeer(t, port)
  const first = asked('/slow')
  peer.write(get('/slow') + h2c('GET', '/quick'))
  await first
  await app.close()
  await peer.closed
})

t.test('what a client says of its connection and version holds', async t => {
  const { port } = await listen(t)
  const cases: ReadonlyArray<readonly [bytes: string, answer: string]> = [
    [h2c('GET', '/quick', { upgrade: 'Connection: close, Upgrade\r\nUpgrade: h2c\r\n' }), '[quick, no upgrade, 1.1]'],
    [h2c('POST', '/echo', { ...ofLength('hello'), upgrade: 'Connection: Upgrade, close\r\nUpgrade: h2c\r\n' }), '[echo hello]'],
    [h2c('GET', '/quick', { version: '1.0' }), '[quick, no upgrade, 1.0]'],
    [h2c('GET', '/quick', { upgrade: 'Connection: Upgrade\r\nConnection: close\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n' }), '[quick, no upgrade, 1.1]']
  ]
  for (const [bytes, answer] of cases) {
    const peer = new RawPeer(t, port)
    peer.write(bytes)
    await peer.closed
    t.strictSame(answersIn(peer.text), [answer])
  }
})

t.test('the timer of an idle connection does not run while a request is served', async t => {
  const { port, slow, asked, sockets } = await listen(t)
  const peer = new RawPeer(t, port)
  const first = asked('/last')
  peer.write(get('/slow') + h2c('GET', '/last'))
  await new Promise(setImmediate)
  slow.resolve()
  await first
  t.equal(sockets[0]!.timeout, 0)
})

// Cut header lists

t.test('a request with a cut header list is refused, and its body is no request', async t => {
  const requests = [
    h2c('POST', '/echo', { headers: `${emptyHeaders(1_100)}Content-Length: ${INNER.length}\r\n`, body: INNER }),
    h2c('POST', '/echo', { headers: `${emptyHeaders(1_100)}Transfer-Encoding: chunked\r\n`, body: inChunks(INNER).body }),
    h2c('POST', '/echo', { headers: `Content-Length: ${INNER.length}\r\n${emptyHeaders(1_100)}`, body: INNER }),
    h2c('GET', '/quick', { headers: emptyHeaders(1_000) })
  ]
  for (const request of requests) {
    for (const ahead of ['', get('/quick')]) {
      const { port, served } = await listen(t)
      const peer = new RawPeer(t, port)
      peer.write(ahead + request)
      await peer.closed
      t.strictSame(answersIn(peer.text).map(answer => answer.slice(0, 6)), [...ahead === '' ? [] : ['[quick'], '431'])
      t.strictSame(served, ahead === '' ? [] : ['GET /quick'])
    }
  }
})

t.test('how many headers make a cut list is up to the server', async t => {
  const few = await listen(t, { maxHeadersCount: 20 })
  const peer = new RawPeer(t, few.port)
  peer.write(h2c('GET', '/quick', { headers: emptyHeaders(20) }))
  await peer.closed
  t.strictSame(answersIn(peer.text), ['431'])
  const any = await listen(t, { maxHeadersCount: 0 })
  const other = new RawPeer(t, any.port)
  other.write(h2c('GET', '/quick', { headers: emptyHeaders(1_500) }))
  await other.heard(/\[quick/)
  t.equal(hasCutHeaders({}, { maxHeadersCount: null }), false)
})

// Node 26 parses the body of such a request. Its calls, on any version

interface Handed {
  readonly server: Server
  readonly declined: DeclinedUpgrades
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly peer: RawPeer
}

/** A server that took a connection from its parser, with a request that was read from it. */
async function handOver (t: Test, headers: Record<string, string>, answer: (response: ServerResponse, request: IncomingMessage) => void): Promise<Handed> {
  const server = createServer((request, response) => answer(response, request))
  t.teardown(() => server.close().closeAllConnections())
  const declined = new DeclinedUpgrades(server, true)
  const taken = new Promise<[IncomingMessage, Socket]>(resolve => server.once('upgrade', (request: IncomingMessage, socket: Socket) => resolve([request, socket])))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const peer = new RawPeer(t, (server.address() as AddressInfo).port)
  peer.write(h2c('GET', '/parsed'))
  const [, socket] = await taken
  const request = new IncomingMessage(socket)
  Object.assign(request, { method: 'POST', url: '/parsed', httpVersionMajor: 1, httpVersionMinor: 1, headers: { 'content-length': '5', ...headers } })
  return { server, declined, request, socket, peer }
}

async function echo (response: ServerResponse, request: IncomingMessage): Promise<void> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  response.end(`[${request.method} ${body}]`)
}

/** What the parser does at the end of a body. */
function complete (request: IncomingMessage): void {
  request.complete = true
  request.push(null)
}

t.test('where the body is parsed and complete, it is served, and so is what comes behind it', async t => {
  const { declined, request, socket, peer } = await handOver(t, {}, echo)
  let closed = 0
  request.push('hello')
  complete(request)
  declined.serve(request, socket, Buffer.from(get('/next')))
  ;(socket as Socket & { _httpMessage: ServerResponse })._httpMessage.once('close', () => { closed++ })
  await peer.heard(/\[GET \]/)
  t.strictSame(answersIn(peer.text), ['[POST hello]', '[GET ]'])
  t.equal(closed, 1)
})

t.test('where it is parsed and the client has ended its side, the connection ends behind the answer', async t => {
  const { declined, request, socket, peer } = await handOver(t, { expect: '100-continue' }, echo)
  request.push('hello')
  peer.socket.end()
  declined.serve(request, socket, Buffer.alloc(0))
  await once(socket, 'end')
  complete(request)
  await peer.closed
  t.match(peer.text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK[^]*\[POST hello\]$/)
})

t.test('where it is parsed and the client says so, the connection closes behind the answer', async t => {
  const { declined, request, socket, peer } = await handOver(t, { connection: 'upgrade, close' }, echo)
  request.push('hello')
  complete(request)
  declined.serve(request, socket, Buffer.from(get('/next')))
  await peer.closed
  t.match(peer.text, /^HTTP\/1\.1 200 OK[^]*Connection: close[^]*\[POST hello\]$/)
})

t.test('where it is still being parsed, what comes behind it is served when it is complete and answered', async t => {
  for (const isAnsweredFirst of [false, true]) {
    const { declined, request, socket, peer } = await handOver(t, {}, isAnsweredFirst ? response => response.end('[early]') : echo)
    const stream: Duplex & { requestBodyCompleted?: (head: Buffer) => void } = new Duplex({ read () {}, write () {} })
    const events = ['error', 'end', 'close']
    const before = events.map(event => socket.listenerCount(event))
    // As Node's stream does.
    const mark = Symbol('UpgradeStream')
    Object.assign(socket, { [mark]: stream })
    for (const event of events) socket.on(event, () => stream.destroy(new Error(event)))
    declined.serve(request, stream, Buffer.alloc(0))
    t.strictSame(events.slice(0, 2).map(event => socket.listenerCount(event)), before.slice(0, 2))
    if (isAnsweredFirst) await peer.heard(/\[early\]/)
    request.push('hello')
    complete(request)
    stream.requestBodyCompleted!(Buffer.from(get('/next', 'Connection: close\r\n')))
    t.equal(Reflect.get(socket, mark), undefined)
    await peer.closed
    t.strictSame(answersIn(peer.text), isAnsweredFirst ? ['[early]', '[early]'] : ['[POST hello]', '[GET ]'])
    stream.destroy(new Error('reset'))
  }
})

t.test('where it is parsed, an answer that waits for the peer to read goes on', async t => {
  const { declined, request, socket, peer } = await handOver(t, {}, response => {
    let left = 64
    new Readable({ read () { this.push(left-- > 0 ? Buffer.alloc(BIG / 64, 'x') : null) } }).pipe(response)
  })
  complete(request)
  declined.serve(request, socket, Buffer.from(get('/next', 'Connection: close\r\n')))
  await peer.closed
  t.equal(peer.text.match(/HTTP\/1\.1 200 OK/g)?.length, 2)
})
