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

// A proxy that TRUSTED_PROXIES does not name

const PROXIES = 'TRUSTED_PROXIES (option trustedProxies)'
const RETELL = 'RETELL_ALLOWLIST (option retell.allowlist)'

const PRIVATE_PROXY = `refused: the request came through a proxy, whose address was judged: set ${PROXIES} to that address. Do not put it on the allowlist: it would admit everybody`
const PUBLIC_PROXY = `refused: address is not on the allowlist. The request has a header that proxies add, and that anybody can write: only if the address is that of your own proxy, set ${PROXIES} to it`
const NOT_LISTED = 'refused: address is not on the allowlist'
const PRIVATE = `${NOT_LISTED}. It is a private address, which all clients of a proxy, tunnel or container network share: add it only while nothing forwards strangers to this server`

t.test('no line in the log leads an operator who forgot a proxy to admit that proxy, and everybody with it', async t => {
  const cases: ReadonlyArray<readonly [from: string, headers: Record<string, string>, trustedProxies: string, judged: string, admittedBy: string, msg: string]> = [
    ...['forwarded', 'via', 'x-forwarded-for', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip'].map(name => ['127.0.0.1', { [name]: 'x' }, '', '127.0.0.1', PROXIES, PRIVATE_PROXY] as const),
    ['10.0.0.7', { 'x-forwarded-for': '203.0.113.9' }, '127.0.0.1', '10.0.0.7', PROXIES, PRIVATE_PROXY],
    // A stranger may have written it, and would choose an address next.
    ['198.51.100.7', { 'x-forwarded-for': '100.20.5.228' }, '', '198.51.100.7', RETELL, PUBLIC_PROXY],
    ['198.51.100.7', {}, '', '198.51.100.7', RETELL, NOT_LISTED],
    ['127.0.0.1', {}, '', '127.0.0.1', RETELL, PRIVATE],
    ['127.0.0.1', { 'x-forwarded-for': '127.0.0.1' }, '', '127.0.0.1', RETELL, PRIVATE],
    ['127.0.0.1', { 'x-forwarded-for': '127.0.0.1', via: '1.1 x' }, '', '127.0.0.1', PROXIES, PRIVATE_PROXY],
    ['172.17.0.1', {}, '', '172.17.0.1', RETELL, PRIVATE],
    // Two proxies, of which only the nearer one is trusted.
    ['127.0.0.1', { 'x-forwarded-for': '203.0.113.9, 10.0.0.7' }, '127.0.0.1', '10.0.0.7', PROXIES, PRIVATE_PROXY],
    ['127.0.0.1', { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' }, '127.0.0.1', '198.51.100.7', RETELL, PUBLIC_PROXY],
    ['127.0.0.1', { 'x-forwarded-for': '203.0.113.9' }, '127.0.0.1', '203.0.113.9', RETELL, NOT_LISTED]
  ]
  for (const [remoteAddress, headers, trustedProxies, address, admittedBy, msg] of cases) {
    const { app, complaints } = await listen(t, { retell: {}, millis: false, trustedProxies })
    t.equal((await app.inject({ url: '/llm-websocket/call_1', remoteAddress, headers })).statusCode, 403)
    t.strictSame(complaints().map(({ address, admittedBy, msg }) => ({ address, admittedBy, msg })), [{ address, admittedBy, msg }])
  }
})

t.test('with a secret, which tells callers apart, a private address is no more than one that is not on the list', async t => {
  const { app, complaints } = await listen(t, { retell: {}, millis: false, secret: 'opensesame-0.1_x~' })
  t.equal((await app.inject({ url: '/llm-websocket/opensesame-0.1_x~/call_1', remoteAddress: '127.0.0.1' })).statusCode, 403)
  t.strictSame(complaints().map(({ msg }) => msg), [NOT_LISTED])
})

t.test('where only this machine is admitted, nobody comes through a proxy on it that leaves a header', async t => {
  const only = await listen(t, { millis: { allowlist: '127.0.0.1,::1' } })
  const forwarded = { Host: 'localhost', 'X-Forwarded-For': '203.0.113.9' }
  t.equal(await only.ask(upgradeRequest('/millis', { Host: 'localhost' })), 101)
  t.equal(await only.ask(upgradeRequest('/millis', { Host: 'localhost', 'X-Forwarded-For': '127.0.0.1, ::1' })), 101, 'as the playground calls')
  t.equal(await only.ask(upgradeRequest('/millis', forwarded)), 403)
  t.match(only.complaints(), [{ address: '127.0.0.1', admittedBy: PROXIES, msg: `refused: only this machine is on the allowlist, and the request came through a proxy on it: set ${PROXIES} to its address` }])
  t.equal(only.app.calls.refusals.address, 1)
  const secret = await listen(t, { millis: { allowlist: '127.0.0.1,::1' }, secret: 'opensesame-0.1_x~' })
  t.equal(await secret.ask(upgradeRequest('/millis/opensesame-0.1_x~', forwarded)), 101)
})

t.test('who is admitted by the address of a proxy is warned of once', async t => {
  const forwarded = { 'X-Forwarded-For': '203.0.113.9' }
  const { ask, complaints } = await listen(t)
  for (const headers of [{}, forwarded, forwarded]) t.equal(await ask(upgradeRequest('/millis', headers)), 101)
  t.strictSame(complaints().map(({ address, refusedBy, msg }) => ({ address, refusedBy, msg })), [{
    address: '127.0.0.1',
    refusedBy: PROXIES,
    msg: `admitted an upgrade by the address of a proxy, so all its clients are admitted: set ${PROXIES} to that address, and take it off the allowlist. Logged once`
  }])
  // Everybody is admitted to this one, whatever came between.
  const open = await listen(t, { millis: { allowlist: '*' } })
  t.equal(await open.ask(upgradeRequest('/millis', forwarded)), 101)
  t.strictSame(open.complaints(), [])
  const trusted = await listen(t, { trustedProxies: '127.0.0.1', millis: { allowlist: '10.0.0.7' } })
  t.equal(await trusted.ask(upgradeRequest('/millis', { 'X-Forwarded-For': '10.0.0.7' })), 101)
  t.strictSame(trusted.complaints(), [])
})
