import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import * as ws from 'ws'
import { WebSocket, WebSocketServer, type ServerOptions } from 'ws'
import { DirectSocket, toFrame } from '../../lib/http/direct-socket.js'

const SHORT = 125
const KIB_64 = 64 * 1024

/** Both ends of a connection; the server's end is used as the plugin uses it. */
async function connected (t: Test, options: ServerOptions = {}) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upgrades = new WebSocketServer({ noServer: true, ...options })
  const opened = new Promise<{ socket: WebSocket, stream: Duplex }>(resolve => {
    server.on('upgrade', (request, stream, head) => upgrades.handleUpgrade(request, stream, head, socket => resolve({ socket, stream })))
  })
  const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [{ socket, stream }] = await Promise.all([opened, once(peer, 'open')])
  t.teardown(async () => {
    peer.terminate()
    socket.terminate()
    await new Promise(resolve => server.close(resolve))
  })
  const heard: unknown[] = []
  peer.on('message', (data, isBinary) => heard.push(isBinary ? data : String(data)))
  peer.on('ping', () => heard.push('(ping)'))
  /** What was written as we write it. */
  const written: string[] = []
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean
  stream.write = (chunk: unknown, ...more: unknown[]) => {
    if (more[0] === 'latin1') written.push(String(chunk))
    return write(chunk, ...more)
  }
  return { direct: new DirectSocket(socket, stream), socket, stream, peer, heard, written }
}

/** What `ws` would write. */
function frameOfWs (text: string): Buffer {
  const options = { fin: true, opcode: 1, mask: false, readOnly: false, rsv1: false }
  // Its types leave it out.
  const { Sender } = ws as unknown as { Sender: { frame (data: Buffer, options: object): Buffer[] } }
  return Buffer.concat(Sender.frame(Buffer.from(text), options))
}

t.test('a frame is what ws would write, byte for byte', async t => {
  const ascii = fc.string({ unit: fc.integer({ min: 0, max: 0x7F }).map(code => String.fromCharCode(code)), maxLength: 300 })
  const lengths = fc.constantFrom(0, 1, SHORT, SHORT + 1, 255, 256, KIB_64 - 1)
  fc.assert(fc.property(fc.oneof(ascii, lengths.map(length => 'x'.repeat(length))), text => {
    t.strictSame(Buffer.from(toFrame(text)!, 'latin1'), frameOfWs(text))
  }))
})

t.test('what is not ASCII, or long, is no frame of ours', async t => {
  fc.assert(fc.property(fc.string({ maxLength: 20 }), fc.integer({ min: 0x80, max: 0xFFFF }), (text, code) => {
    t.equal(toFrame(text + String.fromCharCode(code)), undefined)
  }))
  t.equal(toFrame('x'.repeat(KIB_64)), undefined)
})

t.test('a peer gets everything in the order it was sent, however it was written', async t => {
  const { direct, peer, heard, written } = await connected(t)
  const texts = ['{"a":1}', 'grüß', 'x'.repeat(SHORT + 1), '你好', 'x'.repeat(KIB_64), '{"b":2}']
  for (const text of texts) {
    direct.send(text)
    direct.ping()
  }
  direct.close(1000, 'done')
  const [code, reason] = await once(peer, 'close')
  t.strictSame(heard, texts.flatMap(text => [text, '(ping)']))
  t.equal(code, 1000)
  t.equal(String(reason), 'done')
  t.equal(written.length, 3, 'ASCII went in one piece')
})

t.test('who waits for a text to be written is told', async t => {
  const { direct, heard, peer } = await connected(t)
  await new Promise<void>(resolve => direct.send('{}', resolve))
  if (heard.length === 0) await once(peer, 'message')
  t.strictSame(heard, ['{}'])
})

t.test('what the peer has not taken is counted', async t => {
  const { direct, peer, stream } = await connected(t)
  peer.pause()
  const text = 'x'.repeat(KIB_64 - 1)
  while (stream.writableLength === 0) direct.send(text)
  const before = direct.bufferedAmount
  direct.send(text)
  t.equal(direct.bufferedAmount - before, frameOfWs(text).length)
})

t.test('where the socket compresses everything goes its way', async t => {
  const { direct, peer, heard, written } = await connected(t, { perMessageDeflate: { threshold: 0 } })
  const texts = Array.from({ length: 20 }, (_, n) => `{"n":${n}}`)
  for (const text of texts) direct.send(text)
  direct.close(1000, '')
  await once(peer, 'close')
  t.strictSame(heard, texts)
  t.strictSame(written, [])
})

t.test('on a socket that is closed nothing is written, and nobody waits', async t => {
  const { direct, peer, heard, written } = await connected(t)
  direct.close(1000, '')
  const answered = new Promise<void>(resolve => direct.send('{}', resolve))
  await answered
  await once(peer, 'close')
  t.strictSame(heard, [])
  t.strictSame(written, [])
})

t.test('a socket that is cut or told to wait is so at once', async t => {
  const { direct, socket, peer } = await connected(t)
  direct.pause()
  t.ok(socket.isPaused)
  direct.terminate()
  const [code] = await once(peer, 'close')
  t.equal(code, 1006)
})
