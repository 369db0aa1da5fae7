import type { AddressInfo } from 'node:net'
import t from 'tap'
import { build } from '../helpers/app.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { RawPeer, upgradeRequest } from '../helpers/raw-peer.js'
import { noRedis, startRedis } from '../helpers/redis.js'

t.test('a handshake that is none cuts no call of another node', { skip: noRedis }, async t => {
  const redis = await startRedis(t)
  const node = async (): Promise<number> => {
    const { app } = await build(t, turn => turn.reason, { reconnectGraceMs: 30_000, cluster: { redis: redis.url } })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  }
  const [port, other] = [await node(), await node()]
  const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  const before = await redis.client.hgetall('voice-agent:{call_1}:retell')
  const handshakes: ReadonlyArray<readonly [status: number, bytes: string]> = [
    [400, upgradeRequest('/llm-websocket/call_1', { 'Sec-WebSocket-Key': 'bad' })],
    [400, upgradeRequest('/llm-websocket/call_1', { 'Sec-WebSocket-Key': undefined })],
    [400, upgradeRequest('/llm-websocket/call_1', { 'Sec-WebSocket-Version': '7' })],
    [400, upgradeRequest('/llm-websocket/call_1', { 'Sec-WebSocket-Protocol': 'a,,' })],
    [426, upgradeRequest('/llm-websocket/call_1', {}, 'HEAD')],
    [426, upgradeRequest('/llm-websocket/call_1', { Connection: 'keep-alive' })]
  ]
  for (const [status, bytes] of handshakes) {
    const peer = new RawPeer(t, other)
    peer.write(bytes)
    await peer.heard(/\r\n\r\n/)
    t.match(peer.text, `HTTP/1.1 ${status} `)
    peer.socket.destroy()
  }
  caller.send(retell.request(1, 'Hello'))
  t.match((await caller.response(1)).at(-1), { content: 'response', content_complete: true })
  t.equal((await redis.client.hgetall('voice-agent:{call_1}:retell'))['epoch'], before['epoch'])

  const again = await dialUrl(t, `ws://127.0.0.1:${other}/llm-websocket/call_1`)
  t.match(await again.next(), { response_type: 'config' })
  t.match(await caller.closed, { code: 1006 }, 'one that is granted does')
})
