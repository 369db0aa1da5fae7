import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp, type LogLine } from '../helpers/app.js'
import { dialFrom, noBrowser, openForeignPage, startBrowser } from '../helpers/browser.js'
import { setEnv } from '../helpers/env.js'
import { RawPeer, upgradeRequest } from '../helpers/raw-peer.js'

const SECRET = 'opensesame-0.1_x~'
const EVIL = 'https://evil.example'
const HERE = '127.0.0.1,::1'

/** As in example-app/development.env. */
const DEVELOPMENT: VoiceAgentOptions = { retell: { allowlist: HERE }, millis: { allowlist: HERE } }

const ORIGIN_OPTION = 'ALLOWED_ORIGINS (option allowedOrigins)'

setEnv(t)

async function start (t: Test, options: VoiceAgentOptions) {
  const { app, logs } = createApp(t)
  let turns = 0
  app.decorate('agent', () => {
    turns++
    return 'Hi'
  })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, ...options })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  /** The status of an upgrade over a socket whose headers are written by hand. */
  const status = async (path: string, headers: Record<string, string | undefined>): Promise<number> => {
    const peer = new RawPeer(t, port)
    peer.write(upgradeRequest(path, { Host: `127.0.0.1:${port}`, ...headers }))
    await peer.heard(/^HTTP\/1\.1 \d+ [^]*\r\n\r\n/)
    peer.socket.destroy()
    return Number(peer.text.slice(9, 12))
  }
  return { app, port, status, turns: () => turns, complaints: (): LogLine[] => logs.filter(({ level }) => level >= 40) }
}

/** Whom a trusted proxy forwards. */
const from = (address: string, headers: Record<string, string> = {}) => ({ 'X-Forwarded-For': address, ...headers })

t.test('no web page places a call to a developer\'s machine, and the log names the option that would admit it', async t => {
  const { app, status, turns, complaints } = await start(t, DEVELOPMENT)
  for (const path of ['/llm-websocket/call_1', '/millis']) {
    t.equal(await status(path, {}), 101)
    for (const origin of [EVIL, 'http://localhost:8080', 'http://127.0.0.1', 'null', 'file://', 'x y', '']) t.equal(await status(path, { Origin: origin }), 403, origin)
  }
  t.match(complaints()[0], { level: 40, address: '127.0.0.1', origin: EVIL, admittedBy: ORIGIN_OPTION, msg: 'refused: a web page asked for the upgrade' })
  t.equal(complaints().length, 14)
  t.equal(app.calls.refusals.origin, 14)
  t.equal(turns(), 0)
})

t.test('a foreign Host is refused where only this machine is admitted: somebody else\'s DNS may point here', async t => {
  const { app, port, status, complaints } = await start(t, DEVELOPMENT)
  for (const host of ['rebind.evil.example', `evil.example:${port}`, '127.0.0.1.nip.example', '10.0.0.1', 'localhost.evil.example', 'a b']) {
    t.equal(await status('/millis', { Host: host }), 403, host)
    t.equal(await status('/millis', { Host: host, Origin: `http://${host}` }), 403, host)
  }
  for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '127.9.9.9', '[::1]:80', 'app.localhost', 'LOCALHOST']) t.equal(await status('/millis', { Host: host }), 101, host)
  t.match(complaints()[0], { level: 40, address: '127.0.0.1', admittedBy: 'VOICE_AGENT_SECRET (option secret)', msg: /the Host header names another/ })
  t.equal(app.calls.refusals.host, 12)
})

t.test('where only this machine is admitted, nobody comes through a trusted proxy on it', async t => {
  const { app, status, complaints } = await start(t, { ...DEVELOPMENT, trustedProxies: HERE })
  for (const headers of [{}, from('127.0.0.1'), from('::1')]) t.equal(await status('/millis', headers), 403)
  t.match(complaints().map(({ msg }) => msg), [/X-Forwarded-For names no client/, /through a trusted proxy/, /through a trusted proxy/])
  t.match(complaints()[1], { level: 40, address: '127.0.0.1', admittedBy: 'VOICE_AGENT_SECRET (option secret)' })
  t.equal(app.calls.refusals.address, 3)
  const secret = await start(t, { ...DEVELOPMENT, secret: SECRET, trustedProxies: HERE })
  t.equal(await secret.status(`/millis/${SECRET}`, from('127.0.0.1')), 101)
})

t.test('a foreign Host is admitted where others than this machine are, or the secret is known', async t => {
  for (const allowlist of ['*', '127.0.0.1,192.0.2.1', '0.0.0.0/0', '127.0.0.1/7']) {
    const { status } = await start(t, { millis: { allowlist } })
    t.equal(await status('/millis', { Host: 'agent.example.com' }), 101, allowlist)
  }
  for (const allowlist of ['127.0.0.0/8', '127.0.0.1/32', '::1/128,127.0.0.1', '::ffff:127.0.0.1']) {
    const { status } = await start(t, { millis: { allowlist } })
    t.equal(await status('/millis', { Host: 'agent.example.com' }), 403, allowlist)
  }
  const { status } = await start(t, { millis: { allowlist: HERE }, secret: SECRET })
  t.equal(await status(`/millis/${SECRET}`, { Host: 'agent.example.com' }), 101)
})

t.test('a web page is refused where the judged address is private, or where * alone admits it', async t => {
  const trustedProxies = '127.0.0.1'
  const listed = await start(t, { trustedProxies, millis: { allowlist: '10.0.0.0/8,172.16.0.1,192.168.1.1,169.254.0.1,100.64.0.1,fd00::/8,fe80::/10,203.0.113.9' } })
  for (const address of ['10.1.2.3', '172.16.0.1', '192.168.1.1', '169.254.0.1', '100.64.0.1', 'fd00::1', 'fe80::1']) {
    t.equal(await listed.status('/millis', from(address)), 101, address)
    t.equal(await listed.status('/millis', from(address, { Origin: EVIL })), 403, address)
  }
  t.equal(await listed.status('/millis', from('203.0.113.9', { Origin: EVIL })), 101)

  const open = await start(t, { trustedProxies, millis: { allowlist: '*' } })
  for (const address of ['203.0.113.9', '10.1.2.3', 'unknown']) {
    t.equal(await open.status('/millis', from(address)), 101, address)
    t.equal(await open.status('/millis', from(address, { Origin: EVIL })), 403, address)
  }
  const all = await start(t, { trustedProxies, millis: { allowlist: '0.0.0.0/0,::/0,203.0.113.9' } })
  t.equal(await all.status('/millis', from('198.51.100.1')), 101)
  t.equal(await all.status('/millis', from('198.51.100.1', { Origin: EVIL })), 403)
  t.equal(await all.status('/millis', from('203.0.113.9', { Origin: EVIL })), 101)
  const both = await start(t, { trustedProxies, millis: { allowlist: '*, 203.0.113.9' } })
  t.equal(await both.status('/millis', from('203.0.113.9', { Origin: EVIL })), 101)
  t.equal(await both.status('/millis', from('203.0.113.8', { Origin: EVIL })), 403)
})

t.test('elsewhere an Origin is logged once, with the option that refuses it: providers may send one', async t => {
  const { status, complaints, app } = await start(t, { trustedProxies: '127.0.0.1', millis: { allowlist: '203.0.113.9' }, retell: { allowlist: '203.0.113.9' } })
  for (const path of ['/millis', '/millis', '/llm-websocket/call_1']) t.equal(await status(path, from('203.0.113.9', { Origin: EVIL })), 101)
  t.match(complaints(), [{ level: 40, address: '203.0.113.9', origin: EVIL, refusedBy: ORIGIN_OPTION, msg: 'admitted an upgrade with an Origin header, which web pages send: logged once' }])
  t.equal(complaints().length, 1)
  t.equal(app.calls.refusals.origin, 0)

  // No page knows the secret.
  const secret = await start(t, { ...DEVELOPMENT, secret: SECRET })
  t.equal(await secret.status(`/millis/${SECRET}`, { Origin: EVIL }), 101)
  t.equal(await secret.status('/millis', { Origin: EVIL }), 403)
  t.strictSame(secret.complaints().map(({ refusedBy, admittedBy }) => refusedBy ?? admittedBy), [ORIGIN_OPTION, 'VOICE_AGENT_SECRET (option secret)'])
})

t.test('with allowed origins every other one is refused, wherever it comes from', async t => {
  const allowedOrigins = ['https://App.example.com:443', ' http://localhost:8080']
  for (const options of [DEVELOPMENT, { ...DEVELOPMENT, secret: SECRET }, { millis: { allowlist: '203.0.113.9' }, trustedProxies: '127.0.0.1' }]) {
    const { status, complaints } = await start(t, { ...options, allowedOrigins })
    const path = 'secret' in options ? `/millis/${SECRET}` : '/millis'
    const judged = async (headers: Record<string, string>): Promise<number> => await status(path, 'trustedProxies' in options ? from('203.0.113.9', headers) : headers)
    t.equal(await judged({}), 101)
    for (const origin of ['https://app.example.com', 'http://localhost:8080']) t.equal(await judged({ Origin: origin }), 101, origin)
    const before = complaints().length
    for (const origin of [EVIL, 'http://app.example.com', 'https://app.example.com:8443', 'https://app.example.com.evil.example', 'http://localhost', 'null']) {
      t.equal(await judged({ Origin: origin }), 403, origin)
    }
    t.equal(complaints().length, before + 6)
    t.ok(complaints().every(({ admittedBy }) => admittedBy === ORIGIN_OPTION || before > 0))
  }
})

t.test('in a browser, no page of another site places a call', { skip: noBrowser }, async t => {
  const browser = await startBrowser(t)
  const { port, turns, app } = await start(t, { ...DEVELOPMENT, allowedOrigins: 'http://friend.example' })
  const friend = await openForeignPage(t, browser, 'http://friend.example/')
  t.equal(await dialFrom(friend, `ws://127.0.0.1:${port}/millis`), 'open', 'nothing else keeps a page from it')

  const developer = await start(t, DEVELOPMENT)
  for (const url of ['http://evil.example/', 'http://localhost/', `http://rebind.evil.example:${developer.port}/`]) {
    const page = await openForeignPage(t, browser, url)
    for (const host of ['127.0.0.1', 'localhost', 'rebind.evil.example']) {
      for (const path of ['/millis', '/llm-websocket/call_1']) t.equal(await dialFrom(page, `ws://${host}:${developer.port}${path}`), 'error', `${url}: ${host}${path}`)
    }
  }
  t.equal(developer.turns() + turns(), 0)
  t.equal(developer.app.calls.size, 0)
  t.equal(app.calls.size, 1)
})
