import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { WebSocketServer } from 'ws'
import { isHandshake } from '../../lib/admission/handshake.js'
import { RawPeer, upgradeRequest } from '../helpers/raw-peer.js'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

t.test('a handshake is one where ws grants it, and only there', async t => {
  const server = createServer()
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  let judged: boolean | undefined
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    judged = isHandshake(request)
    sockets.handleUpgrade(request, socket, head, client => client.terminate())
  })
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const key = fc.oneof({ weight: 6, arbitrary: fc.constant(KEY) }, fc.constantFrom(undefined, '', 'bad', KEY.slice(1), `${KEY}=`, `${KEY}, ${KEY}`, KEY.replace('d', '-')))
  const version = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('13', '8') }, fc.constantFrom(undefined, '', '7', '013', '0xd', '13.0', '13, 13', 'x'))
  const list = fc.array(fc.constantFrom('a', 'chat', 'b.c', ' ', '\t', ',', ', ', 'ä', '@', '"'), { maxLength: 6 }).map(parts => parts.join(''))
  const protocol = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, list)
  const method = fc.oneof({ weight: 6, arbitrary: fc.constant('GET') }, fc.constantFrom('HEAD', 'POST', 'OPTIONS'))
  const seen = new Set<boolean | undefined>()
  await fc.assert(fc.asyncProperty(key, version, protocol, method, async (key, version, protocol, method) => {
    const peer = new RawPeer(t, port)
    peer.write(upgradeRequest('/', { 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': version, 'Sec-WebSocket-Protocol': protocol }, method))
    await peer.closed
    seen.add(judged)
    return judged === peer.text.startsWith('HTTP/1.1 101 ')
  }), { numRuns: 300 })
  t.strictSame([...seen].sort(), [false, true])
})
