import type { AddressInfo } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { createUpgradeCheck } from '../../lib/admission/upgrade-check.js'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { RawPeer, upgradeRequest } from '../helpers/raw-peer.js'

setEnv(t)

const PATHS = ['/llm-websocket', '/llm-websocket/call_1', '/llm-websocket/a/b', '/millis', '/millis/ses_1']
const MESSAGE = 'This URL accepts WebSocket connections only: the request needs `Connection: Upgrade` and `Upgrade: websocket`, and a proxy in between must forward both'

async function start (t: Test, allowlist: string, options: VoiceAgentOptions = {}) {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist }, millis: { allowlist }, ...options })
  return { app, complaints: () => logs.filter(({ level }) => level >= 40) }
}

t.test('who is admitted and asks for no upgrade is answered 426 and what to ask with, who is not is answered 403', async t => {
  const { app } = await start(t, '192.0.2.1')
  for (const method of ['GET', 'HEAD'] as const) {
    for (const url of PATHS) {
      const { statusCode, headers: { upgrade, connection }, body } = await app.inject({ method, url, remoteAddress: '192.0.2.1' })
      t.strictSame({ statusCode, upgrade, connection }, { statusCode: 426, upgrade: 'websocket', connection: 'Upgrade, close' }, `${method} ${url}`)
      if (method === 'GET') t.strictSame(JSON.parse(body), { statusCode: 426, code: 'VOICE_AGENT_ERR_UPGRADE_REQUIRED', error: 'Upgrade Required', message: MESSAGE })
      const refused = await app.inject({ method, url, remoteAddress: '192.0.2.2' })
      t.strictSame([refused.statusCode, refused.headers.upgrade], [403, undefined], `${method} ${url}`)
    }
  }
  t.strictSame([app.calls.size, app.calls.refusals.url], [0, 0])
})

t.test('each route logs the first request without an upgrade, and no URL with a secret', async t => {
  const { app, complaints } = await start(t, '*', { secret: 'opensesame-0.1_x~', prefix: '/sales' })
  for (const url of ['/sales/llm-websocket/opensesame-0.1_x~/call_1', '/sales/llm-websocket/opensesame-0.1_x~/call_2', '/sales/millis/opensesame-0.1_x~']) {
    t.equal((await app.inject(url)).statusCode, 426)
  }
  const why = 'accepts WebSocket connections only, and a request without an upgrade came: from a browser or a monitor, or from the provider through a proxy that does not forward the headers Upgrade and Connection. Logged once'
  t.strictSame(complaints().map(({ msg }) => msg), [`/sales/llm-websocket ${why}`, `/sales/millis ${why}`])
  t.notMatch(JSON.stringify(complaints()), /opensesame/)
})

t.test('over a real socket the connection closes behind the answer, also for a HEAD that asks for an upgrade, and for HTTP/1.0', async t => {
  const { app } = await start(t, '*')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const requests = [
    upgradeRequest('/millis', {}, 'HEAD'),
    upgradeRequest('/millis', { Connection: 'keep-alive' }),
    upgradeRequest('/millis', { Upgrade: undefined }),
    // As nginx's bare `proxy_pass` sends it.
    'GET /llm-websocket/call_1 HTTP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n'
  ]
  for (const bytes of requests) {
    const peer = new RawPeer(t, port)
    peer.write(bytes)
    await peer.closed
    t.match(peer.text, /^HTTP\/1\.1 426 Upgrade Required\r\n[^]*connection: Upgrade, close\r\n/i)
  }
  t.equal(app.calls.size, 0)
})

t.test('over HTTP/2, which has no such headers, the sentence alone is answered', async t => {
  const refused: unknown[] = []
  const request = { ws: false, method: 'GET', raw: { httpVersionMajor: 2 }, log: { warn () {} } } as unknown as FastifyRequest
  const reply = { headers: () => t.fail('Node would throw') } as unknown as FastifyReply
  createUpgradeCheck('/millis').call({} as never, request, reply, error => { refused.push(error) })
  t.match(refused, [{ statusCode: 426 }])
})
