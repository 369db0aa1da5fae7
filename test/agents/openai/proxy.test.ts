/**
 * The proxy of the environment: tunnels to a model's server, over CONNECT.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createTlsServer, type Server } from 'node:https'
import { createRequire } from 'node:module'
import net, { type AddressInfo, type Socket } from 'node:net'
import { mock } from 'node:test'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import tls, { type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import * as undici from 'undici'
import { builtInAgent } from '../../../lib/agents/built-in.js'
import { openAIAgent, type OpenAIAgent } from '../../../lib/agents/openai/agent.js'
import { openTransport } from '../../../lib/agents/openai/transport.js'
import { fakeTurn } from '../../helpers/fake-turn.js'
import { runNode } from '../../helpers/process.js'

/** The clock of undici's own timeouts. */
const undiciTimers = createRequire(import.meta.url)('undici/lib/util/timers.js') as { tick (ms: number): void }

/** A name that only the proxy resolves, so that nothing reaches the server without it. */
const HOST = 'models.test'
const VARIABLES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY']

const pem = String(execFileSync('openssl', [
  'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', '-', '-out', '-', '-days', '2',
  '-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`
], { stdio: ['ignore', 'pipe', 'ignore'] }))

/** Sets the proxies of the environment, and no others. */
function setProxies (t: Test, variables: Record<string, string>): void {
  const before = VARIABLES.map(name => [name, process.env[name]] as const)
  for (const name of VARIABLES) delete process.env[name]
  Object.assign(process.env, variables)
  t.teardown(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
}

/** Has this test trust the server's certificate, and keeps the client's ends of its connections. */
function trust (t: Test): () => TLSSocket[] {
  const open = tls.connect as (options: tls.ConnectionOptions) => TLSSocket
  const connecting = mock.method(tls, 'connect', (options: tls.ConnectionOptions) => open({ ...options, ca: pem }))
  t.teardown(() => { connecting.mock.restore() })
  return () => connecting.mock.calls.map(({ result }) => result as TLSSocket)
}

async function listen (t: Test, server: net.Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

const ANSWER = ['Hi', ' there'].map(content => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`).join('') +
  'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

/** A model's server, over TLS or without, and a proxy that connects everything to it. */
async function setup (t: Test, { scheme = 'https', answer = () => 200 }: { scheme?: 'http' | 'https', answer?: () => number | undefined } = {}) {
  const peers: Socket[] = []
  const paths: string[] = []
  let cutNext = false
  const respond: Parameters<typeof createHttpServer>[1] = (request, response) => {
    paths.push(request.url!)
    if (cutNext) {
      cutNext = false
      request.socket.destroy()
      return
    }
    request.resume().on('end', () => { response.writeHead(200, { 'content-type': 'text/event-stream' }).end(ANSWER) })
  }
  const server = scheme === 'https' ? createTlsServer({ key: pem, cert: pem }, respond as Parameters<typeof createTlsServer>[1]) : createHttpServer(respond)
  server.on(scheme === 'https' ? 'secureConnection' : 'connection', (socket: Socket) => { peers.push(socket) })
  const port = await listen(t, server as Server)

  const connects: Array<{ path: string | undefined, authorization: string | undefined }> = []
  const proxy = createHttpServer((_request, response) => { response.writeHead(405).end() })
  proxy.on('connect', (request, socket: Socket, head: Buffer) => {
    connects.push({ path: request.url, authorization: request.headers['proxy-authorization'] })
    proxy.emit('asked')
    const status = answer()
    if (status === undefined) {
      socket.on('error', () => {}).on('end', () => socket.destroy()).resume()
      return
    }
    if (status !== 200) {
      socket.end(`HTTP/1.1 ${status} No\r\n\r\n`)
      return
    }
    const upstream = net.connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.write(head)
      upstream.pipe(socket).pipe(upstream)
    })
    socket.on('error', () => {}).on('close', () => upstream.destroy())
    upstream.on('error', () => {}).on('close', () => socket.destroy())
  })
  const proxyPort = await listen(t, proxy)
  return {
    proxy,
    proxyURL: `http://user:canary%40@127.0.0.1:${proxyPort}`,
    origin: `${scheme}://${HOST}:${port}`,
    host: `${HOST}:${port}`,
    connects,
    paths,
    peers,
    /** The connection under the next request is cut before an answer. */
    cut: () => { cutNext = true },
    /** Resolves once so many connections reached the server. */
    async connected (count: number): Promise<void> {
      while (peers.length < count) await nextLoopTurn()
    }
  }
}

function agentOf (t: Test, origin: string): OpenAIAgent {
  const agent = openAIAgent({ baseURL: `${origin}/v1`, greeting: '', proxy: 'environment' })
  t.teardown(() => agent.close())
  return agent
}

async function say (agent: OpenAIAgent, turn = fakeTurn()): Promise<string> {
  let text = ''
  for await (const piece of agent(turn)) if (typeof piece === 'string') text += piece
  return text
}

async function failure (promise: Promise<unknown>): Promise<Error & { cause?: unknown }> {
  return promise.then(() => { throw new Error('it did not fail') }, (error: Error) => error)
}

const AUTHORIZATION = `Basic ${Buffer.from('user:canary@').toString('base64')}`

for (const scheme of ['https', 'http'] as const) {
  t.test(`an ${scheme} server is asked through the proxy, with its credentials, over connections that are kept beside a spare one`, async t => {
    const { proxyURL, origin, host, connects, paths, peers, connected } = await setup(t, { scheme })
    trust(t)
    setProxies(t, { [`${scheme.toUpperCase()}_PROXY`]: proxyURL })
    const agent = agentOf(t, origin)
    for (let i = 0; i < 3; i++) {
      t.equal(await say(agent), 'Hi there')
      await nextLoopTurn()
    }
    await connected(2)
    t.strictSame(paths, Array.from({ length: 3 }, () => '/v1/chat/completions'))
    t.strictSame(connects, [{ path: host, authorization: AUTHORIZATION }, { path: host, authorization: AUTHORIZATION }])
    t.equal(peers.length, 2)
  })
}

t.test('the spare connection is opened through the proxy, and serves the next request', async t => {
  const { proxyURL, origin, connects, peers, connected } = await setup(t)
  const sockets = trust(t)
  setProxies(t, { https_proxy: proxyURL })
  const transport = openTransport(undici, origin, true)
  t.teardown(() => transport.close())
  t.equal(transport.isProxied, true)
  transport.warm()
  await connected(1)
  t.equal(connects.length, 1)
  const { head, body } = await transport.post({ path: '/v1/x', headers: {}, body: '{}' })
  t.equal(head.status, 200)
  await body.text()
  await connected(2)
  t.equal(sockets()[0]?.bytesWritten === 0, false, 'it went over the first connection')
  t.equal(peers.length, 2, 'and a new spare one was opened')
})

t.test('a request that is lost with a kept connection is sent again, through the proxy', async t => {
  const { proxyURL, origin, paths, cut, connects, connected } = await setup(t)
  trust(t)
  setProxies(t, { HTTPS_PROXY: proxyURL })
  const agent = agentOf(t, origin)
  t.equal(await say(agent), 'Hi there')
  await connected(2)
  cut()
  t.equal(await say(agent), 'Hi there')
  t.equal(paths.length, 3)
  t.ok(connects.length >= 2)
})

t.test('a proxy for http serves https where there is no other', async t => {
  const { proxyURL, origin, connects } = await setup(t)
  trust(t)
  setProxies(t, { HTTP_PROXY: proxyURL })
  t.equal(await say(agentOf(t, origin)), 'Hi there')
  t.ok(connects.length >= 1)
})

t.test('no proxy is asked unless the option says so, where NO_PROXY excepts the server, and where it is on this machine', async t => {
  const { proxyURL, connects } = await setup(t)
  const noName = mock.method(net, 'connect', () => { throw new Error('no connections from here') })
  const noTls = mock.method(tls, 'connect', () => { throw new Error('no connections from here') })
  t.teardown(() => {
    noName.mock.restore()
    noTls.mock.restore()
  })
  const ways: Array<[origin: string, usesProxy: boolean, noProxy: string]> = [
    [`https://${HOST}`, false, ''], [`https://${HOST}`, true, 'example.com,.test'], [`https://${HOST}`, true, '*'],
    ['http://localhost:1', true, ''], ['http://LOCALHOST.:1', true, ''], ['http://app.localhost:1', true, ''], ['http://127.1.2.3:1', true, ''],
    ['http://[::1]:1', true, ''], ['http://[::ffff:127.0.0.1]:1', true, '']
  ]
  for (const [origin, usesProxy, noProxy] of ways) {
    setProxies(t, { HTTPS_PROXY: proxyURL, HTTP_PROXY: proxyURL, NO_PROXY: noProxy })
    const transport = openTransport(undici, origin, usesProxy)
    t.equal(transport.isProxied, false, origin)
    t.match(await failure(transport.post({ path: '/', headers: {}, body: '{}' })), { message: 'no connections from here' })
    await transport.close()
  }
  setProxies(t, {})
  t.equal(openTransport(undici, `https://${HOST}`, true).isProxied, false, 'there is no proxy')
  t.strictSame(connects, [])
})

t.test('a proxy that refuses is named in the error, without its credentials', async t => {
  for (const status of [407, 403, 502]) {
    const { proxyURL, origin, host } = await setup(t, { answer: () => status })
    setProxies(t, { HTTPS_PROXY: proxyURL })
    const error = await failure(say(agentOf(t, origin)))
    t.equal(error.message, `The model's server ${host} cannot be reached over the proxy of the environment: the proxy answers ${status}. ` +
      'OPENAI_BASE_URL (option openai.baseURL) says where it is, and HTTPS_PROXY or HTTP_PROXY where the proxy is')
    t.notMatch(String([error.stack, (error.cause as Error).stack, JSON.stringify(error), JSON.stringify(error.cause)]), /canary|user:/)
  }
})

t.test('a proxy that is not there is an error, without its credentials', async t => {
  const closed = net.createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  closed.close()
  setProxies(t, { HTTPS_PROXY: `http://user:canary@127.0.0.1:${port}` })
  const error = await failure(say(agentOf(t, `https://${HOST}`)))
  t.match(error.message, /^The model's server models\.test:443 cannot be reached over the proxy of the environment: ECONNREFUSED\./)
  t.notMatch(String([error.stack, (error.cause as Error).stack, JSON.stringify(error), JSON.stringify(error.cause)]), /canary/)
})

t.test('a turn that is aborted while the proxy keeps it waiting ends at once, and closing gives the tunnel up', async t => {
  const { proxy, proxyURL, origin } = await setup(t, { answer: () => undefined })
  setProxies(t, { HTTPS_PROXY: proxyURL })
  const agent = agentOf(t, origin)
  const turn = fakeTurn()
  const asked = once(proxy, 'asked')
  const dropped = new Promise<void>(resolve => { proxy.once('connection', (socket: Socket) => socket.once('close', () => resolve())) })
  const reply = say(agent, turn)
  await asked
  turn.abort()
  t.equal(await reply, '')
  await agent.close()
  await dropped
})

t.test('a certificate for another name is not trusted behind a proxy either', async t => {
  const { proxyURL, origin } = await setup(t)
  trust(t)
  setProxies(t, { HTTPS_PROXY: proxyURL })
  const error = await failure(say(agentOf(t, origin.replace(HOST, 'other.test'))))
  t.match(error.message, /cannot be reached over the proxy/)
})

t.test('what is no proxy stops the start without its value, and only where the option says so', async t => {
  for (const [name, value] of [['HTTPS_PROXY', 'canary:3128'], ['https_proxy', 'socks5://canary:1080'], ['HTTP_PROXY', 'http://canary%:x@proxy'], ['http_proxy', 'http://canary:x%E0%A4@proxy']] as const) {
    setProxies(t, { [name]: value })
    const message = `${name} must be an http or https URL, since OPENAI_PROXY (option openai.proxy) is environment`
    t.throws(() => openAIAgent({ apiKey: 'k', proxy: 'environment' }), { code: 'VOICE_AGENT_ERR_CONFIG', message }, value)
    t.doesNotThrow(() => openAIAgent({ apiKey: 'k' }))
    t.doesNotThrow(() => openAIAgent({ apiKey: 'k', proxy: 'none' }))
  }
})

t.test('the built-in agent asks through the proxy where its variable says so', async t => {
  const { proxyURL, origin, connects } = await setup(t)
  trust(t)
  setProxies(t, { HTTPS_PROXY: proxyURL })
  const env = { OPENAI_API_KEY: '', OPENAI_BASE_URL: `${origin}/v1`, AZURE_OPENAI_ENDPOINT: '', AZURE_OPENAI_API_KEY: '' }
  const agent = await builtInAgent({ ...env, OPENAI_PROXY: 'environment' }, {}) as OpenAIAgent
  t.teardown(() => agent.close())
  t.equal(await say(agent), 'Hi there')
  t.ok(connects.length >= 1)
})

t.test('an idle tunnel keeps no process alive', async t => {
  const { proxyURL, origin, connected } = await setup(t, { scheme: 'http' })
  const program = runNode(t, ['--input-type=module', '--eval', `
    import * as undici from 'undici'
    import { openTransport } from './dist/agents/openai/transport.js'
    const transport = openTransport(undici, '${origin}', true)
    const { body } = await transport.post({ path: '/v1/x', headers: {}, body: '{}' })
    console.log((await body.text()).length > 0)
  `], { HTTP_PROXY: proxyURL })
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'true\n')
  await connected(1)
})

t.test('a proxy that does not answer is given up after 10 s', async t => {
  const { proxy, proxyURL, origin } = await setup(t, { answer: () => undefined })
  setProxies(t, { HTTPS_PROXY: proxyURL })
  const asked = once(proxy, 'asked')
  const reply = failure(say(agentOf(t, origin)))
  const state = { isOver: false }
  reply.then(() => { state.isOver = true }, () => {})
  await asked
  while (!state.isOver) {
    undiciTimers.tick(1_000)
    await nextLoopTurn()
  }
  t.match((await reply).message, /does not answer in time over the proxy of the environment: UND_ERR_HEADERS_TIMEOUT/)
})
