import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'
import { mock } from 'node:test'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import tls, { type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { buildConnector } from 'undici'
import { SpareConnection } from '../../../lib/agents/openai/spare-connection.js'
import { useClock } from '../../helpers/clock.js'
import { runNode } from '../../helpers/process.js'

const REQUEST_TIMEOUT = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n'

/** Resolves when a socket is closed, with or without an error. */
function closed (socket: Socket): Promise<void> {
  return new Promise(resolve => { socket.once('close', () => { resolve() }) })
}

/** Listens on the loopback, and keeps its ends of the connections. */
async function listen (t: Test, server: Server, event = 'connection') {
  const peers: Socket[] = []
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.on(event, (socket: Socket) => {
    peers.push(socket)
    socket.on('error', () => {}).on('end', () => {}).resume()
    server.emit('peer')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async () => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.teardown(close)
  return {
    port: (server.address() as AddressInfo).port,
    peers,
    close,
    /** Resolves with the server's end of this connection, counted from 0. */
    peer: async (index: number): Promise<Socket> => {
      while (peers.length <= index) await once(server, 'peer')
      return peers[index]!
    },
    /** Resolves when no connection is open. */
    async forsaken (): Promise<void> {
      for (const socket of sockets) await closed(socket)
    }
  }
}

async function setup (t: Test) {
  const connecting = mock.method(net, 'connect')
  t.teardown(() => { connecting.mock.restore() })
  const sockets = () => connecting.mock.calls.filter(({ error }) => error === undefined).map(({ result }) => result as Socket)
  const server = await listen(t, net.createServer())
  const url = new URL(`http://127.0.0.1:${server.port}`)
  const spare = new SpareConnection(buildConnector({}), url)
  t.teardown(() => {
    spare.close()
    for (const socket of sockets()) socket.destroy()
  })
  return {
    spare,
    server,
    url,
    /** The client's ends of the connections, in the order in which they were asked for. */
    sockets,
    /** The next connection cannot even be tried. */
    failNext: () => { connecting.mock.mockImplementationOnce(() => { throw new Error('no connections from here') }) },
    /** What the client was told to connect to last. */
    address: () => connecting.mock.calls.at(-1)?.arguments[0] as unknown as net.TcpNetConnectOpts,
    /** Opens the spare connection, and waits until it is. */
    open: async (): Promise<Socket> => {
      spare.open()
      const socket = sockets().at(-1)!
      if (socket.connecting) await once(socket, 'connect')
      return socket
    },
    connect: () => connect(spare.connect, url)
  }
}

/** Asks for a connection as undici's client does. */
function connect (connector: buildConnector.connector, { hostname, host, protocol, port }: URL): Promise<Socket> {
  return new Promise((resolve, reject) => {
    connector({ hostname, host, protocol, port, servername: null, localAddress: null } as unknown as buildConnector.Options, (...[error, socket]) => {
      if (error === null) resolve(socket)
      else reject(error)
    })
  })
}

async function failure (promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => undefined, (error: unknown) => error)
}

function listeners (socket: Socket): Record<string, number> {
  return Object.fromEntries(socket.eventNames().map(name => [String(name), socket.listenerCount(name)]).sort())
}

// Put to use

t.test('nothing is opened before it is asked for', async t => {
  const { sockets, connect } = await setup(t)
  t.equal(sockets().length, 0)
  t.equal(await connect(), sockets()[0])
  t.equal(sockets().length, 1)
})

t.test('it is opened once, used once, and may be opened again', async t => {
  const { spare, sockets, open, connect } = await setup(t)
  spare.open()
  spare.open()
  const first = await open()
  spare.open()
  t.equal(sockets().length, 1)
  t.equal(await connect(), first)
  t.equal(sockets().length, 1)
  const second = await open()
  t.not(second, first)
  t.equal(await connect(), second)
  t.not(await connect(), second)
  t.equal(sockets().length, 3)
})

t.test('it is handed out later than it is asked for, like any other connection', async t => {
  const { spare, url, open } = await setup(t)
  const socket = await open()
  let given: unknown
  spare.connect(url, (_error, socket) => { given = socket })
  t.equal(given, undefined)
  await nextLoopTurn()
  t.equal(given, socket)
})

t.test('what was handed out is no longer closed by it', async t => {
  const clock = useClock(t)
  const { spare, server, open, connect } = await setup(t)
  const socket = await open()
  await connect()
  spare.close()
  await clock.pass(200_000)
  const peer = await server.peer(0)
  peer.write('Hi')
  await once(socket, 'readable')
  t.equal(socket.destroyed, false)
  t.equal(String(socket.read()), 'Hi')
})

t.test('it is handed out with no more listeners than a connection of undici\'s own', async t => {
  const { url, open, connect: take } = await setup(t)
  const own = await connect(buildConnector({}), url)
  const socket = await open()
  t.equal(await take(), socket)
  await nextLoopTurn()
  const expected = listeners(own)
  t.strictSame(listeners(socket), { ...expected, close: (expected['close'] ?? 0) + 1 }, 'but the one that remembers it while it is open')
  t.equal(socket.isPaused(), own.isPaused())
  t.equal(socket.readableFlowing, own.readableFlowing)
})

t.test('who asks while it is being opened gets it, and a second one gets one of its own', async t => {
  const { spare, sockets, connect } = await setup(t)
  spare.open()
  const [first, second] = await Promise.all([connect(), connect()])
  t.equal(first, sockets()[0])
  t.equal(second, sockets()[1])
  t.not(first, second)
  t.equal(await connect(), sockets()[2], 'and it was not kept besides')
})

t.test('it may be opened again once it was promised to somebody and came', async t => {
  const { spare, sockets, open, connect } = await setup(t)
  spare.open()
  const first = connect()
  spare.open()
  t.equal(sockets().length, 1, 'one at a time')
  t.equal(await first, sockets()[0])
  const next = await open()
  t.not(next, await first)
  t.equal(await connect(), next)
})

t.test('an address of IPv6 is dialled without its brackets', async t => {
  const { address, failNext } = await setup(t)
  failNext()
  new SpareConnection(buildConnector({}), new URL('http://[::1]:11434')).open()
  t.equal(address().host, '::1')
  t.equal(address().port, '11434')
})

// What goes wrong

const tired: Record<string, (peer: Socket) => void> = {
  'hangs up': peer => { peer.end() },
  'resets it': peer => { peer.resetAndDestroy() },
  'writes to it': peer => { peer.write(REQUEST_TIMEOUT) },
  'writes to it and hangs up': peer => { peer.end(REQUEST_TIMEOUT) },
  'writes to it and resets it': peer => { peer.write(REQUEST_TIMEOUT, () => peer.resetAndDestroy()) }
}
for (const [name, tire] of Object.entries(tired)) {
  t.test(`a connection whose server ${name} while it waits is never handed out, and another is opened instead`, async t => {
    const { server, sockets, open, connect } = await setup(t)
    const socket = await open()
    tire(await server.peer(0))
    await closed(socket)
    await server.forsaken()
    const second = await open()
    t.not(second, socket)
    t.equal(await connect(), second)
    t.equal(await connect(), sockets()[2])
  })

  t.test(`who asks behind a connection whose server ${name} gets a new one`, async t => {
    const { spare, server, sockets, open, connect } = await setup(t)
    const socket = await open()
    tire(await server.peer(0))
    await closed(socket)
    const next = await connect()
    t.equal(next, sockets()[1])
    t.equal(next.destroyed, false)
    t.equal(spare.wasKept(next.localPort), false)
  })
}

t.test('a connection that breaks while it waits is no error that is thrown', async t => {
  const { sockets, open, connect } = await setup(t)
  for (const error of [new Error('ETIMEDOUT'), undefined]) {
    const socket = await open()
    socket.destroy(error)
    await closed(socket)
    const next = await connect()
    t.equal(next, sockets().at(-1))
    t.not(next, socket)
  }
  t.equal(sockets().length, 4)
})

t.test('a refused connection is nobody\'s error, and is tried again when it is asked for', async t => {
  const { spare, server, sockets } = await setup(t)
  await server.close()
  for (let i = 0; i < 2; i++) {
    spare.open()
    const [error] = await once(sockets()[i]!, 'error')
    t.match(error, { code: 'ECONNREFUSED' })
  }
  t.equal(sockets().length, 2)
})

t.test('who asks while it is being refused is told', async t => {
  const { spare, server, sockets, connect } = await setup(t)
  await server.close()
  spare.open()
  const errors = await Promise.all([failure(connect()), failure(connect())])
  t.match(errors, [{ code: 'ECONNREFUSED' }, { code: 'ECONNREFUSED' }])
  t.equal(sockets().length, 2)
  t.match(await failure(connect()), { code: 'ECONNREFUSED' })
})

t.test('a connection that cannot even be tried is nobody\'s error, and is tried again when it is asked for', async t => {
  const { spare, sockets, failNext, open, connect } = await setup(t)
  failNext()
  spare.open()
  t.equal(sockets().length, 0)
  t.equal(await open(), sockets()[0])
  t.equal(await connect(), sockets()[0])
})

// How long it is kept

t.test('it is kept for two minutes', async t => {
  const clock = useClock(t)
  const { server, sockets, open, connect } = await setup(t)
  const socket = await open()
  await clock.pass(119_999)
  t.equal(socket.destroyed, false)
  await clock.pass(1)
  t.equal(socket.destroyed, true)
  await server.forsaken()
  t.equal(await connect(), sockets()[1])
})

t.test('the two minutes of one are not those of the next', async t => {
  const clock = useClock(t)
  const { open, connect } = await setup(t)
  const first = await open()
  await clock.pass(100_000)
  await connect()
  const second = await open()
  await clock.pass(119_999)
  t.strictSame([first.destroyed, second.destroyed], [false, false])
  await clock.pass(1)
  t.strictSame([first.destroyed, second.destroyed], [false, true])
})

t.test('no timer is left of a connection that is put to use, lost or closed', async t => {
  const made = mock.method(globalThis, 'setTimeout')
  const cleared = mock.method(globalThis, 'clearTimeout')
  t.teardown(() => {
    made.mock.restore()
    cleared.mock.restore()
  })
  const { spare, server, open, connect } = await setup(t)
  const timers = () => made.mock.calls.filter(({ arguments: [, ms] }) => ms === 120_000).map(({ result }) => result!)
  const left = () => timers().filter(timer => !cleared.mock.calls.some(({ arguments: [cleared] }) => cleared === timer)).length
  await open()
  t.equal(left(), 1)
  t.equal(timers()[0]?.hasRef(), false)
  await connect()
  t.equal(left(), 0)
  const lost = await open();
  (await server.peer(1)).end()
  await closed(lost)
  t.equal(left(), 0)
  await open()
  t.equal(left(), 1)
  spare.close()
  t.equal(left(), 0)
  t.equal(timers().length, 3)
})

t.test('it keeps no process alive, and is there while the process lives', async t => {
  const { server } = await setup(t)
  const program = runNode(t, ['--input-type=module', '--eval', `
    import { buildConnector } from 'undici'
    import { SpareConnection } from './dist/agents/openai/spare-connection.js'
    const spare = new SpareConnection(buildConnector({}), new URL('http://127.0.0.1:${server.port}'))
    spare.open()
    process.on('exit', () => console.log('exits'))
  `])
  await server.peer(0)
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'exits\n')
})

t.test('a process is kept alive by a connection that was put to use', async t => {
  const { open, connect } = await setup(t)
  const hasRef = (socket: Socket) => (socket as unknown as { _handle: { hasRef (): boolean } })._handle.hasRef()
  const socket = await open()
  t.equal(hasRef(socket), false)
  await connect()
  t.equal(hasRef(socket), true)
})

// Closed for good

t.test('closing it closes the connection, and none is opened from then on', async t => {
  const { spare, server, sockets, open } = await setup(t)
  const socket = await open()
  spare.close()
  t.equal(socket.destroyed, true)
  await server.forsaken()
  spare.open()
  spare.close()
  t.equal(sockets().length, 1)
})

t.test('a connection that is being opened when it is closed is closed as soon as it is there', async t => {
  const { spare, server, sockets } = await setup(t)
  spare.open()
  spare.close()
  const socket = sockets()[0]!
  await closed(socket)
  await server.forsaken()
  t.equal(sockets().length, 1)
})

t.test('a connection that was promised to somebody when it is closed is still theirs', async t => {
  const { spare, sockets, connect } = await setup(t)
  spare.open()
  const promised = connect()
  spare.close()
  const socket = await promised
  t.equal(socket, sockets()[0])
  t.equal(socket.destroyed, false)
})

// What was kept

t.test('a connection that waited is told from one that did not, by its port', async t => {
  const { spare, open, connect } = await setup(t)
  const socket = await open()
  const port = socket.localPort
  t.type(port, 'number')
  t.equal(spare.wasKept(port), false, 'not before it is put to use')
  await connect()
  t.equal(spare.wasKept(port), true)
  const fresh = await connect()
  t.equal(spare.wasKept(fresh.localPort), false)
  spare.open()
  const promised = await connect()
  t.equal(spare.wasKept(promised.localPort), false)
  t.equal(spare.wasKept(undefined), false)
})

t.test('a connection that waited is remembered until who lost it could ask, and then forgotten', async t => {
  const { spare, open, connect } = await setup(t)
  const socket = await open()
  const port = socket.localPort
  await connect()
  let asked: boolean | undefined
  // undici tells of a loss when the socket closes, and what awaits that goes on behind it.
  socket.once('close', () => queueMicrotask(() => { asked = spare.wasKept(port) }))
  socket.destroy()
  await closed(socket)
  t.equal(asked, true)
  await nextLoopTurn()
  await nextLoopTurn()
  t.equal(spare.wasKept(port), false, 'its port may be that of a new connection')
  t.equal(spare.wasKept(undefined), false)
})

// TLS

/** A server with a certificate for `localhost`, which clients of this test trust. */
async function setupTls (t: Test) {
  const pem = String(execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', '-', '-out', '-', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'
  ], { stdio: ['ignore', 'pipe', 'ignore'] }))
  const open = tls.connect as (options: tls.ConnectionOptions) => TLSSocket
  const connecting = mock.method(tls, 'connect', (options: tls.ConnectionOptions) => open({ ...options, ca: pem }))
  t.teardown(() => { connecting.mock.restore() })
  const sockets = () => connecting.mock.calls.map(({ result }) => result as TLSSocket)
  const server = await listen(t, tls.createServer({ key: pem, cert: pem }), 'secureConnection')
  const url = new URL(`https://localhost:${server.port}`)
  const spare = new SpareConnection(buildConnector({}), url)
  t.teardown(() => {
    spare.close()
    for (const socket of sockets()) socket.destroy()
  })
  return { spare, server, url, sockets, connect: () => connect(spare.connect, url) }
}

t.test('over TLS the handshake is made ahead, with the server\'s name', async t => {
  const { spare, server, sockets, connect } = await setupTls(t)
  spare.open()
  const socket = sockets()[0]!
  await once(socket, 'secureConnect')
  t.equal(socket.authorized, true)
  t.equal(socket.alpnProtocol, false)
  const peer = await server.peer(0) as TLSSocket & { servername: string }
  t.equal(peer.servername, 'localhost')
  t.equal(await connect(), socket)
  t.equal(spare.wasKept(socket.localPort), true)
  peer.write('Hi')
  await once(socket, 'readable')
  t.equal(String(socket.read()), 'Hi')
})

t.test('over TLS who asks during the handshake gets the connection behind it', async t => {
  const { spare, sockets, connect } = await setupTls(t)
  spare.open()
  await once(sockets()[0]!, 'connect')
  t.equal(await connect(), sockets()[0])
  t.equal(sockets()[0]?.authorized, true)
})

t.test('over TLS the session of one connection serves the next, whoever opened it', async t => {
  const { spare, sockets, connect } = await setupTls(t)
  spare.open()
  // Held here, as only what is in use is sure to be remembered.
  const sessions: unknown[] = []
  sockets()[0]?.on('session', session => { sessions.push(session) })
  await once(sockets()[0]!, 'session')
  t.equal(sockets()[0]?.destroyed, false, 'a ticket is no word of the server\'s')
  t.equal(await connect(), sockets()[0])
  const fresh = await connect() as TLSSocket
  t.equal(fresh.isSessionReused(), true)
  spare.open()
  await once(sockets()[2]!, 'secureConnect')
  t.equal(sockets()[2]?.isSessionReused(), true)
  t.ok(sessions.length > 0)
})

t.test('over TLS a connection whose server hangs up while it waits is never handed out', async t => {
  const { spare, server, sockets, connect } = await setupTls(t)
  spare.open()
  const socket = sockets()[0]!
  await once(socket, 'secureConnect');
  (await server.peer(0)).end()
  await closed(socket)
  t.equal(await connect(), sockets()[1])
})

t.test('a certificate that is not to be trusted is an error for who asks, and for nobody else', async t => {
  const { server, sockets } = await setupTls(t)
  const spare = new SpareConnection(buildConnector({}), new URL(`https://127.0.0.1:${server.port}`))
  t.teardown(() => { spare.close() })
  spare.open()
  await closed(sockets()[0]!)
  spare.open()
  t.match(await failure(connect(spare.connect, new URL(`https://127.0.0.1:${server.port}`))), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  t.equal(sockets().length, 2)
})
