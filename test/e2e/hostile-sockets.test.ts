import { EventEmitter, once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { mock } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { FastifyServerOptions } from 'fastify'
import websocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { type Agent, type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp, deferred } from '../helpers/app.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import {
  CLOSE, closeCodeIn, CONTINUATION_LAST, CONTINUATION_UNFINISHED, PING, PONG, rawFrame, rawHeader, RawPeer, TEXT, TEXT_UNFINISHED, upgradeRequest
} from '../helpers/raw-peer.js'

/** Stands in whatever a stranger sends, and in no log line that an operator reads. */
const CANARY = 'canary-91c2'

const KIB = 1024
const MIB = 1024 * KIB

/** What an app that registers @fastify/websocket itself is advised to set, which is what the plugin's own has. */
const ADVISED = { maxPayload: 8 * MIB, maxBufferedChunks: 16 * KIB, maxFragments: 4 * KIB }

const LAYOUTS = ['the plugin\'s own', 'the app\'s own'] as const

setEnv(t)

interface Setup {
  readonly layout?: typeof LAYOUTS[number]
  readonly agent?: Agent
  readonly options?: VoiceAgentOptions
  readonly server?: FastifyServerOptions
  /** Has a hook of the app that never ends for requests with the header `x-hang`. */
  readonly hang?: boolean
}

const counting: Agent = turn => turn.reason === 'greeting' ? 'Hello.' : `${turn.messages.at(-1)?.content?.length}`

/** A listening app, and a well-behaved call that goes on beside whatever is done to it. */
async function listen (t: Test, { layout, agent = counting, options = {}, server = {}, hang = false }: Setup = {}) {
  const { app, logs } = createApp(t, 'trace', server)
  app.decorate('agent', agent)
  if (hang) app.addHook('preHandler', async ({ headers }) => headers['x-hang'] && await new Promise(() => {}))
  if (layout === 'the app\'s own') await app.register(websocket, { options: ADVISED })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' }, ...options })
  app.get('/plain', async () => 'plain')
  const sockets = new Set<Socket>()
  const changes = new EventEmitter().setMaxListeners(0)
  app.server.on('connection', (socket: Socket) => {
    // One that would rather speak HTTP/2 comes again.
    if (sockets.has(socket)) return
    sockets.add(socket)
    changes.emit('change')
    socket.once('close', () => {
      sockets.delete(socket)
      changes.emit('change')
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const witness = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/witness`)
  witness.send(retell.details())
  await witness.response(0)
  let asked = 0

  async function answers (): Promise<void> {
    witness.send(retell.request(++asked, 'Hello'))
    t.equal((await witness.response(asked)).map(({ content }) => content ?? '').join(''), '5', 'another call is answered')
  }

  return {
    app,
    logs,
    port,
    sockets,
    answers,
    /** Resolves once so many connections are open in the server. */
    async open (count: number): Promise<void> {
      while (sockets.size !== count) await once(changes, 'change')
    },
    /** Nobody is left but the call beside, which is answered; the app closes; nothing that was sent is logged. */
    async unharmed (): Promise<void> {
      while (sockets.size > 1) await once(changes, 'change')
      t.equal(app.calls.size, 1, 'no other call is left')
      await answers()
      await app.close()
      t.strictSame(logs.filter(line => line.level >= 30 && JSON.stringify(line).includes(CANARY)), [])
      t.strictSame(logs.filter(line => line.level >= 50), [])
    }
  }
}

const repeated = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array<Buffer>(count).fill(bytes))

// Fragments and frames

const FRAGMENT_FLOODS: ReadonlyArray<readonly [name: string, code: number, bytes: () => Buffer[]]> = [
  ['100,000 fragments of one byte', 1008, () => [rawFrame(TEXT_UNFINISHED, 'x'), repeated(100_000, rawFrame(CONTINUATION_UNFINISHED, 'x'))]],
  ['100,000 empty fragments', 1008, () => [rawFrame(TEXT_UNFINISHED, ''), repeated(100_000, rawFrame(CONTINUATION_UNFINISHED, ''))]],
  ['a fragment more than a message may have', 1008, () => [
    rawFrame(TEXT_UNFINISHED, CANARY), repeated(4 * KIB - 1, rawFrame(CONTINUATION_UNFINISHED, 'x')), rawFrame(CONTINUATION_LAST, 'x')
  ]],
  ['more than 8 MiB in fragments', 1009, () => [rawFrame(TEXT_UNFINISHED, CANARY), repeated(2 * KIB, rawFrame(CONTINUATION_UNFINISHED, Buffer.alloc(4 * KIB, 'x')))]],
  ['pings between fragments without end', 1008, () => [
    rawFrame(TEXT_UNFINISHED, CANARY), repeated(1_001, Buffer.concat([rawFrame(CONTINUATION_UNFINISHED, 'x'), rawFrame(PONG, Buffer.alloc(125, CANARY))]))
  ]]
]

const BROKEN_FRAMES: ReadonlyArray<readonly [name: string, code: number, bytes: () => Buffer[]]> = [
  ['text that is not UTF-8', 1007, () => [rawFrame(TEXT, Buffer.concat([Buffer.from(CANARY), Buffer.from([0xc0, 0xaf])]))]],
  ['an unmasked frame', 1002, () => [Buffer.from([TEXT, CANARY.length]), Buffer.from(CANARY)]],
  ['a reserved opcode', 1002, () => [rawFrame(0x83, CANARY)]],
  ['a reserved control opcode', 1002, () => [rawFrame(0x8f, CANARY)]],
  ['a compressed frame', 1002, () => [rawFrame(TEXT | 0x40, CANARY)]],
  ['a close code that nobody may send', 1002, () => [rawFrame(CLOSE, Buffer.from([0x03, 0xee]))]],
  ['a close reason that is not UTF-8', 1007, () => [rawFrame(CLOSE, Buffer.from([0x03, 0xe8, 0xff]))]],
  ['a ping of 126 bytes', 1002, () => [rawFrame(PING, Buffer.alloc(126, CANARY))]],
  ['a message within a message', 1002, () => [rawFrame(TEXT_UNFINISHED, CANARY), rawFrame(TEXT, CANARY)]]
]

for (const layout of LAYOUTS) {
  t.test(`with @fastify/websocket of ${layout}`, async t => {
    for (const [name, code, bytes] of [...FRAGMENT_FLOODS, ...BROKEN_FRAMES]) {
      await t.test(`${name}: that socket is closed, and no other`, async t => {
        const { port, unharmed } = await listen(t, { layout })
        const peer = await RawPeer.upgraded(t, port)
        peer.write(Buffer.concat(bytes()))
        t.equal(closeCodeIn(await peer.closed), code)
        await unharmed()
      })
    }

    await t.test('a frame in more pieces than a network makes of it: that socket is closed, and no other', async t => {
      const { port, sockets, unharmed } = await listen(t, { layout })
      const peer = await RawPeer.upgraded(t, port)
      const [, served] = sockets
      served!.emit('data', rawHeader(MIB))
      // As they would come, one by one.
      for (let n = 0; n <= 16 * KIB; n++) served!.emit('data', Buffer.from('x'))
      t.equal(closeCodeIn(await peer.closed), 1008)
      await unharmed()
    })

    await t.test('a message of as many fragments as it may have is read', async t => {
      const { port, unharmed } = await listen(t, { layout })
      const peer = await RawPeer.upgraded(t, port)
      const words = 'x'.repeat(4 * KIB)
      const frame = JSON.stringify(retell.request(1, words))
      const [head = '', tail = ''] = frame.split(words)
      peer.write(Buffer.concat([
        rawFrame(TEXT_UNFINISHED, head), rawFrame(PING, 'between'), ...Array.from({ length: 4 * KIB - 2 }, () => rawFrame(CONTINUATION_UNFINISHED, 'x')),
        rawFrame(CONTINUATION_LAST, `xx${tail}`)
      ]))
      await peer.heard(/"content":"4096","content_complete":true|"content":"4096"[^]*"content_complete":true/)
      t.match(peer.text, /between/, 'the ping is answered')
      peer.socket.destroy()
      await unharmed()
    })

    for (const [name, first] of [['pings', PING], ['pongs', PONG]] as const) {
      await t.test(`a peer that sends ${name} and little else is read no more, however slowly it does`, async t => {
        const { port, app, unharmed } = await listen(t, { layout })
        const peer = await RawPeer.upgraded(t, port)
        peer.write(rawFrame(TEXT, JSON.stringify(retell.details())))
        // No more at once than a peer is answered that reads.
        for (let sent = 0; sent < 1_000; sent += 50) {
          peer.write(Buffer.concat([repeated(50, rawFrame(first, '')), rawFrame(TEXT, JSON.stringify(retell.ping(sent)))]))
          if (sent < 950) await peer.heard(new RegExp(`"timestamp":${sent}\\b`))
        }
        await peer.heard(/we have to end our call here/)
        t.equal(app.calls.refusals.maxFramesPerSecond, 1)
        peer.socket.destroy()
        await unharmed()
      })
    }

    await t.test('a peer that pings faster than it reads is dropped', async t => {
      const { port, unharmed } = await listen(t, { layout })
      const peer = await RawPeer.upgraded(t, port)
      peer.write(repeated(10_000, rawFrame(PING, '')))
      await peer.closed
      await unharmed()
    })

    await t.test('compression is not agreed to', async t => {
      const { port, unharmed } = await listen(t, { layout })
      for (const offer of ['permessage-deflate', 'permessage-deflate; client_max_window_bits; server_max_window_bits=8', 'permessage-deflate; client_max_window_bits=99,,;;']) {
        const peer = new RawPeer(t, port)
        peer.write(upgradeRequest('/llm-websocket/zip', { 'Sec-WebSocket-Extensions': offer }))
        await peer.heard(/^HTTP\/1\.1 101 [^]*\r\n\r\n/)
        t.notMatch(peer.text, /extensions/i)
        // A bomb, as it would be sent if it were.
        peer.write(rawFrame(TEXT | 0x40, Buffer.from([0x4a, 0x4c, 0x04, 0x00])))
        t.equal(closeCodeIn(await peer.closed), 1002)
      }
      await unharmed()
    })

    await t.test('who resets the connection, or ends its side of it, in the middle of anything is gone', async t => {
      const { port, unharmed } = await listen(t, { layout })
      const beginnings = ['', 'GET', upgradeRequest('/llm-websocket/cut').slice(0, -2), upgradeRequest('/llm-websocket/cut')]
      const frames = [rawFrame(TEXT, JSON.stringify(retell.request(1, CANARY))), rawFrame(TEXT_UNFINISHED, CANARY), rawHeader(MIB)]
      for (const leave of ['resetAndDestroy', 'end'] as const) {
        for (const beginning of beginnings) {
          const peer = new RawPeer(t, port)
          await once(peer.socket, 'connect')
          peer.write(beginning)
          peer.socket[leave]()
          await peer.closed
        }
        for (const frame of frames) {
          const peer = await RawPeer.upgraded(t, port)
          peer.write(frame.subarray(0, -1))
          peer.write(frame.subarray(-1))
          peer.socket[leave]()
          await peer.closed
        }
      }
      await unharmed()
    })

    await requests(t, layout)

    await t.test('an upgrade that nobody answers is hung up on, and has no place among the calls any more', async t => {
      for (const closes of [false, true]) {
        await t.test(closes ? 'when the app closes' : 'after 10 s', async t => {
          const { app, port, sockets, open, answers, unharmed } = await listen(t, { layout, options: { limits: { maxUnstartedCalls: 3 } }, hang: true })
          if (!closes) mock.timers.enable({ apis: ['setTimeout'] })
          t.teardown(() => mock.timers.reset())
          const peers = Array.from({ length: 4 }, () => new RawPeer(t, port))
          // It hangs in a hook, its URL is none, and it came before what it came behind was answered.
          peers[0]!.write(upgradeRequest('/llm-websocket/hang', { 'X-Hang': CANARY }))
          peers[1]!.write(upgradeRequest('/llm-websocket/hang', { 'X-Hang': CANARY }))
          peers[2]!.write(upgradeRequest('/llm-websocket/%zz'))
          peers[3]!.write(`GET /plain HTTP/1.1\r\nHost: x\r\n\r\n${upgradeRequest('/llm-websocket/behind')}`)
          await peers[2]!.heard(/ 400 /)
          await peers[3]!.heard(/plain$/)
          await open(5)
          // Gone without a word, which nobody notices.
          peers[1]!.socket.destroy()
          if (closes) {
            await app.close()
            await Promise.all(peers.map(({ closed }) => closed))
            return
          }
          const refused = new RawPeer(t, port)
          refused.write(upgradeRequest('/llm-websocket/one-too-many', { 'X-Hang': CANARY }))
          await answers()
          mock.timers.tick(10_000)
          await Promise.all(peers.map(({ closed }) => closed))
          refused.socket.destroy()
          await once(refused.socket, 'close')
          mock.timers.tick(10_000)
          await open(1)
          const next = await RawPeer.upgraded(t, port, '/llm-websocket/next')
          t.equal(sockets.size, 2)
          next.socket.destroy()
          mock.timers.reset()
          await unharmed()
        })
      }
    })

    await t.test('an admitted peer that never sends a whole frame is closed after 30 s, whatever else it does', async t => {
      mock.timers.enable({ apis: ['setInterval'] })
      t.teardown(() => mock.timers.reset())
      const { port, sockets, unharmed } = await listen(t, { layout })
      const silent = await RawPeer.upgraded(t, port, '/llm-websocket/silent')
      const loris = await RawPeer.upgraded(t, port, '/llm-websocket/loris')
      const fragments = await RawPeer.upgraded(t, port, '/llm-websocket/fragments')
      const served = [...sockets].slice(2)
      loris.write(rawHeader(MIB))
      fragments.write(rawFrame(TEXT_UNFINISHED, '{'))
      for (let ms = 5_000; ms <= 30_000; ms += 5_000) {
        const came = Promise.all(served.map(socket => once(socket, 'data')))
        loris.write('x')
        fragments.write(Buffer.concat([rawFrame(CONTINUATION_UNFINISHED, ' '), rawFrame(PONG, '')]))
        await came
        t.strictSame([silent, loris, fragments].map(({ socket }) => socket.closed), [false, false, false])
        mock.timers.tick(5_000)
      }
      for (const peer of [silent, loris, fragments]) t.equal(closeCodeIn(await peer.closed), 1008)
      await unharmed()
    })

    await t.test('a peer that drips a frame for ever, and answers nothing meanwhile, is dropped after 60 s', async t => {
      mock.timers.enable({ apis: ['setInterval'] })
      t.teardown(() => mock.timers.reset())
      const { app, port, sockets, unharmed } = await listen(t, { layout })
      const peer = await RawPeer.upgraded(t, port)
      peer.write(rawFrame(TEXT, JSON.stringify(retell.details())))
      await peer.heard(/Hello\./)
      const [witness, served] = sockets
      peer.write(rawHeader(MIB))
      for (let ms = 5_000; ms <= 60_000; ms += 5_000) {
        const came = once(served!, 'data')
        peer.write('x')
        await came
        t.equal(app.calls.size, 2)
        const heard = once(witness!, 'data')
        mock.timers.tick(5_000)
        if (ms % 20_000 === 0) await heard
      }
      t.equal(closeCodeIn(await peer.closed), undefined)
      await unharmed()
    })

    await t.test('peers that never read are waited for, with no more than they may have, and dropped', async t => {
      mock.timers.enable({ apis: ['setInterval'] })
      t.teardown(() => mock.timers.reset())
      let ended = 0
      const over = deferred()
      const peersCount = 20
      const { port, sockets, unharmed } = await listen(t, {
        layout,
        async * agent (turn) {
          if (!turn.messages.some(({ content }) => content === CANARY)) return yield turn.reason === 'greeting' ? 'Hello.' : '5'
          for (const piece = 'x'.repeat(64 * KIB); ;) yield piece
        },
        options: { deadlines: { turnMs: 0 }, onCallEnd () { if (++ended === peersCount) over.resolve() } }
      })
      for (let n = 0; n < peersCount; n++) {
        const peer = await RawPeer.upgraded(t, port, `/llm-websocket/deaf_${n}`)
        peer.socket.pause()
        peer.write(rawFrame(TEXT, JSON.stringify(retell.request(1, CANARY))))
      }
      // What the kernel takes is not held by the process.
      const held = (): number => [...sockets].reduce((bytes, socket) => bytes + socket.writableLength, 0)
      while (held() < peersCount * 64 * KIB) await setImmediate()
      // Whoever would go on writing does so now.
      for (let n = 0; n < 1_000; n++) await setImmediate()
      t.ok(held() < peersCount * MIB, `${held()} bytes are held`)
      for (let ms = 5_000; ms <= 60_000; ms += 5_000) {
        mock.timers.tick(5_000)
        await setImmediate()
      }
      await over.promise
      await unharmed()
    })
  })
}

// Connections on which nothing is asked

const HALVES = ['', 'GET', `GET /llm-websocket/${CANARY} HTTP/1.1\r\nHost: x\r\n`]

t.test('a thousand connections that ask for nothing, or half of it, keep no caller out', async t => {
  const { app, port, open } = await listen(t, { server: { forceCloseConnections: true } })
  t.equal(app.server.headersTimeout, 60_000, 'Node hangs up on them after a minute')
  const peers = Array.from({ length: 1_000 }, (_, n) => {
    const peer = new RawPeer(t, port)
    peer.write(HALVES[n % HALVES.length]!)
    return peer
  })
  await open(1_001)
  const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/among-them`)
  caller.send(retell.details(), retell.request(1, 'Hello'))
  t.match((await caller.response(1)).at(-1), { content_complete: true })
  caller.socket.terminate()
  await open(1_001)
  await app.close()
  await Promise.all(peers.map(({ closed }) => closed))
})

t.test('they are answered 408 after `headersTimeout`, and a call is not', async t => {
  const { port, unharmed } = await listen(t, { server: { http: { headersTimeout: 50, connectionsCheckingInterval: 20 } } as FastifyServerOptions })
  const peers = HALVES.map(half => {
    const peer = new RawPeer(t, port)
    peer.write(half)
    return peer
  })
  for (const { closed } of peers) t.match(String(await closed), /^HTTP\/1\.1 408 /)
  await unharmed()
})

t.test('they are hung up on after `connectionTimeout`, also while the app closes, and a call is not', async t => {
  const { app, port, sockets, open, answers } = await listen(t, { server: { connectionTimeout: 50 } })
  const [witness] = sockets
  t.equal(witness!.timeout, 0)
  const first = new RawPeer(t, port)
  await first.closed
  await answers()
  const peers = HALVES.map(half => {
    const peer = new RawPeer(t, port)
    peer.write(half)
    return peer
  })
  await open(4)
  await app.close()
  await Promise.all(peers.map(({ closed }) => closed))
})

// Requests

async function requests (t: Test, layout: typeof LAYOUTS[number]): Promise<void> {
  const at = '/llm-websocket/asks'
  const up = upgradeRequest
  /** What is answered; `closes` where the server hangs up by itself, without a word where the status is 0. */
  const cases: ReadonlyArray<readonly [name: string, status: number, closes: boolean, bytes: string]> = [
    ['a header of 17 KiB', 431, true, up(at, { 'X-Long': CANARY.repeat(1_600) })],
    ['a URL of 100 KiB', 431, true, up(`${at}${CANARY.repeat(10_000)}`)],
    ['2,000 headers', 431, true, `${up(at).slice(0, -2)}${'a:b\r\n'.repeat(2_000)}\r\n`],
    ['2,000 headers, and only then those of an upgrade', 431, true, up(at).replace('Host', `${'a:b\r\n'.repeat(2_000)}Host`)],
    ['a bare CR in a header', 400, true, up(at, { 'X-Split': `${CANARY}\rX-Injected: 1` })],
    ['a NUL in a header', 400, true, up(at, { 'X-Nul': `${CANARY}\0` })],
    ['a folded header', 400, true, up(at, { 'X-Folded': `${CANARY}\r\n folded` })],
    ['a header without a colon', 400, true, up(at).replace('Host', `${CANARY}\r\nHost`)],
    ['bare line feeds', 400, true, up(at).replaceAll('\r\n', '\n')],
    ['headers by the names of the prototype', 101, false, up(at, { constructor: CANARY }).replace('Host', `__proto__: ${CANARY}\r\nHost`)],
    ['a body', 101, true, `${up(at, { 'Content-Length': '64' })}${CANARY.repeat(5)}`],
    ['a chunked body', 101, true, `${up(at, { 'Transfer-Encoding': 'chunked' })}5\r\nhello\r\n0\r\n\r\n`],
    ['two lengths of a body', 400, true, `${up(at, { 'Transfer-Encoding': 'chunked', 'Content-Length': '3' })}5\r\nhello\r\n0\r\n\r\n`],
    ['a request behind the upgrade', 101, true, `${up(at)}GET /plain HTTP/1.1\r\nHost: x\r\n\r\n`],
    ['two upgrades on one connection', 101, true, up(at) + up(at)],
    ['an upgrade behind a request', 200, false, `GET /plain HTTP/1.1\r\nHost: x\r\n\r\n${up(at)}`],
    ['HTTP/2', 400, true, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS', 400, true, '\x16\x03\x01\x02\x00\x01\x00'],
    ['HTTP/3.7', 400, true, up(at).replace('HTTP/1.1', 'HTTP/3.7')],
    ['a wrong version', 400, true, up(at, { 'Sec-WebSocket-Version': '7' })],
    ['no version', 400, true, up(at, { 'Sec-WebSocket-Version': undefined })],
    ['a key that is none', 400, true, up(at, { 'Sec-WebSocket-Key': CANARY })],
    ['no key', 400, true, up(at, { 'Sec-WebSocket-Key': undefined })],
    ['a protocol list that is none', 400, true, up(at, { 'Sec-WebSocket-Protocol': `${CANARY},,` })],
    ['a connection that is not to be upgraded', 426, true, up(at, { Connection: 'keep-alive' })],
    ['no Host', 101, false, up(at, { Host: undefined })],
    ['a URL with an authority', 101, false, up(`http://${CANARY}${at}`)],
    ['CONNECT', 0, true, up('x:443', {}, 'CONNECT')],
    ['POST', 404, layout === 'the app\'s own', up(at, {}, 'POST')],
    ['a NUL in the URL', 400, true, up(`${at}\0`)],
    ['bytes above ASCII in the URL', 400, true, up(`${at}\xff`)],
    ['an encoded NUL in a call id', 400, true, up(`${at}%00`)],
    ['an encoded line break in a call id', 400, true, up(`${at}%0d%0aX-Injected:1`)],
    ['an encoded slash in a call id', 400, true, up(`${at}%2fb`)],
    ['a slash encoded twice', 400, true, up(`${at}%252fb`)],
    ['a way out of the path', 400, true, up('/llm-websocket/../millis')],
    ['an encoded way out of the path', 400, true, up('/llm-websocket/%2e%2e/millis')],
    ['a way out with a backslash', 400, true, up('/llm-websocket/..\\millis')],
    ['two dots for a call id', 400, true, up('/llm-websocket/..')],
    ['overlong UTF-8', 400, false, up(`${at}%c0%af`)],
    ['broken percent-encoding', 400, false, up(`${at}%zz`)],
    ['a call id of 257 characters', 400, true, up(`/llm-websocket/${'x'.repeat(257)}`)],
    ['a call id by the name of the prototype', 101, false, up('/llm-websocket/__proto__')]
  ]
  await t.test('requests of all sorts are answered or refused, and hold nothing up', async t => {
    const { port, answers, unharmed } = await listen(t, { layout })
    mock.timers.enable({ apis: ['setTimeout'] })
    t.teardown(() => mock.timers.reset())
    for (const [name, status, closes, bytes] of cases) {
      const peer = new RawPeer(t, port)
      peer.write(bytes)
      if (closes) await peer.closed
      else await peer.heard(/\r\n\r\n/)
      t.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(peer.text)?.[1] ?? 0), status, name)
      t.notMatch(peer.text.split('\r\n\r\n')[0], /injected/i, 'no header of theirs comes back')
      peer.socket.destroy()
      await answers()
    }
    // Some of them nobody reads, not even that they have gone.
    mock.timers.tick(10_000)
    mock.timers.reset()
    await unharmed()
  })
}

t.test('who asks a hundred times to go on in HTTP/2 is served in HTTP/1.1 a hundred times, and nothing piles up', async t => {
  const { port, sockets, unharmed } = await listen(t)
  const peer = new RawPeer(t, port)
  const warnings: Error[] = []
  const warned = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', warned)
  t.teardown(() => process.off('warning', warned))
  const listeners: number[] = []
  for (let n = 1; n <= 100; n++) {
    peer.write('GET /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n')
    while (peer.text.split('\r\n\r\nplain').length <= n) await once(peer.socket, 'data')
    const [, served] = sockets
    listeners.push(served!.eventNames().reduce((all, name) => all + served!.listenerCount(name), 0))
  }
  t.equal(listeners.at(-1), listeners[1], 'listeners of the socket')
  t.strictSame(warnings, [])
  peer.socket.destroy()
  await unharmed()
})
