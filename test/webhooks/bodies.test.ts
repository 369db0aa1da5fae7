/**
 * Bodies of strangers, over raw sockets: how many are read at once, how much of them, and for how long.
 */
import { PassThrough, Readable } from 'node:stream'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { deferred } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'
import { setEnv } from '../helpers/env.js'
import { RawPeer } from '../helpers/raw-peer.js'
import { BEARER, signed, withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

const MIB = 1024 * 1024
const MADE_UP = '0'.repeat(64)

type Payload = Readable & { receivedEncodedLength?: number }

/** An app on a port, which says when the bodies of so many requests are being read. */
async function open (t: Test, preParsing = async (payload: Payload): Promise<Payload> => payload) {
  const seen = { bodies: 0 }
  let next = deferred()
  const { app, logs, told } = await withWebhooks(t, { retell: { allowlist: '' } }, {
    before: (app: FastifyInstance) => app.addHook('preParsing', async (_request, _reply, payload) => {
      seen.bodies++
      next.resolve()
      return await preParsing(payload)
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  /** Resolves once the bodies of so many requests are being read, or refused. */
  const read = async (count: number): Promise<void> => {
    while (seen.bodies < count) {
      await next.promise
      next = deferred()
    }
    await nextLoopTurn()
  }
  const begin = (headers: Record<string, string | number>, body: string | Buffer = '', path = '/webhooks/retell'): RawPeer => {
    const peer = new RawPeer(t, port)
    const all = { Host: 'x', 'Content-Type': 'application/json', 'X-Retell-Signature': `v=${Date.now()},d=${MADE_UP}`, ...headers }
    const head = `POST ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
    peer.write(Buffer.concat([Buffer.from(head), Buffer.from(body)]))
    return peer
  }
  /** Sends a whole body that Retell signed, and resolves with the status. */
  const genuine = async (body = JSON.stringify({ event: 'transcript_updated', call: { call_id: 'call_1' } }), headers: Record<string, string | number> = { 'Content-Length': Buffer.byteLength(body) }): Promise<string> => {
    const peer = begin({ ...headers, 'X-Retell-Signature': signed(body)['x-retell-signature']! }, body)
    return await answer(peer)
  }
  return { app, logs, told, read, begin, genuine }
}

/** The head of the answer. */
async function answer (peer: RawPeer): Promise<string> {
  await peer.heard(/^HTTP\/1\.1 \d{3} [^]*?\r\n\r\n/)
  return peer.text
}

const chunk = (bytes: string | Buffer): Buffer => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), Buffer.from(bytes), Buffer.from('\r\n')])

t.test('a body with a made-up signature that drips is refused with 408 after 10 s, and its connection is closed', async t => {
  const { begin, read, genuine } = await open(t)
  const { pass } = useClock(t)
  const bodies = [begin({ 'Content-Length': 8 * MIB }, ' '), begin({ 'Transfer-Encoding': 'chunked' }, chunk(' '))]
  await read(2)
  await pass(9_999)
  bodies[0]!.write(' ')
  bodies[1]!.write(chunk(' '))
  await nextLoopTurn()
  t.strictSame(bodies.map(({ text }) => text), ['', ''])
  await pass(1)
  for (const body of bodies) {
    t.match(String(await body.closed), /^HTTP\/1\.1 408 [^]*"VOICE_AGENT_ERR_WEBHOOK_TIMEOUT"[^]*The webhook was not there within 10 s/)
  }
  t.match(await genuine(), /^HTTP\/1\.1 204 /)
})

t.test('eight bodies are read at once, and others are refused with 503 and Retry-After until there is room', async t => {
  const { begin, read, genuine } = await open(t)
  const bodies = Array.from({ length: 8 }, () => begin({ 'Content-Length': 100 }, ' '))
  await read(8)
  const refused = await genuine()
  t.match(refused, /^HTTP\/1\.1 503 /)
  t.match(refused, /retry-after: 1\r\n/i)
  t.match(refused, /connection: close\r\n/i)
  t.match(refused, '"code":"VOICE_AGENT_ERR_WEBHOOK_LIMIT"')
  // What Millis sends is known by its header.
  t.match(await answer(begin({ 'Content-Length': 2, Authorization: BEARER.authorization }, '{}', '/webhooks/millis')), /^HTTP\/1\.1 204 /)
  // One is there, and is not signed.
  bodies[0]!.write(' '.repeat(99))
  t.match(await answer(bodies[0]!), /^HTTP\/1\.1 401 /)
  t.match(await genuine(), /^HTTP\/1\.1 204 /)
})

t.test('a body whose sender hangs up makes room', async t => {
  const { begin, read, genuine } = await open(t)
  const bodies = Array.from({ length: 8 }, () => begin({ 'Content-Length': 100 }, ' '))
  await read(8)
  bodies[0]!.socket.destroy()
  await bodies[0]!.closed
  // The server hears of it in its own time.
  while (!(await genuine()).startsWith('HTTP/1.1 204 ')) await nextLoopTurn()
})

t.test('16 MiB are kept at once, by the sizes that are announced, or by what is there', async t => {
  const { begin, read, genuine } = await open(t)
  const announced = [begin({ 'Content-Length': 8 * MIB }), begin({ 'Content-Length': 7 * MIB })]
  await read(2)
  t.match(await genuine(), /^HTTP\/1\.1 204 /)
  const growing = begin({ 'Transfer-Encoding': 'chunked' }, chunk(Buffer.alloc(100_000)))
  await read(4)
  growing.write(chunk(Buffer.alloc(MIB)))
  t.match(await answer(growing), /^HTTP\/1\.1 503 [^]*retry-after: 1\r\n/i)
  t.match(await answer(begin({ 'Content-Length': 2 * MIB })), /^HTTP\/1\.1 503 /)
  for (const body of announced) body.socket.destroy()
  await Promise.all(announced.map(({ closed }) => closed))
  t.match(await genuine(), /^HTTP\/1\.1 204 /)
})

t.test('a genuine body of 8 MiB arrives, in whatever pieces', async t => {
  const { app, begin, told } = await open(t)
  const empty = JSON.stringify({ event: 'call_analyzed', call: { call_id: 'call_1', transcript: '' } })
  const bodyOf = (id: string): string => empty.replace('call_1', id).replace('"transcript":""', `"transcript":"${'x'.repeat(8 * MIB - empty.length)}"`)
  t.equal(bodyOf('call_1').length, 8 * MIB)
  for (const [id, length, pieces] of [['call_2', true, [8 * MIB]], ['call_3', true, [1, 70_000, MIB]], ['call_4', false, [1, 70_000, MIB]]] as const) {
    const body = bodyOf(id)
    const peer = begin({ 'X-Retell-Signature': signed(body)['x-retell-signature']!, ...(length ? { 'Content-Length': body.length } : { 'Transfer-Encoding': 'chunked' }) })
    for (let at = 0, i = 0; at < body.length; i++) {
      const piece = body.slice(at, at += pieces[i % pieces.length]!)
      peer.write(length ? piece : chunk(piece))
    }
    if (!length) peer.write(chunk(''))
    t.match(await answer(peer), /^HTTP\/1\.1 204 /, id)
  }
  const tooLong = begin({ 'Transfer-Encoding': 'chunked' }, chunk(Buffer.alloc(8 * MIB)))
  tooLong.write(chunk(' '))
  t.match(await answer(tooLong), /^HTTP\/1\.1 413 /)
  await app.close()
  t.strictSame(told.map(({ callId }) => callId), ['call_2', 'call_3', 'call_4'])
})

t.test('headers that are ambiguous or stale are refused before the body is read', async t => {
  const { begin } = await open(t)
  const body = JSON.stringify({ event: 'call_ended', call: { call_id: 'call_1' } })
  const signature = signed(body)['x-retell-signature']!
  const cases: Array<[headers: Record<string, string | number>, status: number]> = [
    [{ 'X-Retell-Signature': signature, 'x-retell-signature': signature, 'Content-Length': body.length }, 401],
    [{ 'X-Retell-Signature': `${signature}, ${signature}`, 'Content-Length': body.length }, 401],
    [{ 'X-Retell-Signature': `v=${Date.now() - 400_000},d=${MADE_UP}`, 'Content-Length': 8 * MIB }, 401],
    [{ 'X-Retell-Signature': `v=${'9'.repeat(16)},d=${MADE_UP}`, 'Content-Length': 8 * MIB }, 401],
    [{ 'X-Retell-Signature': `v=1e3,d=${MADE_UP}`, 'Content-Length': 8 * MIB }, 401],
    [{ 'Content-Length': 8 * MIB + 1 }, 413],
    [{ 'Content-Length': '9'.repeat(18) }, 413],
    // Two lengths are how requests are smuggled past a proxy.
    [{ 'Content-Length': 5, 'content-length': 6 }, 400],
    [{ 'Content-Length': 5, 'Transfer-Encoding': 'chunked' }, 400],
    [{ 'Content-Length': '0x10' }, 400],
    [{ 'Transfer-Encoding': 'gzip, chunked, identity' }, 400]
  ]
  for (const [headers, status] of cases) t.match(await answer(begin(headers)), `HTTP/1.1 ${status} `, JSON.stringify(headers))
})

t.test('a request that is refused ahead of its body has its connection closed, and others keep theirs', async t => {
  const { begin } = await open(t)
  const refused: Array<[status: number, headers: Record<string, string | number>, path?: string]> = [
    [401, { 'X-Retell-Signature': 'v=1', 'Content-Length': 8 * MIB }],
    [401, { 'X-Retell-Signature': `v=1,d=${MADE_UP}`, 'Transfer-Encoding': 'chunked' }],
    [401, { 'Content-Length': 8 * MIB }, '/webhooks/millis'],
    [413, { ...BEARER, 'Content-Length': 8 * MIB + 1 }, '/webhooks/millis']
  ]
  for (const [status, headers, path] of refused) {
    const peer = begin(headers, 'Content-Length' in headers ? ' ' : chunk(' '), path)
    t.match(String(await peer.closed), `HTTP/1.1 ${status} `)
  }
  const kept = await answer(begin({ 'X-Retell-Signature': signed('{}')['x-retell-signature']!, 'Content-Length': 2 }, '{}'))
  t.match(kept, 'HTTP/1.1 400 ')
  t.notMatch(kept, /connection: close/i)
})

t.test('a body is what was signed, whatever its headers say of it', async t => {
  const { app, begin, told } = await open(t)
  const text = JSON.stringify({ event: 'call_ended', call: { call_id: 'call_1', name: 'Zoë' } })
  const cases: Array<[headers: Record<string, string>, body: Buffer, status: number]> = [
    [{ 'Content-Encoding': 'gzip' }, gzipSync(text), 400],
    [{ 'Content-Encoding': 'gzip' }, Buffer.from(text.replace('call_1', 'call_2')), 204],
    [{ 'Content-Type': 'application/json; charset=utf-16le' }, Buffer.from(text, 'utf16le'), 400],
    [{ 'Content-Type': 'application/json; charset=latin1' }, Buffer.from(text.replace('call_1', 'call_3')), 204]
  ]
  for (const [headers, body, status] of cases) {
    const head = { ...headers, 'X-Retell-Signature': signed(body)['x-retell-signature']!, 'Content-Length': body.length }
    t.match(await answer(begin(head, body)), `HTTP/1.1 ${status} `, JSON.stringify(headers))
  }
  await app.close()
  t.match(told, [{ callId: 'call_2', call: { name: 'Zoë' } }, { callId: 'call_3', call: { name: 'Zoë' } }])
})

t.test('streams of an app\'s own hooks are read like others: as text, or until they fail', async t => {
  const body = JSON.stringify({ event: 'call_ended', call: { call_id: 'call_1' } })
  let stream: Payload = Readable.from([body.slice(0, 5), body.slice(5)])
  const { begin, genuine, read } = await open(t, async () => stream)
  t.match(await genuine(body), /^HTTP\/1\.1 204 /)

  stream = Readable.from((async function * () { yield '{'; throw new Error('14155550101') })())
  const failed = await genuine(body)
  t.match(failed, /^HTTP\/1\.1 400 [^]*"The webhook is incomplete"/)
  t.notMatch(failed, '14155550101')

  // It fails when it was refused already, which is no uncaught exception.
  const { pass } = useClock(t)
  stream = new PassThrough()
  const late = begin({ 'Content-Length': 5 })
  await read(3)
  await pass(10_000)
  t.match(await answer(late), /^HTTP\/1\.1 408 /)
  stream.destroy(new Error('too late'))
  await nextLoopTurn()
  stream = Readable.from([body])
  t.match(await genuine(body), /^HTTP\/1\.1 204 /)
})
