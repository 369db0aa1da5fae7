/**
 * What is answered to mistakes with addresses, proxies, URLs and the command line: to the client, in the log, at the terminal. The
 * texts are whole, so that a reader can judge their wording.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { InjectOptions } from 'fastify'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { endCall, type VoiceAgentOptions } from '../../lib/index.js'
import { obstacle } from '../../lib/testing/dial-failure.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { dial } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { startProgram } from '../helpers/program.js'

setEnv(t)

const PROXIES = 'TRUSTED_PROXIES (option trustedProxies)'
const RETELL = 'RETELL_ALLOWLIST (option retell.allowlist)'
const MILLIS = 'MILLIS_ALLOWLIST (option millis.allowlist)'
const SECRET = 'VOICE_AGENT_SECRET (option secret)'
const HERE = '127.0.0.1,::1'
const GOOD_SECRET = '0123456789abcdef'

/** A line of the log at `warn`, without what stands in every line. */
interface Line { readonly msg: string, readonly admittedBy?: string, readonly refusedBy?: string }

/** A route that is called. All but the proxies' own headers are what a provider sends. */
interface Mistake {
  readonly what: string
  readonly options?: VoiceAgentOptions
  readonly path?: string
  readonly address?: string
  readonly headers?: Record<string, string>
  /** The status of the upgrade; 101 where it is granted. */
  readonly status: number
  readonly log: readonly Line[]
}

const onlyRetell = (options: VoiceAgentOptions = {}): VoiceAgentOptions => ({ millis: false, ...options })
const forwarded = { 'x-forwarded-for': '100.20.5.228' }

const UPGRADES: readonly Mistake[] = [
  {
    what: 'the allowlist is Retell\'s, and the developer calls from the machine itself',
    status: 403,
    log: [{ admittedBy: RETELL, msg: 'refused: address is not on the allowlist. It is a private address, which all clients of a proxy, tunnel or container network share: add it only while nothing forwards strangers to this server' }]
  },
  {
    what: 'TRUSTED_PROXIES is forgotten: ngrok or nginx on the same machine',
    headers: forwarded,
    status: 403,
    log: [{ admittedBy: PROXIES, msg: `refused: the request came through a proxy, whose address was judged: set ${PROXIES} to that address. Do not put it on the allowlist: it would admit everybody` }]
  },
  {
    what: 'TRUSTED_PROXIES is forgotten: a proxy with a public address, or a stranger who writes the header',
    address: '198.51.100.7',
    headers: forwarded,
    status: 403,
    log: [{ admittedBy: RETELL, msg: `refused: address is not on the allowlist. The request has a header that proxies add, and that anybody can write: only if the address is that of your own proxy, set ${PROXIES} to it` }]
  },
  {
    what: 'TRUSTED_PROXIES names the nearer one of two proxies only',
    options: { trustedProxies: '127.0.0.1' },
    headers: { 'x-forwarded-for': '100.20.5.228, 10.0.0.7' },
    status: 403,
    log: [{ admittedBy: PROXIES, msg: `refused: the request came through a proxy, whose address was judged: set ${PROXIES} to that address. Do not put it on the allowlist: it would admit everybody` }]
  },
  {
    what: 'the trusted proxy adds no X-Forwarded-For',
    options: { trustedProxies: '127.0.0.1' },
    status: 403,
    log: [{ msg: `refused: the address is in ${PROXIES}, and X-Forwarded-For names no client` }]
  },
  {
    what: 'only this machine is on the allowlist, and a tunnel runs that rewrites Host',
    options: { retell: { allowlist: HERE } },
    headers: { host: 'localhost', ...forwarded },
    status: 403,
    log: [{ admittedBy: PROXIES, msg: `refused: only this machine is on the allowlist, and the request came through a proxy on it: set ${PROXIES} to its address` }]
  },
  {
    what: 'only this machine is on the allowlist, and a tunnel runs that hands Host on',
    options: { retell: { allowlist: HERE } },
    headers: { host: 'a.ngrok.example' },
    status: 403,
    log: [{ admittedBy: SECRET, msg: 'refused: only this machine is on the allowlist, and the Host header names another one' }]
  },
  {
    what: 'the proxy\'s address is on the allowlist, beside the provider\'s',
    options: { retell: { allowlist: '100.20.5.228,127.0.0.1' } },
    headers: forwarded,
    status: 101,
    log: [{ refusedBy: PROXIES, msg: `admitted an upgrade by the address of a proxy, so all its clients are admitted: set ${PROXIES} to that address, and take it off the allowlist. Logged once` }]
  },
  {
    what: 'Millis has neither secret nor allowlist',
    options: { retell: false, millis: {} },
    path: '/millis',
    address: '192.0.2.1',
    status: 403,
    log: [{ msg: `/millis admits nobody: set ${SECRET} or ${MILLIS}` }, { admittedBy: MILLIS, msg: 'refused: address is not on the allowlist' }]
  },
  {
    what: 'the URL in the dashboard lacks the secret',
    options: { secret: GOOD_SECRET },
    address: '100.20.5.228',
    status: 403,
    log: [{ admittedBy: SECRET, msg: 'refused: the URL does not hold the secret' }]
  },
  {
    what: 'the secret can be guessed',
    options: { secret: 's3cret' },
    path: '/llm-websocket/s3cret/call_1',
    address: '100.20.5.228',
    status: 101,
    log: [{ msg: `${SECRET}: a secret of fewer than 16 characters can be guessed: openssl rand -hex 16 makes one` }]
  },
  {
    what: 'everybody is a trusted proxy',
    options: { trustedProxies: '0.0.0.0/1,128.0.0.0/1' },
    headers: forwarded,
    status: 101,
    log: [{ msg: `${PROXIES} holds the whole internet: callers choose their own address. Name your proxies only` }]
  },
  {
    what: 'the URL in the dashboard ends in {call_id}',
    path: '/llm-websocket/{call_id}/call_1',
    address: '100.20.5.228',
    status: 101,
    log: [{ msg: 'the URL ends in a literal {call_id}: take it out, the provider appends the id' }]
  },
  {
    what: 'a web page of one\'s own places calls to a route that is open',
    options: { retell: { allowlist: '*' } },
    headers: { origin: 'https://app.example.com' },
    status: 403,
    log: [{ admittedBy: 'ALLOWED_ORIGINS (option allowedOrigins)', msg: 'refused: a web page asked for the upgrade' }]
  },
  {
    what: 'the app expects calls, and was not told of this one',
    options: { admittedCallsOnly: true },
    address: '100.20.5.228',
    status: 403,
    log: [{ admittedBy: 'app.admitCall()', msg: 'refused: the call is not expected' }]
  }
]

async function start (t: Test, options: VoiceAgentOptions) {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, { ...AT_ONCE, ...onlyRetell(options) })
  await app.ready()
  const lines = (): Line[] => logs.filter(({ level }) => level >= 40).map(({ msg, admittedBy, refusedBy }) => (
    { ...(admittedBy !== undefined && { admittedBy }), ...(refusedBy !== undefined && { refusedBy }), msg } as Line
  ))
  return { app, lines }
}

for (const { what, options = {}, path = '/llm-websocket/call_1', address = '127.0.0.1', headers = {}, status, log } of UPGRADES) {
  t.test(what, async t => {
    const { app, lines } = await start(t, options)
    const answer = await dial(t, app, path, { address, headers }).then(() => 101, (error: Error) => Number(/\d+$/.exec(error.message)![0]))
    t.equal(answer, status)
    t.strictSame(lines(), log)
  })
}

/** Requests that are no upgrades, or lead nowhere: what the client is told, and the log. */
const REQUESTS: ReadonlyArray<readonly [what: string, request: InjectOptions, status: number, message: string, log: readonly string[]]> = [
  ['the socket\'s URL is opened in a browser, or the proxy drops Upgrade', { url: '/llm-websocket/call_1' }, 426,
    'This URL accepts WebSocket connections only: the request needs `Connection: Upgrade` and `Upgrade: websocket`, and a proxy in between must forward both',
    ['/llm-websocket accepts WebSocket connections only, and a request without an upgrade came: from a browser or a monitor, or from the provider through a proxy that does not forward the headers Upgrade and Connection. Logged once']],
  ['the path in the dashboard is mistyped', { url: '/llm-websockets/call_1' }, 404, 'Route GET:/llm-websockets/call_1 not found', []],
  ['the provider is told to POST', { method: 'POST', url: '/llm-websocket/call_1' }, 404, 'Route POST:/llm-websocket/call_1 not found', []]
]

for (const [what, request, status, message, log] of REQUESTS) {
  t.test(what, async t => {
    const { app, lines } = await start(t, { retell: { allowlist: '*' } })
    const response = await app.inject(request)
    t.strictSame([response.statusCode, response.json().message], [status, message])
    t.strictSame(lines().map(({ msg }) => msg), log)
  })
}

// The command line

async function run (args: readonly string[]): Promise<string> {
  const program = startProgram([...args])
  program.end()
  t.ok(await program.exit > 0)
  return program.output()
}

const LOCAL_TRY = 'To call this plugin from the same machine, start the app with RETELL_ALLOWLIST=127.0.0.1,::1, as long as no proxy or tunnel leads to it. A VOICE_AGENT_SECRET goes at the end of the URL'
const REDIRECTS = 'it redirects, and providers do not follow: dial the URL where it leads'

/** By status, what `call` says of a server that answers the handshake with it. */
const STATUSES: ReadonlyArray<readonly [status: number, what: string, why: string]> = [
  [200, 'another server has the port', ': a page is at this path, and no WebSocket'],
  [301, 'http is redirected to https', `: ${REDIRECTS}`],
  [308, 'the path is redirected', `: ${REDIRECTS}`],
  [400, 'the call id is not appended', ': the URL holds no call id that can be used'],
  [401, 'a gateway wants credentials: -H hands them over', ': it wants credentials, which Retell does not send'],
  [403, 'the app is fresh', `: the address that the call came from is not on its allowlist, or the URL lacks its secret; its log says which. ${LOCAL_TRY}`],
  [404, 'the path is another one', ': nothing is at this path; with this plugin the path is /llm-websocket, or that of RETELL_PATH, behind the prefix that it was registered with'],
  [418, 'something else', ''],
  [426, 'the proxy drops Upgrade', ': it accepts WebSocket connections there, and got a request without an upgrade: a proxy ahead of it does not forward the headers Upgrade and Connection'],
  [429, '@fastify/rate-limit counts calls', ': something ahead of the route limits requests, and must not count calls'],
  [502, 'the app behind the proxy is not running', ': a proxy ahead of it does not reach it: is it running?'],
  [503, 'the app closes', ': it is closing, full or under pressure']
]

t.test('of a server that refuses, the command line says why, and what to do', async t => {
  let status = 0
  const server = createServer().on('upgrade', (_request, socket) => { socket.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`) })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  for (const [code, what, why] of STATUSES) {
    status = code
    t.equal(await run(['call', `ws://127.0.0.1:${(server.address() as AddressInfo).port}/llm-websocket`]), `the server refused the call with ${code}${why}\n`, what)
  }
})

const UNTRUSTED = 'Node does not trust its certificate: set NODE_EXTRA_CA_CERTS to the file of the certificate, or of the authority that signed it'

/** By the error's code, what is said of a server that cannot be reached. test/cli/certificate.test.ts has a real certificate. */
const CODES: ReadonlyArray<readonly [code: string, why: string]> = [
  ['ECONNREFUSED', ': nothing listens there: is it running, at this port?'],
  ['ECONNRESET', ': it hung up without an answer: does it want wss:// instead of ws://?'],
  ['ENOTFOUND', ': there is no such host'],
  ['EHOSTUNREACH', ': nothing answers at this address'],
  ['EPROTO', ': it speaks no TLS: does it want ws:// instead of wss://?'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', `: ${UNTRUSTED}`],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', `: ${UNTRUSTED}`],
  ['CERT_HAS_EXPIRED', ': its certificate has expired'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', ': its certificate is for another name: dial it by that one'],
  ['EMFILE', '']
]

t.test('of a server that cannot be reached, it is said what to look at', async t => {
  t.equal(await run(['call', 'ws://127.0.0.1:1/llm-websocket']), 'the server cannot be reached: ECONNREFUSED: nothing listens there: is it running, at this port?\n')
  for (const [code, why] of CODES) t.equal(obstacle(Object.assign(new Error(), { code })).message, `the server cannot be reached: ${code}${why}`)
})

const NO_URL = 'one URL is needed, as ws://localhost:3000/llm-websocket'

/** Wrong arguments, and the line that is printed ahead of how the command is used. */
const ARGUMENTS: ReadonlyArray<readonly [args: readonly string[], line: string]> = [
  [['cal', 'ws://localhost'], 'there is no command cal (did you mean "call"?); the commands are call and test'],
  [['ws://localhost:3000/llm-websocket'], 'there is no command ws://localhost:3000/llm-websocket; the commands are call and test'],
  [['call'], NO_URL],
  [['call', 'localhost:3000/llm-websocket'], NO_URL],
  [['call', 'ws://localhost', 'ws://localhost'], 'one URL is needed, and there are several'],
  [['call', 'ws://localhost', '--porvider', 'millis'], 'there is no option --porvider (did you mean "--provider"?); the options are --provider, --header'],
  [['call', 'ws://localhost', '-v'], 'there is no option -v; the options are --provider, --header'],
  [['call', 'ws://localhost', '--provider', 'vapi'], '--provider is retell or millis'],
  [['call', 'ws://localhost', '--provider'], 'Option \'--provider <value>\' argument missing'],
  [['call', 'ws://localhost', '-H', 'Bearer canary'], 'header 1 is malformed: write it as -H \'Name: value\''],
  [['test', '--url', 'ws://localhost'], 'no scenario is named'],
  [['test', 'a.yaml'], NO_URL],
  [['test', 'a.yaml', '--url', 'ws://localhost', '--concurrency', 'all'], '--concurrency is a number from 1'],
  [['test', 'a.yaml', '--url', 'ws://localhost', '--jsn'], 'there is no option --jsn (did you mean "--json"?); the options are --url, --provider, --header, --concurrency, --json, --junit']
]

t.test('arguments that are wrong are answered with what is, ahead of how the command is used', async t => {
  for (const [args, line] of ARGUMENTS) t.equal((await run(args)).split('\n')[0], line)
})

t.test('a fresh app of one\'s own is called as its refusal says', async t => {
  const call = async (): Promise<string> => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.decorate('agent', async function * () { yield endCall({ say: 'Welcome to the bakery.' }) })
    await app.register(voiceAgentPlugin, AT_ONCE)
    const { port } = new URL(await app.listen({ port: 0, host: '0.0.0.0' }))
    const program = startProgram(['call', `ws://localhost:${port}/llm-websocket`])
    program.end()
    await program.exit
    return program.output()
  }
  const [, name, value] = /start the app with (\w+)=(\S+)/.exec(await call())!
  setEnv(t, { [name!]: value! })
  t.match(await call(), /^Welcome to the bakery\.\n/)
})
