import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import fc from 'fast-check'
import { Pool, type Dispatcher } from 'undici'
import { Exchange } from '../../../lib/agents/openai/exchange.js'
import { deferred } from '../../helpers/app.js'

type Controller = Dispatcher.DispatchController

const KIB = 1024

async function listen (t: Test, server: Server): Promise<Pool> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}) // the client may leave at any time
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.teardown(async () => {
    await pool.destroy()
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return pool
}

/** A pool of connections to an HTTP server. */
function serve (t: Test, listener: RequestListener): Promise<Pool> {
  return listen(t, createHttpServer(listener))
}

/** A pool of connections to a server that does this once it has read a request. */
function serveRaw (t: Test, answer: (socket: Socket, request: string) => void): Promise<Pool> {
  return listen(t, createServer(socket => {
    let request = ''
    socket.on('data', bytes => {
      request += String(bytes)
      if (!request.endsWith('\r\n\r\n')) return
      answer(socket, request)
      request = ''
    })
  }))
}

function send<Sent extends Exchange> (pool: Pool, exchange: Sent): Sent {
  pool.dispatch({ path: '/', method: 'GET' }, exchange)
  return exchange
}

function ask (pool: Pool): Exchange {
  return send(pool, new Exchange())
}

/** Whatever is read, and what is thrown then. */
async function readAll (exchange: Exchange): Promise<{ body: Buffer, error: unknown }> {
  const chunks: Buffer[] = []
  let error: unknown
  try {
    for await (const chunk of exchange) chunks.push(chunk)
  } catch (thrown) {
    error = thrown
  }
  return { body: Buffer.concat(chunks), error }
}

async function failure (promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => undefined, (error: unknown) => error)
}

function digest (bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Rejections that nobody handled while the test ran. */
function unhandledRejections (t: Test): unknown[] {
  const errors: unknown[] = []
  const onRejection = (error: unknown) => { errors.push(error) }
  process.on('unhandledRejection', onRejection)
  t.teardown(() => { process.off('unhandledRejection', onRejection) })
  return errors
}

/** What a dispatcher hands over: aborting tells the handler, once, as undici's does. */
function newController (exchange: Exchange) {
  const calls: unknown[] = []
  const controller = {
    paused: false,
    aborted: false,
    reason: null as Error | null,
    pause: () => {
      calls.push('pause')
      controller.paused = true
    },
    resume: () => {
      calls.push('resume')
      controller.paused = false
    },
    abort: (reason: Error) => {
      calls.push(reason)
      controller.aborted = true
      exchange.onResponseError(controller, reason)
    }
  }
  return Object.assign(controller satisfies Controller, { calls })
}

// The head

t.test('the head has the status and the headers, in any case, repeated ones joined', async t => {
  const pool = await serveRaw(t, socket => {
    socket.end('HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nX-Name: caf\xe9\r\nx-list: a\r\nX-List: b\r\n__proto__: odd\r\ncontent-length: 0\r\n\r\n', 'latin1')
  })
  const { status, headers } = await ask(pool).head
  t.equal(status, 429)
  t.equal(headers.get('retry-after'), '2')
  t.equal(headers.get('RETRY-AFTER'), '2')
  t.equal(headers.get('x-name'), 'caf\xe9')
  t.match(headers.get('x-list'), /^a, ?b$/)
  t.equal(headers.get('x-none'), null)
  t.strictSame([...headers.keys()].sort(), ['__proto__', 'content-length', 'retry-after', 'x-list', 'x-name'])
})

t.test('informational responses are passed over', async t => {
  const pool = await serveRaw(t, socket => {
    socket.end('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nx-name: real\r\ncontent-length: 2\r\n\r\nHi')
  })
  const exchange = ask(pool)
  const { status, headers } = await exchange.head
  t.strictSame([status, headers.get('x-name'), headers.get('link')], [200, 'real', null])
  t.equal(String((await readAll(exchange)).body), 'Hi')
})

t.test('the head comes before the body does', async t => {
  const gate = deferred()
  const pool = await serve(t, (_request, response) => {
    response.flushHeaders()
    gate.promise.then(() => response.end('Hi'))
  })
  const exchange = ask(pool)
  t.equal((await exchange.head).status, 200)
  gate.resolve()
  t.equal(String((await readAll(exchange)).body), 'Hi')
})

t.test('a response that is no HTTP is an error', async t => {
  const pool = await serveRaw(t, socket => { socket.end('SSH-2.0-OpenSSH_9.6\r\n') })
  t.match(await failure(ask(pool).head), { name: 'HTTPParserError' })
})

// The body

t.test('what came before anybody read is read in order, then the end, as often as one asks', async t => {
  const ended = deferred()
  class Watched extends Exchange {
    override onResponseEnd (): void {
      super.onResponseEnd()
      ended.resolve()
    }
  }
  const pool = await serve(t, (_request, response) => {
    response.write('One ')
    response.write('two ')
    response.end('three')
  })
  const exchange = send(pool, new Watched())
  await ended.promise
  t.strictSame({ ...await readAll(exchange), body: 'One two three' }, { body: 'One two three', error: undefined })
  t.strictSame(await exchange.next(), { done: true, value: undefined })
  t.strictSame(await exchange.next(), { done: true, value: undefined })
})

t.test('what is waited for is read as it comes', async t => {
  const gates = [deferred(), deferred()]
  const pool = await serve(t, (_request, response) => {
    response.flushHeaders()
    gates[0]?.promise.then(() => response.write('One'))
    gates[1]?.promise.then(() => response.end())
  })
  const exchange = new Exchange()
  const first = exchange.next() // asked for before it is even sent
  send(pool, exchange)
  await exchange.head
  gates[0]?.resolve()
  t.equal(String((await first).value), 'One')
  const last = exchange.next()
  gates[1]?.resolve()
  t.strictSame(await last, { done: true, value: undefined })
})

t.test('an empty body ends at once', async t => {
  const pool = await serve(t, (_request, response) => { response.writeHead(204).end() })
  const exchange = ask(pool)
  t.equal((await exchange.head).status, 204)
  t.strictSame(await exchange.next(), { done: true, value: undefined })
})

t.test('a connection is free for the next exchange once this one has ended', async t => {
  const ports: unknown[] = []
  const pool = await serve(t, (request, response) => {
    ports.push(request.socket.remotePort)
    response.end('Hi')
  })
  for (let i = 0; i < 3; i++) {
    await readAll(ask(pool))
    await nextLoopTurn() // undici lets a connection rest for one
  }
  t.equal(new Set(ports).size, 1)
  t.equal(ports.length, 3)
})

const framings: Record<string, (body: Buffer) => Array<Buffer | string>> = {
  'of a known length': body => [`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`, body],
  'in chunks': body => [
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
    ...Array.from({ length: 64 }, (_, i) => body.subarray(i * body.length / 64, (i + 1) * body.length / 64))
      .flatMap(part => [`${part.length.toString(16)}\r\n`, part, '\r\n']),
    '0\r\n\r\n'
  ],
  'that ends with the connection': body => ['HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n', body]
}
for (const [name, frame] of Object.entries(framings)) {
  t.test(`a server that is faster than the reader is paused, and nothing is lost or doubled: a body ${name}`, async t => {
    const body = randomBytes(4 * KIB * KIB)
    const pool = await serveRaw(t, socket => {
      for (const part of frame(body)) socket.write(part)
      if (name.endsWith('connection')) socket.end()
    })
    let [received, pauses] = [0, 0]
    let paused = deferred()
    class Watched extends Exchange {
      override onResponseData (controller: Controller, chunk: Buffer): void {
        super.onResponseData(controller, chunk)
        received += chunk.length
        if (!controller.paused) return
        pauses++
        paused.resolve()
      }
    }
    const exchange = send(pool, new Watched())
    await paused.promise
    const before = received
    for (let i = 0; i < 10; i++) await nextLoopTurn()
    t.equal(received, before, 'nothing comes while it is paused')
    t.ok(received > 256 * KIB && received <= 512 * KIB, 'about 256 KiB wait')

    const chunks: Buffer[] = []
    let read = 0
    while (read < before) {
      t.equal(received, before, 'nothing comes until all that waits is read')
      const { value } = await exchange.next()
      chunks.push(value)
      read += value.length
    }
    paused = deferred()
    await paused.promise
    t.ok(pauses >= 2, 'it is paused again')
    const rest = await readAll(exchange)
    t.equal(rest.error, undefined)
    t.equal(digest(Buffer.concat([...chunks, rest.body])), digest(body))
  })
}

t.test('a server is not paused by a reader that keeps up', async t => {
  const exchange = new Exchange()
  const controller = newController(exchange)
  exchange.onRequestStart(controller)
  exchange.onResponseStart(controller, 200, {})
  for (let i = 0; i < 10; i++) {
    exchange.onResponseData(controller, Buffer.alloc(200 * KIB))
    t.equal((await exchange.next()).value.length, 200 * KIB)
    const next = exchange.next()
    exchange.onResponseData(controller, Buffer.alloc(300 * KIB))
    t.equal((await next).value.length, 300 * KIB, 'what is handed on at once waits for nobody')
  }
  exchange.onResponseData(controller, Buffer.alloc(256 * KIB))
  t.strictSame(controller.calls, [])
  exchange.onResponseData(controller, Buffer.alloc(1))
  t.strictSame(controller.calls, ['pause'])
  await exchange.next()
  t.strictSame(controller.calls, ['pause'])
  await exchange.next()
  t.strictSame(controller.calls, ['pause', 'resume'])
})

// How it fails

t.test('a refused connection is an error for whoever waits', async t => {
  const pool = await serve(t, () => {})
  const closed = new Pool('http://127.0.0.1:1')
  t.teardown(() => Promise.all([pool.destroy(), closed.destroy()]))
  const exchange = new Exchange()
  const first = failure(exchange.next())
  send(closed, exchange)
  const error = await failure(exchange.head)
  t.match(error, { code: 'ECONNREFUSED' })
  t.equal(await first, error)
  t.equal(await failure(exchange.next()), error)
})

t.test('a request that cannot be sent is an error, and none that is thrown', async t => {
  const pool = await serve(t, () => {})
  const exchange = new Exchange()
  pool.dispatch({ path: '/', method: 'GET', headers: { 'bad name': 'x' } }, exchange)
  t.match(await failure(exchange.head), { code: 'UND_ERR_INVALID_ARG' })
})

t.test('a connection that is lost before the head is an error for head and body', async t => {
  const pool = await serveRaw(t, socket => { socket.destroy() })
  const exchange = ask(pool)
  const error = await failure(exchange.head)
  t.match(error, { code: 'UND_ERR_SOCKET' })
  t.equal((await readAll(exchange)).error, error)
})

t.test('a connection that is lost behind the head is an error for the reader alone', async t => {
  const gate = deferred()
  const pool = await serveRaw(t, socket => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n')
    gate.promise.then(() => socket.destroy())
  })
  const exchange = ask(pool)
  await exchange.head
  const read = readAll(exchange)
  gate.resolve()
  t.match(await read, { body: { length: 0 }, error: { code: 'UND_ERR_SOCKET' } })
  t.equal((await exchange.head).status, 200)
})

t.test('what came before the connection was lost is read before the error', async t => {
  const failed = deferred()
  class Watched extends Exchange {
    override onResponseError (controller: Controller, error: Error): void {
      super.onResponseError(controller, error)
      failed.resolve()
    }
  }
  const pool = await serveRaw(t, socket => { socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nOne ') })
  const exchange = send(pool, new Watched())
  await failed.promise
  const { body, error } = await readAll(exchange)
  t.equal(String(body), 'One ')
  t.match(error, { code: 'UND_ERR_SOCKET' })
  t.equal(await failure(exchange.next()), error)
})

t.test('a connection that is lost while the server is paused loses nothing that came before', async t => {
  const lost = deferred()
  const paused = deferred<Socket>()
  let received = 0
  class Watched extends Exchange {
    override onResponseData (controller: Controller, chunk: Buffer): void {
      super.onResponseData(controller, chunk)
      received += chunk.length
      if (controller.paused) paused.resolve(peer!)
    }

    override onResponseError (controller: Controller, error: Error): void {
      super.onResponseError(controller, error)
      lost.resolve()
    }
  }
  let peer: Socket | undefined
  const pool = await serveRaw(t, socket => {
    peer = socket
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n')
    socket.write(Buffer.alloc(4 * KIB * KIB))
  })
  const exchange = send(pool, new Watched());
  (await paused.promise).resetAndDestroy()
  await pool.destroy()
  await lost.promise
  const { body, error } = await readAll(exchange)
  t.equal(body.length, received)
  t.type(error, Error)
})

// Abort

/** A server that answers with a head and `One ` once a test says so. */
async function serveSlowly (t: Test) {
  const [asked, closed] = [deferred<Socket>(), deferred()]
  let requests = 0
  const pool = await serveRaw(t, socket => {
    requests++
    socket.on('close', () => closed.resolve())
    asked.resolve(socket)
  })
  return {
    pool,
    asked: asked.promise,
    /** Resolves when the server sees the connection close. */
    closed: closed.promise,
    requests: () => requests,
    answer: async (exchange: Exchange) => {
      const socket = await asked.promise
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nOne ')
      await exchange.head
      return socket
    }
  }
}

t.test('what was aborted before it was handed out is never sent', async t => {
  const { pool, requests } = await serveSlowly(t)
  const exchange = new Exchange()
  const reason = new Error('superseded')
  exchange.abort(reason)
  t.equal(await failure(exchange.head), reason)
  t.equal(await failure(exchange.next()), reason)
  const disconnected = once(pool, 'disconnect')
  send(pool, exchange)
  await disconnected
  t.equal(requests(), 0)
})

t.test('what is aborted while its connection is opened is never sent, and fails at once', async t => {
  const { pool, requests } = await serveSlowly(t)
  const exchange = ask(pool)
  const reason = new Error('superseded')
  const disconnected = once(pool, 'disconnect')
  exchange.abort(reason)
  t.equal(await failure(exchange.head), reason)
  await disconnected
  t.equal(requests(), 0)
})

t.test('what is aborted before its head has come is cancelled', async t => {
  const { pool, asked, closed } = await serveSlowly(t)
  const exchange = ask(pool)
  const read = readAll(exchange)
  await asked
  const reason = new Error('superseded')
  exchange.abort(reason)
  t.equal(await failure(exchange.head), reason)
  t.equal((await read).error, reason)
  await closed
})

t.test('what is aborted in mid-body is cancelled, and fails for whoever waits', async t => {
  const { pool, answer, closed } = await serveSlowly(t)
  const exchange = ask(pool)
  await answer(exchange)
  t.equal(String((await exchange.next()).value), 'One ')
  const next = failure(exchange.next())
  const reason = new Error('superseded')
  exchange.abort(reason)
  t.equal(await next, reason)
  t.equal(await failure(exchange.next()), reason)
  t.equal((await exchange.head).status, 200)
  await closed
})

t.test('what is aborted while the server is paused is cancelled', async t => {
  const [paused, closed] = [deferred(), deferred()]
  class Watched extends Exchange {
    override onResponseData (controller: Controller, chunk: Buffer): void {
      super.onResponseData(controller, chunk)
      if (controller.paused) paused.resolve()
    }
  }
  const pool = await serveRaw(t, socket => {
    socket.on('close', () => closed.resolve())
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n')
    socket.write(Buffer.alloc(KIB * KIB))
  })
  const exchange = send(pool, new Watched())
  await paused.promise
  const reason = new Error('superseded')
  exchange.abort(reason)
  await closed.promise
  t.equal((await readAll(exchange)).error, reason)
})

t.test('an abort behind the end changes nothing, and leaves the connection in use', async t => {
  const ports = new Set<unknown>()
  const pool = await serve(t, (request, response) => {
    ports.add(request.socket.remotePort)
    response.end('Hi')
  })
  for (let i = 0; i < 2; i++) {
    const exchange = ask(pool)
    t.equal(String((await readAll(exchange)).body), 'Hi')
    exchange.abort(new Error('too late'))
    t.strictSame(await exchange.next(), { done: true, value: undefined })
    t.strictSame(await exchange.return(), { done: true, value: undefined })
    await nextLoopTurn()
  }
  t.equal(ports.size, 1)
})

t.test('an abort behind the end leaves what was not read yet', async t => {
  const exchange = new Exchange()
  const controller = newController(exchange)
  exchange.onRequestStart(controller)
  exchange.onResponseStart(controller, 200, {})
  exchange.onResponseData(controller, Buffer.from('Hi'))
  exchange.onResponseEnd()
  exchange.abort(new Error('too late'))
  t.match(await readAll(exchange), { body: Buffer.from('Hi'), error: undefined })
  t.strictSame(controller.calls, [])
})

t.test('the first abort counts', async t => {
  const { pool, asked, closed } = await serveSlowly(t)
  const exchange = ask(pool)
  await asked
  const first = new Error('first')
  exchange.abort(first)
  exchange.abort(new Error('second'))
  t.equal(await failure(exchange.head), first)
  t.equal(await failure(exchange.next()), first)
  await closed
})

for (const [name, reason] of Object.entries({ undefined, null: null })) {
  t.test(`an abort with ${name} for a reason has one of its own`, async t => {
    const { pool, answer, closed } = await serveSlowly(t)
    const exchange = ask(pool)
    await answer(exchange)
    await exchange.next()
    exchange.abort(reason)
    t.match(await failure(exchange.next()), { constructor: Error, message: 'aborted' })
    await closed
  })
}

for (const reason of ['superseded', '', 0, false, { code: 1 }, Symbol('superseded')]) {
  t.test(`an abort with ${typeof reason} ${JSON.stringify(reason) ?? ''} for a reason hands just that on`, async t => {
    const { pool, asked, closed } = await serveSlowly(t)
    const exchange = ask(pool)
    await asked
    exchange.abort(reason)
    t.equal(await failure(exchange.head.then(() => { throw new Error('no failure') })), reason)
    t.equal(await failure(exchange.next().then(() => { throw new Error('no failure') })), reason)
    await closed
  })
}

t.test('the dispatcher is given an error, whatever the reason was', async t => {
  for (const reason of [new TypeError('superseded'), 'superseded', undefined]) {
    const exchange = new Exchange()
    const controller = newController(exchange)
    exchange.onRequestStart(controller)
    exchange.abort(reason)
    exchange.abort(reason)
    t.match(controller.calls, { length: 1 })
    if (reason instanceof Error) t.equal(controller.calls[0], reason)
    else t.match(controller.calls[0], { constructor: Error, message: 'aborted' })
    await failure(exchange.head)
  }
})

t.test('leaving the iteration cancels the request', async t => {
  const { pool, answer, closed } = await serveSlowly(t)
  const exchange = ask(pool)
  await answer(exchange)
  const read: string[] = []
  for await (const chunk of exchange) {
    read.push(String(chunk))
    if (read.length === 1) break
  }
  t.strictSame(read, ['One '])
  await closed
  t.match(await failure(exchange.next()), { message: 'the reader left' })
})

t.test('what is thrown inside the iteration cancels the request', async t => {
  const { pool, answer, closed } = await serveSlowly(t)
  const exchange = ask(pool)
  await answer(exchange)
  const error = new Error('no JSON')
  t.equal(await failure((async () => {
    for await (const chunk of exchange) if (chunk.length > 0) throw error
  })()), error)
  await closed
})

t.test('closing the pool ends what is under way', async t => {
  const { pool, answer } = await serveSlowly(t)
  const exchange = ask(pool)
  await answer(exchange)
  await exchange.next()
  const next = failure(exchange.next())
  await pool.destroy()
  t.match(await next, { code: 'UND_ERR_DESTROYED' })
  t.match(await failure(ask(pool).head), { code: 'UND_ERR_DESTROYED' })
})

// Handed out twice

t.test('a request that was lost without an answer may be handed out again, and is aborted where it is then', async t => {
  const exchange = new Exchange()
  const [first, second] = [newController(exchange), newController(exchange)]
  exchange.onRequestStart(first)
  exchange.onRequestStart(second)
  exchange.onResponseStart(second, 200, {})
  t.equal((await exchange.head).status, 200)
  exchange.onResponseData(second, Buffer.alloc(300 * KIB))
  await exchange.next()
  exchange.abort(new Error('superseded'))
  t.strictSame(first.calls, [])
  t.match(second.calls, ['pause', 'resume', { message: 'superseded' }])
})

t.test('a request that was aborted when it is handed out again is not sent again', async t => {
  const exchange = new Exchange()
  const [first, second] = [newController(exchange), newController(exchange)]
  exchange.onRequestStart(first)
  exchange.abort(new Error('superseded'))
  exchange.onRequestStart(second)
  t.match(second.calls, [{ message: 'aborted' }])
  t.match(await failure(exchange.head), { message: 'superseded' })
})

// Any order

t.test('whatever ends it, a rejection that nobody waits for is not left unhandled', async t => {
  const unhandled = unhandledRejections(t)
  const ways: Record<string, (exchange: Exchange, controller: ReturnType<typeof newController>) => void> = {
    'aborted before it was sent': exchange => exchange.abort(new Error('gone')),
    'left before it was sent': exchange => { exchange.return() },
    failed: (exchange, controller) => {
      exchange.onRequestStart(controller)
      exchange.onResponseError(controller, new Error('lost'))
    },
    'failed behind the head': (exchange, controller) => {
      exchange.onRequestStart(controller)
      exchange.onResponseStart(controller, 200, {})
      exchange.onResponseError(controller, new Error('lost'))
    },
    'aborted under way': (exchange, controller) => {
      exchange.onRequestStart(controller)
      exchange.abort(undefined)
    }
  }
  for (const [name, end] of Object.entries(ways)) {
    const exchange = new Exchange()
    end(exchange, newController(exchange))
    await nextLoopTurn()
    t.strictSame(unhandled.splice(0), [], name)
  }
})

t.test('in whatever order things happen, what came is read in order and once, and then its end', async t => {
  const unhandled = unhandledRejections(t)
  const step = fc.constantFrom('start', 'informational', 'head', 'data', 'data', 'end', 'error', 'abort', 'leave', 'next', 'next')
  const sizes = fc.infiniteStream(fc.integer({ min: 1, max: 400 }))
  await t.resolves(fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 24 }), sizes, async (steps, sizes) => {
    const exchange = new Exchange()
    const controller = newController(exchange)
    const head = exchange.head.then(({ status }) => status, (error: Error) => error.message)
    const sent: Buffer[] = []
    const read: Buffer[] = []
    let [isStarted, hasHead, isReading] = [false, false, false]
    /** How it ends for the reader: the first that happens counts. */
    let end: string | undefined
    const next = async (): Promise<void> => {
      if (isReading) return // it is made for one
      isReading = true
      const step = await exchange.next().then(({ done, value }) => done ? 'end' : value as Buffer, (error: Error) => error.message)
      isReading = false
      if (typeof step === 'string') t.equal(step, end)
      else read.push(step)
    }
    const happen: Record<string, () => void> = {
      start: () => {
        if (isStarted) return
        isStarted = true
        exchange.onRequestStart(controller)
      },
      informational: () => { if (isLive() && !hasHead) exchange.onResponseStart(controller, 103, { link: '</a>' }) },
      head: () => {
        if (!isLive() || hasHead) return
        hasHead = true
        exchange.onResponseStart(controller, 200, {})
      },
      data: () => {
        if (!isLive() || !hasHead || controller.paused) return
        const chunk = Buffer.alloc(sizes.next().value! * KIB)
        sent.push(chunk)
        exchange.onResponseData(controller, chunk)
      },
      end: () => {
        if (!isLive() || !hasHead || controller.paused) return
        end = 'end'
        exchange.onResponseEnd()
      },
      error: () => {
        if (!isLive()) return
        end = 'lost'
        exchange.onResponseError(controller, new Error('lost'))
      },
      abort: () => {
        end ??= 'superseded'
        exchange.abort(new Error('superseded'))
      },
      leave: () => {
        end ??= 'the reader left'
        exchange.return()
      },
      next
    }
    const isLive = () => isStarted && end === undefined
    for (const step of steps) {
      happen[step]?.()
      await Promise.resolve()
    }
    happen['abort']?.()
    await nextLoopTurn()
    t.equal(isReading, false, 'nobody is left waiting')
    while (read.length < sent.length) await next()
    await next()
    t.ok(read.length === sent.length && read.every((chunk, i) => chunk === sent[i]))
    t.equal(await head, hasHead ? 200 : end)
    t.equal(controller.aborted, isStarted && end !== 'end' && end !== 'lost')
  })))
  await nextLoopTurn()
  t.strictSame(unhandled, [])
})
