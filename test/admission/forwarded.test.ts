/**
 * What a proxy says of its clients, and what is left of that where a caller has headers dropped. Over raw sockets.
 */
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { RawPeer, upgradeRequest } from '../helpers/raw-peer.js'
import { SECRET } from '../helpers/webhooks.js'

setEnv(t)

const PATHS = ['/llm-websocket/call_1', '/millis'] as const
const EMPTY = 'a:\r\n'.repeat(1_000)

async function listen (t: Test, options: VoiceAgentOptions = {}) {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '127.0.0.1,192.0.2.1', webhookSecret: SECRET }, readinessPath: '/ready', livenessPath: '/live', ...options
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo

  async function ask (bytes: string): Promise<number> {
    const peer = new RawPeer(t, port)
    peer.write(bytes)
    await peer.heard(/\r\n\r\n/)
    peer.socket.destroy()
    return Number(peer.text.split(' ')[1])
  }

  return { app, ask, complaints: () => logs.filter(({ level }) => level >= 40) }
}

const plain = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`
const ahead = (request: string, headers: string): string => request.replace('\r\n', `\r\n${headers}`)

t.test('a proxy that names no client is refused on providers\' routes, and served by health routes', async t => {
  const { app, ask, complaints } = await listen(t, { trustedProxies: '127.0.0.1' })
  for (const path of PATHS) {
    for (const forwarded of [undefined, '', ' , ']) t.equal(await ask(upgradeRequest(path, { 'X-Forwarded-For': forwarded })), 403, `${path} ${forwarded}`)
    t.equal(await ask(plain(path)), 403)
  }
  t.equal(await ask(`POST /webhooks/millis HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${SECRET}\r\nContent-Length: 0\r\n\r\n`), 403)
  for (const line of complaints()) {
    t.match(line, { address: '127.0.0.1', msg: 'refused: the address is in TRUSTED_PROXIES (option trustedProxies), and X-Forwarded-For names no client' })
  }
  t.equal(app.calls.refusals.address, 9)
  for (const path of ['/ready', '/live']) t.equal(await ask(plain(path)), 200)
  t.equal(await ask(upgradeRequest('/millis', { 'X-Forwarded-For': '127.0.0.1' })), 101, 'a client on the proxy\'s machine')
})

t.test('a request with a cut header list is refused, whatever the list shows', async t => {
  for (const trustedProxies of [undefined, '127.0.0.1']) {
    const { app, ask, complaints } = await listen(t, trustedProxies === undefined ? {} : { trustedProxies })
    const forwarded = { 'X-Forwarded-For': '203.0.113.9' }
    for (const path of PATHS) {
      t.equal(await ask(upgradeRequest(path, forwarded).replace('X-Forwarded-For', `${EMPTY}X-Forwarded-For`)), 431)
      t.equal(await ask(upgradeRequest(path, forwarded).replace('\r\n\r\n', `\r\n${EMPTY}\r\n`)), 431)
      t.equal(await ask(plain(path, `X-Forwarded-For: 127.0.0.1\r\n${EMPTY}X-Forwarded-For: 203.0.113.9\r\n`)), 431)
    }
    t.equal(await ask(ahead(upgradeRequest('/millis', forwarded), EMPTY)), 431, 'no header of an upgrade is left')
    t.equal(app.calls.size, 0)
    const health = await ask(plain('/live', EMPTY))
    // Newer versions of Node refuse them all.
    if (health === 431) continue
    t.equal(health, 200)
    t.equal(app.calls.refusals.headers, 6)
    t.match(complaints().map(({ msg }) => msg), Array(6).fill('refused: the request has more headers than the server reads'))
  }
})

t.test('as many headers as the server reads, less one, are no cut list', async t => {
  const { ask } = await listen(t)
  t.equal(await ask(ahead(upgradeRequest('/millis'), 'a:\r\n'.repeat(994))), 101)
  t.equal(await ask(ahead(upgradeRequest('/millis'), 'a:\r\n'.repeat(995))), 431)
})
