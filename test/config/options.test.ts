import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { mock } from 'node:test'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import env from '@fastify/env'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import FakeTimers from '@sinonjs/fake-timers'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { envSchema, type Agent, type VoiceAgentOptions } from '../../lib/index.js'
import type { LiveCall } from '../../lib/call/call.js'
import { PULSE_MS } from '../../lib/call/pulse.js'
import { ceilingsOf, readSettings, toConfigError } from '../../lib/config/read.js'
import type { Env } from '../../lib/config/settings.js'
import { build, createApp, deferred } from '../helpers/app.js'
import { dial, dialRetell, millis, retell, type Caller } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { useTelemetry } from '../helpers/telemetry.js'
import { signed } from '../helpers/webhooks.js'
import { startScriptedModel, type ModelRequest } from '../../lib/testing/scripted-model.js'

type Variable = keyof typeof envSchema.properties

/** What an operator may write, and what becomes of it. */
interface Setting {
  readonly variable: Variable
  /** Other variables without which this one has no effect. */
  readonly with?: Partial<Record<Variable, string>>
  /** Other options, of the same kind. */
  readonly options?: VoiceAgentOptions
  readonly agent?: Agent
  readonly inEnv: string
  readonly option: VoiceAgentOptions
  /** Says why it cannot be tried on this machine. */
  readonly skip?: false | string
  /** What the app does by default, with the variable, and with the option as well. */
  readonly expected: readonly [byDefault: unknown, byEnv: unknown, byOption: unknown]
  observe (t: Test, app: FastifyInstance): unknown
}

setEnv(t)

const server = await startScriptedModel()
const other = await startScriptedModel()
t.teardown(() => Promise.all([server.close(), other.close()]))

/** A proxy that lets nobody through, named by the environment. */
const proxy = { hosts: new Set<string>(), server: createServer() }
proxy.server.on('connect', ({ url }, socket) => {
  proxy.hosts.add(url!)
  socket.on('error', () => {}).end('HTTP/1.1 403 Forbidden\r\n\r\n')
})
proxy.server.listen(0, '127.0.0.1')
await once(proxy.server, 'listening')
process.env['HTTP_PROXY'] = process.env['http_proxy'] = `http://127.0.0.1:${(proxy.server.address() as AddressInfo).port}`
t.teardown(() => {
  delete process.env['HTTP_PROXY']
  delete process.env['http_proxy']
  proxy.server.close()
})

const redis = noRedis === false ? await startRedis(t) : undefined
const SHARED = { RETELL_ALLOWLIST: '*', REDIS_URL: redis?.url ?? 'redis://127.0.0.1:1' }

const OPEN = { RETELL_ALLOWLIST: '*' }

// The routes that exist, of these.
function routes (...paths: string[]) {
  return (_t: Test, app: FastifyInstance): string[] => paths.filter(path => app.hasRoute({ method: 'GET', url: `${path}/:call_id` }))
}

// The addresses that are admitted to a route, of these.
function admitted (url: string, ...addresses: string[]) {
  return async (_t: Test, app: FastifyInstance): Promise<string[]> => {
    const responses = await Promise.all(addresses.map(remoteAddress => app.inject({ url, remoteAddress })))
    return addresses.filter((_, i) => responses[i]!.statusCode === 426)
  }
}

// What the model is asked, or undefined when the scripted agent answers.
function asked (read: (request: ModelRequest, port: string) => unknown) {
  return async (t: Test, app: FastifyInstance): Promise<unknown> => {
    const requests = [server.requests.length, other.requests.length]
    const caller = await dialRetell(t, app)
    caller.send(retell.request(1, 'Hi'))
    await caller.response(1)
    const request = server.requests[requests[0]!] ?? other.requests[requests[1]!]
    return request && read(request, String(request.headers.host))
  }
}

// The servers that the proxy of the environment was asked for so far.
async function tunnelled (t: Test, app: FastifyInstance): Promise<string[]> {
  const caller = await dialRetell(t, app)
  caller.send(retell.request(1, 'Hi'))
  await caller.response(1)
  return [...proxy.hosts]
}

async function greeted (t: Test, app: FastifyInstance): Promise<string> {
  const caller = await dialRetell(t, app)
  caller.send(retell.details())
  return (await caller.response(0)).map(({ content }) => content).join('')
}

// Who is let in, of three that come at the same moment.
async function seated (t: Test, app: FastifyInstance): Promise<number> {
  const callers = await Promise.allSettled([1, 2, 3].map(n => dialRetell(t, app, `call_${n}`)))
  return callers.filter(({ status }) => status === 'fulfilled').length
}

// What is in two of Redis' databases, and is then taken out.
async function kept (): Promise<string[][]> {
  const { client } = redis!
  const keys: string[][] = []
  for (const database of [0, 1]) {
    await client.select(database)
    keys.push((await client.keys('*')).map(key => key.split(':')[0]!).filter((part, i, all) => all.indexOf(part) === i))
  }
  await client.flushall()
  return keys
}

// How many of forty things that a caller may do a ceiling lets through.
function passed (send: (caller: Caller, n: number) => void) {
  return async (t: Test, app: FastifyInstance): Promise<number> => {
    const caller = await dialRetell(t, app)
    caller.send(retell.details())
    await caller.response(0)
    for (let n = 1; n <= 40; n++) {
      const heard = caller.frames.length
      send(caller, n)
      // As soon as it is too much the server reads no more, not even pings.
      while (caller.frames.length === heard) await nextLoopTurn()
      if (caller.frames.some(({ end_call: isEnd }) => isEnd)) return n - 1
    }
    return Infinity
  }
}

// How long a call may be, in ms.
async function lasted (t: Test, app: FastifyInstance): Promise<number> {
  const clock = FakeTimers.install({ toFake: ['performance'] })
  t.teardown(() => clock.uninstall())
  const caller = await dialRetell(t, app)
  caller.send(retell.details())
  await caller.response(0)
  const call = app.calls.get('call_1') as LiveCall
  for (; app.calls.refusals.maxCallDurationMs === 0; call.pulse()) clock.tick(PULSE_MS)
  clock.uninstall()
  return clock.now
}

// How long Retell's begin message is waited for.
async function waited (t: Test, app: FastifyInstance): Promise<number> {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const caller = await dialRetell(t, app)
  let ms = 0
  for (; caller.frames.length === 1; ms += 100) {
    mock.timers.tick(100)
    await caller.settled()
  }
  mock.timers.reset()
  return ms
}

// How long the server lets a caller wait, in ms.
async function silent (t: Test, app: FastifyInstance): Promise<number> {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const caller = await dialRetell(t, app)
  caller.send(retell.request(1, 'Hi'))
  await caller.settled()
  // Once more, for what an agent said in response.
  await caller.settled()
  const heard = caller.frames.length
  let ms = 0
  for (; caller.frames.length === heard; ms += 100) {
    mock.timers.tick(100)
    await caller.settled()
  }
  mock.timers.reset()
  return ms
}

// How long a call waits for its provider to dial again, in ms.
async function awaited (t: Test, app: FastifyInstance): Promise<number> {
  const caller = await dialRetell(t, app)
  caller.send(retell.details())
  await caller.response(0)
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const call = app.calls.get('call_1')!
  caller.socket.terminate()
  while (await call.updateAgent({}).then(() => true, () => false)) await nextLoopTurn()
  let ms = 0
  for (; app.calls.size > 0; ms += 100) mock.timers.tick(100)
  mock.timers.reset()
  return ms
}

// How long the app waits for its calls when it closes, in ms.
async function drained (t: Test, app: FastifyInstance): Promise<number> {
  const caller = await dialRetell(t, app)
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const closed = app.close()
  const state = { open: true }
  caller.closed.then(() => { state.open = false }, t.error)
  let ms = 0
  for (; state.open; ms += 100) {
    mock.timers.tick(100)
    await nextLoopTurn()
    await nextLoopTurn()
  }
  mock.timers.reset()
  await closed
  return Math.floor(ms / 1000) * 1000
}

const withModel = { ...OPEN, OPENAI_BASE_URL: server.url }
const withAzure = { ...OPEN, OPENAI_MODEL: 'desk', AZURE_OPENAI_ENDPOINT: server.origin, AZURE_OPENAI_API_KEY: 'az-env' }
const hostOf = (url: string): string => new URL(url).host

const SETTINGS: Setting[] = [
  {
    variable: 'RETELL_PATH',
    inEnv: '/from-env',
    option: { retell: { path: '/from/option' } },
    expected: [['/llm-websocket'], ['/from-env'], ['/from/option']],
    observe: routes('/llm-websocket', '/from-env', '/from/option')
  },
  {
    variable: 'RETELL_ALLOWLIST',
    inEnv: '192.0.2.1, 198.51.100.0/24',
    option: { retell: { allowlist: ['203.0.113.1', '2001:db8::/32'] } },
    expected: [['100.20.5.228'], ['192.0.2.1', '198.51.100.7'], ['203.0.113.1', '2001:db8::1']],
    observe: admitted('/llm-websocket/call_1', '100.20.5.228', '192.0.2.1', '198.51.100.7', '203.0.113.1', '2001:db8::1')
  },
  {
    variable: 'RETELL_CALL_DETAILS_TIMEOUT_MS',
    with: OPEN,
    inEnv: '500',
    option: { retell: { callDetailsTimeoutMs: 300 } },
    expected: [2000, 500, 300],
    observe: waited
  },
  {
    variable: 'MILLIS_PATH',
    inEnv: '/from-env',
    option: { millis: { path: '/from-option' } },
    expected: [['/millis'], ['/from-env'], ['/from-option']],
    observe: routes('/millis', '/from-env', '/from-option')
  },
  {
    variable: 'MILLIS_ALLOWLIST',
    inEnv: '192.0.2.1',
    option: { millis: { allowlist: '203.0.113.1,203.0.113.2' } },
    expected: [[], ['192.0.2.1'], ['203.0.113.1', '203.0.113.2']],
    observe: admitted('/millis', '192.0.2.1', '203.0.113.1', '203.0.113.2')
  },
  {
    variable: 'RETELL_API_KEY',
    with: OPEN,
    inEnv: 'key_env',
    option: { retell: { apiKey: ['key_option', 'key_next'] } },
    expected: [[], ['key_env'], ['key_option', 'key_next']],
    observe: async (_t, app) => {
      const known: string[] = []
      for (const key of ['', 'key_env', 'key_option', 'key_next']) {
        const { statusCode } = await app.inject({
          method: 'POST', url: '/webhooks/retell', payload: '{"event":"call_ended"}', headers: signed('{"event":"call_ended"}', { key })
        })
        if (statusCode === 204) known.push(key)
      }
      return known
    }
  },
  {
    variable: 'RETELL_WEBHOOK_PATH',
    with: { RETELL_API_KEY: 'key' },
    inEnv: '/from-env',
    option: { retell: { webhookPath: '/from/option' } },
    expected: [['/webhooks/retell'], ['/from-env'], ['/from/option']],
    observe: (_t, app) => ['/webhooks/retell', '/from-env', '/from/option'].filter(url => app.hasRoute({ method: 'POST', url }))
  },
  {
    variable: 'MILLIS_WEBHOOK_SECRET',
    inEnv: 'from-env, next-env',
    option: { millis: { webhookSecret: 'from-option' } },
    expected: [[], ['from-env', 'next-env'], ['from-option']],
    observe: async (_t, app) => {
      const known: string[] = []
      for (const secret of ['', 'from-env', 'next-env', 'from-option']) {
        const { statusCode } = await app.inject({ url: '/webhooks/millis', headers: { authorization: `Bearer ${secret}` } })
        if (statusCode === 200) known.push(secret)
      }
      return known
    }
  },
  {
    variable: 'MILLIS_WEBHOOK_PATH',
    with: { MILLIS_WEBHOOK_SECRET: 'secret' },
    inEnv: '/from-env',
    option: { millis: { webhookPath: '/from-option' } },
    expected: [['/webhooks/millis'], ['/from-env'], ['/from-option']],
    observe: (_t, app) => ['/webhooks/millis', '/from-env', '/from-option'].filter(url => app.hasRoute({ method: 'POST', url }))
  },
  {
    variable: 'VOICE_AGENT_SECRET',
    with: { MILLIS_ALLOWLIST: '*' },
    inEnv: 'from-env',
    option: { secret: 'from-option' },
    expected: [['', '/from-env', '/from-option'], ['/from-env'], ['/from-option']],
    observe: async (_t, app) => {
      const admitted: string[] = []
      for (const secret of ['', '/from-env', '/from-option']) {
        if ((await app.inject(`/millis${secret}`)).statusCode === 426) admitted.push(secret)
      }
      return admitted
    }
  },
  {
    variable: 'ADMITTED_CALLS_ONLY',
    with: OPEN,
    inEnv: 'true',
    option: { admittedCallsOnly: false },
    expected: [3, 1, 3],
    observe: (t, app) => {
      app.admitCall('call_2')
      return seated(t, app)
    }
  },
  { variable: 'MAX_CALLS', with: OPEN, inEnv: '2', option: { limits: { maxCalls: 1 } }, expected: [3, 2, 1], observe: seated },
  {
    variable: 'MAX_CALLS_PER_ADDRESS',
    with: OPEN,
    inEnv: '2',
    option: { limits: { maxCallsPerAddress: 1 } },
    expected: [3, 2, 1],
    observe: seated
  },
  {
    variable: 'MAX_UNSTARTED_CALLS',
    with: OPEN,
    inEnv: '2',
    option: { limits: { maxUnstartedCalls: 1 } },
    expected: [3, 2, 1],
    observe: seated
  },
  {
    variable: 'MAX_UPGRADES_PER_SECOND',
    with: OPEN,
    inEnv: '2',
    option: { limits: { maxUpgradesPerSecond: 0 } },
    expected: [3, 2, 3],
    observe: seated
  },
  {
    variable: 'REDIS_URL',
    skip: noRedis,
    inEnv: SHARED.REDIS_URL,
    option: { cluster: { redis: `${SHARED.REDIS_URL}/1` } },
    expected: [[[], []], [['voice-agent'], []], [[], ['voice-agent']]],
    observe: kept
  },
  {
    variable: 'REDIS_PREFIX',
    with: SHARED,
    skip: noRedis,
    inEnv: 'mine',
    option: { cluster: { prefix: 'ours' } },
    expected: [[['voice-agent'], []], [['mine'], []], [['ours'], []]],
    observe: kept
  },
  {
    variable: 'NODE_NAME',
    with: SHARED,
    skip: noRedis,
    inEnv: 'left',
    option: { cluster: { node: 'right' } },
    expected: [hostname(), 'left', 'right'],
    observe: (_t, app) => /^(.+)-[\da-f]{8}$/.exec(app.calls.cluster.node)?.[1]
  },
  {
    variable: 'MAX_CLUSTER_CALLS',
    with: SHARED,
    skip: noRedis,
    inEnv: '2',
    option: { limits: { maxClusterCalls: 1 } },
    expected: [3, 2, 1],
    observe: async (t, app) => { await redis!.client.flushall(); return await seated(t, app) }
  },
  {
    variable: 'MAX_FRAMES_PER_SECOND',
    with: OPEN,
    inEnv: '2',
    option: { limits: { maxFramesPerSecond: 1 } },
    // Ten seconds' worth, of which the call's details are one.
    expected: [Infinity, 19, 9],
    observe: passed(caller => caller.send(retell.ping()))
  },
  {
    variable: 'MAX_BYTES_PER_CALL',
    with: OPEN,
    inEnv: '10000',
    option: { limits: { maxBytesPerCall: 5000 } },
    expected: [Infinity, 9, 4],
    observe: passed(caller => caller.send(JSON.stringify(retell.ping()).padEnd(1000)))
  },
  {
    variable: 'MAX_TURNS_PER_CALL',
    with: OPEN,
    inEnv: '8',
    option: { limits: { maxTurnsPerCall: 3 } },
    // The greeting is one.
    expected: [Infinity, 7, 2],
    observe: passed((caller, n) => caller.send(retell.request(n, 'Hi')))
  },
  {
    variable: 'MAX_TOKENS_PER_CALL',
    with: OPEN,
    agent: ({ call, reason }) => {
      if (reason === 'response') call.countTokens(5_000_000)
      return 'Yes'
    },
    inEnv: '10000000',
    option: { limits: { maxTokensPerCall: 6_000_000 } },
    expected: [20, 2, 1],
    observe: passed((caller, n) => caller.send(retell.request(n, 'Hi')))
  },
  {
    variable: 'MAX_CALL_DURATION_MS',
    with: OPEN,
    inEnv: '60000',
    option: { limits: { maxCallDurationMs: 20_000 } },
    // It is looked at every 5 s.
    expected: [7_205_000, 65_000, 25_000],
    observe: lasted
  },
  {
    variable: 'TRUSTED_PROXIES',
    with: { RETELL_ALLOWLIST: '192.0.2.1' },
    inEnv: '10.0.0.0/8, 127.0.0.1',
    option: { trustedProxies: ['172.16.0.0/12'] },
    expected: [[], ['10.1.2.3', '127.0.0.1'], ['172.16.0.1']],
    observe: async (_t, app) => {
      const believed: string[] = []
      for (const remoteAddress of ['10.1.2.3', '127.0.0.1', '172.16.0.1']) {
        const { statusCode } = await app.inject({
          url: '/llm-websocket/call_1', remoteAddress, headers: { 'x-forwarded-for': '192.0.2.1' }
        })
        if (statusCode === 426) believed.push(remoteAddress)
      }
      return believed
    }
  },
  {
    variable: 'ALLOWED_ORIGINS',
    with: OPEN,
    inEnv: 'https://env.example, https://both.example',
    option: { allowedOrigins: ['https://option.example'] },
    expected: [[], ['https://env.example', 'https://both.example'], ['https://option.example']],
    observe: async (t, app) => {
      const origins = ['https://env.example', 'https://both.example', 'https://option.example']
      const calls = await Promise.allSettled(origins.map((origin, i) => dial(t, app, `/llm-websocket/call_${i}`, { headers: { origin } })))
      return origins.filter((_, i) => calls[i]!.status === 'fulfilled')
    }
  },
  {
    variable: 'FIRST_TOKEN_TIMEOUT_MS',
    with: OPEN,
    agent: () => new Promise(() => {}),
    inEnv: '3000',
    option: { deadlines: { firstTokenMs: 2_000 } },
    expected: [5_000, 3_000, 2_000],
    observe: silent
  },
  {
    variable: 'TOKEN_GAP_TIMEOUT_MS',
    with: OPEN,
    agent: async function * () {
      yield 'One '
      await new Promise(() => {})
    },
    inEnv: '3000',
    option: { deadlines: { tokenGapMs: 2_000 } },
    expected: [5_000, 3_000, 2_000],
    observe: silent
  },
  {
    variable: 'TURN_TIMEOUT_MS',
    with: { ...OPEN, FIRST_TOKEN_TIMEOUT_MS: '0' },
    agent: () => new Promise(() => {}),
    inEnv: '3000',
    option: { deadlines: { turnMs: 2_000 } },
    expected: [60_000, 3_000, 2_000],
    observe: silent
  },
  {
    variable: 'FILLER_DELAY_MS',
    with: OPEN,
    options: { filler: 'One moment.' },
    agent: () => new Promise(() => {}),
    inEnv: '300',
    option: { deadlines: { fillerMs: 200 } },
    expected: [1_500, 300, 200],
    observe: silent
  },
  {
    variable: 'RECONNECT_GRACE_MS',
    with: OPEN,
    inEnv: '10000',
    option: { reconnectGraceMs: 5_000 },
    expected: [30_000, 10_000, 5_000],
    observe: awaited
  },
  {
    variable: 'DRAIN_TIMEOUT_MS',
    with: OPEN,
    inEnv: '3000',
    option: { drainTimeoutMs: 2_000 },
    expected: [5_000, 3_000, 2_000],
    observe: drained
  },
  {
    variable: 'READINESS_PATH',
    inEnv: '/ready',
    option: { readinessPath: '/health/ready' },
    expected: [[], ['/ready'], ['/health/ready']],
    observe: (_t, app) => ['', '/ready', '/health/ready'].filter(url => app.hasRoute({ method: 'GET', url }))
  },
  {
    variable: 'LIVENESS_PATH',
    inEnv: '/live',
    option: { livenessPath: '/health/live' },
    expected: [[], ['/live'], ['/health/live']],
    observe: (_t, app) => ['', '/live', '/health/live'].filter(url => app.hasRoute({ method: 'GET', url }))
  },
  {
    variable: 'OPENAI_API_KEY',
    with: withModel,
    inEnv: 'sk-env',
    option: { openai: { apiKey: 'sk-option' } },
    expected: ['Bearer none', 'Bearer sk-env', 'Bearer sk-option'],
    observe: asked(({ headers }) => headers.authorization)
  },
  {
    variable: 'OPENAI_BASE_URL',
    with: OPEN,
    inEnv: server.url,
    option: { openai: { baseURL: other.url } },
    expected: [undefined, hostOf(server.url), hostOf(other.url)],
    observe: asked(({ headers }) => headers.host)
  },
  {
    variable: 'OPENAI_MODEL',
    with: withModel,
    inEnv: 'from-env',
    option: { openai: { model: 'from-option' } },
    expected: ['gpt-4.1-mini', 'from-env', 'from-option'],
    observe: asked(({ body }) => body.model)
  },
  {
    variable: 'OPENAI_PROXY',
    with: { ...OPEN, OPENAI_BASE_URL: 'http://models.invalid/v1' },
    inEnv: 'environment',
    option: { openai: { baseURL: 'http://other.invalid/v1', proxy: 'none' } },
    expected: [[], ['models.invalid:80'], ['models.invalid:80']],
    observe: tunnelled
  },
  {
    variable: 'AZURE_OPENAI_ENDPOINT',
    with: { ...OPEN, OPENAI_MODEL: 'desk', AZURE_OPENAI_API_KEY: 'az' },
    inEnv: server.origin,
    option: { openai: { azure: { endpoint: other.origin } } },
    expected: [undefined, hostOf(server.url), hostOf(other.url)],
    observe: asked(({ headers }) => headers.host)
  },
  {
    variable: 'AZURE_OPENAI_API_KEY',
    with: withAzure,
    inEnv: 'az-other',
    option: { openai: { azure: { apiKey: 'az-option' } } },
    expected: ['az-env', 'az-other', 'az-option'],
    observe: asked(({ headers }) => headers['api-key'])
  },
  {
    variable: 'OPENAI_API_VERSION',
    with: withAzure,
    inEnv: '2025-01-01',
    option: { openai: { azure: { apiVersion: '2025-02-02' } } },
    expected: ['2024-10-21', '2025-01-01', '2025-02-02'],
    observe: asked(({ url }) => new URL(url, server.origin).searchParams.get('api-version'))
  },
  {
    variable: 'AGENT_INSTRUCTIONS',
    with: withModel,
    inEnv: 'Be brief.',
    option: { openai: { instructions: '' } },
    expected: [/on a phone call/, 'Be brief.', undefined],
    observe: asked(({ body }) => body.messages.find(({ role }) => role === 'system')?.content)
  },
  {
    variable: 'OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT',
    with: withModel,
    inEnv: 'true',
    option: { telemetry: { content: false } },
    expected: [undefined, 'Hi', undefined],
    async observe (t, app) {
      const { spans, stop } = useTelemetry(t)
      await asked(() => {})(t, app)
      // The next app is not to find it.
      await stop()
      const shown = spans.find(({ name }) => name.startsWith('chat'))!.attributes['gen_ai.input.messages'] as string | undefined
      return shown && JSON.parse(shown)[0].parts[0].content
    }
  },
  {
    variable: 'AGENT_GREETING',
    with: withModel,
    inEnv: 'Bakery, hello!',
    option: { openai: { greeting: '' } },
    expected: ['How may I help you?', 'Bakery, hello!', ''],
    observe: greeted
  }
]

t.test('every variable is tested', async t => {
  t.strictSame(SETTINGS.map(({ variable }) => variable).sort(), Object.keys(envSchema.properties).sort())
})

for (const { variable, with: others = {}, skip = false, options: more, agent, inEnv, option, expected, observe } of SETTINGS) {
  t.test(`${variable} changes the default, and its option changes it again`, { skip }, async t => {
    const steps: Array<[env: Partial<Record<Variable, string>>, options: VoiceAgentOptions]> = [
      [others, { ...more }],
      [{ ...others, [variable]: inEnv }, { ...more }],
      [{ ...others, [variable]: inEnv }, { ...more, ...option }]
    ]
    for (const [i, [variables, options]] of steps.entries()) {
      setEnv(t, variables)
      const { app } = createApp(t)
      if (agent !== undefined) app.decorate('agent', agent)
      await app.register(voiceAgentPlugin, options)
      await app.ready()
      // Callers hang up before their app closes.
      const observed = await observe(t, app)
      if (expected[i] instanceof RegExp) t.match(observed, expected[i])
      else t.strictSame(observed, expected[i])
    }
  })
}

t.test('an empty variable of the built-in agent counts as not set, except for its instructions and greeting', async t => {
  setEnv(t, { ...withAzure, OPENAI_MODEL: '', OPENAI_API_KEY: '', OPENAI_BASE_URL: '', OPENAI_API_VERSION: '' })
  const { app } = await build(t)
  const url = await asked(({ url }) => url)(t, app)
  t.equal(url, '/openai/deployments/gpt-4.1-mini/chat/completions?api-version=2024-10-21')

  setEnv(t, { OPENAI_API_KEY: '', OPENAI_BASE_URL: '', AZURE_OPENAI_ENDPOINT: '', AZURE_OPENAI_API_KEY: '' })
  const { app: scripted } = await build(t)
  t.equal(await asked(() => 'a model')(t, scripted), undefined)
})

// Wrong values

async function failure (t: Test, options: unknown): Promise<Error & { code?: string }> {
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, options as VoiceAgentOptions)
  return await app.ready().then(() => new Error('it started'), error => error)
}

const WRONG: Array<[variable: Variable, value: string, option: (value: unknown) => object, accepted: RegExp]> = [
  ['RETELL_PATH', 'voice', path => ({ retell: { path } }), /a path such as \/llm-websocket/],
  ['RETELL_PATH', '', path => ({ retell: { path } }), /a path such as \/llm-websocket/],
  ['RETELL_PATH', '/voice/', path => ({ retell: { path } }), /a path such as \/llm-websocket/],
  ['RETELL_PATH', '/:voice', path => ({ retell: { path } }), /a path such as \/llm-websocket/],
  [
    'RETELL_ALLOWLIST', 'retellai.com', allowlist => ({ retell: { allowlist } }),
    /: entry 1 is not accepted; .* IP addresses, CIDR ranges .* \*/
  ],
  ['RETELL_ALLOWLIST', '10.0.0.0/33', allowlist => ({ retell: { allowlist: [allowlist] } }), /: entry 1 is not accepted.* CIDR ranges/],
  ['RETELL_CALL_DETAILS_TIMEOUT_MS', 'soon', callDetailsTimeoutMs => ({ retell: { callDetailsTimeoutMs } }), /milliseconds, 0 to 20000/],
  ['RETELL_CALL_DETAILS_TIMEOUT_MS', '-1', callDetailsTimeoutMs => ({ retell: { callDetailsTimeoutMs } }), /milliseconds, 0 to 20000/],
  [
    'RETELL_CALL_DETAILS_TIMEOUT_MS', '60001', callDetailsTimeoutMs => ({ retell: { callDetailsTimeoutMs: Number(callDetailsTimeoutMs) } }),
    /milliseconds, 0 to 20000/
  ],
  [
    'RETELL_CALL_DETAILS_TIMEOUT_MS', '1.5', callDetailsTimeoutMs => ({ retell: { callDetailsTimeoutMs: Number(callDetailsTimeoutMs) } }),
    /milliseconds, 0 to 20000/
  ],
  ['RETELL_CALL_DETAILS_TIMEOUT_MS', '', callDetailsTimeoutMs => ({ retell: { callDetailsTimeoutMs } }), /milliseconds, 0 to 20000/],
  ['MILLIS_PATH', 'millis/', path => ({ millis: { path } }), /a path such as \/millis/],
  ['MILLIS_ALLOWLIST', '1.2.3.4;1.2.3.5', allowlist => ({ millis: { allowlist } }), /CIDR ranges/],
  [
    'RETELL_API_KEY', 'opensesamé', apiKey => ({ retell: { apiKey: [apiKey] } }),
    /ASCII text other than blanks; several are separated by commas/
  ],
  ['RETELL_API_KEY', ' , ', apiKey => ({ retell: { apiKey } }), /ASCII text other than blanks/],
  ['RETELL_API_KEY', ',', () => ({ retell: { apiKey: ['', ''] } }), /ASCII text other than blanks/],
  ['RETELL_WEBHOOK_PATH', 'hooks', webhookPath => ({ retell: { webhookPath } }), /a path such as \/webhooks\/retell/],
  [
    'MILLIS_WEBHOOK_SECRET', 'opensesame\t', webhookSecret => ({ millis: { webhookSecret } }),
    /ASCII text other than blanks; several are separated by commas/
  ],
  ['MILLIS_WEBHOOK_SECRET', ' ', webhookSecret => ({ millis: { webhookSecret: [webhookSecret] } }), /ASCII text other than blanks/],
  ['MILLIS_WEBHOOK_PATH', '/', webhookPath => ({ millis: { webhookPath } }), /a path such as \/webhooks\/millis/],
  ['VOICE_AGENT_SECRET', '', secret => ({ secret }), /at least one letter, digit or one of \. _ ~ -/],
  ['VOICE_AGENT_SECRET', 'opensesame/', secret => ({ secret }), /at least one letter, digit or one of \. _ ~ -/],
  ['VOICE_AGENT_SECRET', 'opensesame,', secret => ({ secret: String(secret).split(',') }), /several are separated by commas/],
  [
    'MAX_CLUSTER_CALLS', '-1', maxClusterCalls => ({ limits: { maxClusterCalls: Number(maxClusterCalls) } }), /a whole number, 0 = no limit/
  ],
  [
    'REDIS_URL', 'localhost:opensesame', redis => ({ cluster: { redis } }),
    /a URL such as redis:\/\/localhost:6379, or rediss:\/\/ with TLS/
  ],
  ['REDIS_PREFIX', 'open sesame', prefix => ({ cluster: { prefix } }), /letters, digits and \. _ : -, at most 64/],
  ['NODE_NAME', 'open/sesame', node => ({ cluster: { node } }), /letters, digits and \. _ : -, at most 64/],
  ['MAX_CALLS', '-1', maxCalls => ({ limits: { maxCalls: Number(maxCalls) } }), /a whole number, 0 = no limit/],
  ['MAX_CALLS', '1.5', maxCalls => ({ limits: { maxCalls: Number(maxCalls) } }), /a whole number, 0 = no limit/],
  ['MAX_CALLS', '', maxCalls => ({ limits: { maxCalls } }), /a whole number, 0 = no limit/],
  ['ADMITTED_CALLS_ONLY', '1', admittedCallsOnly => ({ admittedCallsOnly }), /true or false/],
  ['TRUSTED_PROXIES', '*', trustedProxies => ({ trustedProxies }), /: entry 1 would .* CIDR ranges/],
  ['TRUSTED_PROXIES', '0.0.0.0/0', trustedProxies => ({ trustedProxies }), /: entry 1 would .* CIDR ranges/],
  [
    'TRUSTED_PROXIES', '10.0.0.1,opensesame', trustedProxies => ({ trustedProxies: String(trustedProxies).split(',') }),
    /: entry 2 is not accepted.* CIDR ranges/
  ],
  ['TRUSTED_PROXIES', '10.0.0.1,opensesame/0', trustedProxies => ({ trustedProxies }), /: entry 2 would .* CIDR ranges/],
  ...[
    'https://app.example.com/', 'app.example.com', 'https://', 'https://a b', '*', 'null', 'ftp://app.example.com',
    'https://me@app.example.com'
  ].map(origin => (
    [
      'ALLOWED_ORIGINS', origin, (allowedOrigins: string) => ({ allowedOrigins: [allowedOrigins] }),
      /origins such as https:\/\/app.example.com/
    ] as (typeof WRONG)[number]
  )),
  ['READINESS_PATH', 'ready', readinessPath => ({ readinessPath }), /a path such as \/ready/],
  ['READINESS_PATH', '/ready?', readinessPath => ({ readinessPath }), /a path such as \/ready/],
  ['LIVENESS_PATH', '/', livenessPath => ({ livenessPath }), /a path such as \/live/],
  ['LIVENESS_PATH', '/:live', livenessPath => ({ livenessPath }), /a path such as \/live/],
  ['OPENAI_BASE_URL', 'localhost:11434/v1', baseURL => ({ openai: { baseURL } }), /an http or https URL/]
]

for (const [variable, value, option, accepted] of WRONG) {
  t.test(`${variable}=${value} stops the start, as does the option, and the error says what is accepted`, async t => {
    const names = `${variable} (option ${envSchema.properties[variable].title})`
    setEnv(t, { [variable]: value })
    const byEnv = await failure(t, {})
    setEnv(t)
    const byOption = await failure(t, option(value))
    for (const error of [byEnv, byOption]) {
      t.match(error, { code: 'VOICE_AGENT_ERR_CONFIG', message: accepted })
      t.ok(error.message.startsWith(names), error.message)
      t.notMatch(error.message, 'opensesame')
    }
  })
}

t.test('an Azure endpoint that is not a URL stops the start', async t => {
  setEnv(t, { AZURE_OPENAI_ENDPOINT: 'desk', AZURE_OPENAI_API_KEY: 'az' })
  t.match(await failure(t, {}), { code: 'VOICE_AGENT_ERR_CONFIG', message: 'AZURE_OPENAI_ENDPOINT (option openai.azure.endpoint)' })
})

t.test('one error names all wrong variables', async t => {
  setEnv(t, { RETELL_PATH: '', VOICE_AGENT_SECRET: 'a b', MILLIS_PATH: '/fine' })
  const { message } = await failure(t, {})
  t.match(message, 'RETELL_PATH (option retell.path) must be')
  t.match(message, 'VOICE_AGENT_SECRET (option secret) must be')
  t.notMatch(message, /MILLIS|a b/)
})

t.test('an option that is undefined counts as not given', async t => {
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, {
    retell: { path: undefined },
    millis: undefined,
    secret: undefined,
    openai: {
      azure: undefined
    },
    fallback: undefined,
    onCallEnd: undefined,
    prefix: undefined
  } as unknown as VoiceAgentOptions)
  await app.ready()
  t.ok(app.hasRoute({ method: 'GET', url: '/llm-websocket/:call_id' }))
})

t.test('the options are not changed', async t => {
  const options: VoiceAgentOptions = Object.freeze({
    retell: Object.freeze({ path: '/voice' }), openai: Object.freeze({ azure: Object.freeze({}) })
  })
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, options)
  await app.ready()
  t.strictSame(options, { retell: { path: '/voice' }, openai: { azure: {} } })
})

// Options without a variable

t.test('messages.leadingAssistant lets turn.messages start with the assistant', async t => {
  for (const leadingAssistant of [undefined, false, true]) {
    const roles = deferred<string[]>()
    const { app } = await build(
      t, turn => roles.resolve(turn.messages.map(({ role }) => role)) ?? '',
      leadingAssistant === undefined ? {} : { messages: { leadingAssistant } }
    )
    const caller = await dialRetell(t, app)
    caller.send(retell.request(1, 'Hello!', 'Hi'))
    t.strictSame(await roles.promise, leadingAssistant ? ['assistant', 'user'] : ['user', 'assistant', 'user'])
  }
})

t.test('millis.controlFrames replaces the frames it names, and no other', async t => {
  const { app } = await build(
    t, undefined, { millis: { controlFrames: { endCall: streamId => ({ type: 'hang_up', of: streamId ?? null }) } } }
  )
  const caller = await dial(t, app, '/millis')
  const call = [...app.calls][0]!
  await call.end()
  t.strictSame(await caller.next(), { type: 'hang_up', of: null })
  const second = await dial(t, app, '/millis')
  await [...app.calls][1]!.transfer('+15550100')
  t.match(await second.next(), { type: 'transfer_call', data: { destination: '+15550100' } })
})

t.test('the hooks run', async t => {
  const ran: string[] = []
  const ended = deferred()
  const { app } = await build(t, undefined, {
    onCallStart: call => { ran.push(`start ${call.id}`) },
    onTranscript: (_call, { partial }) => { ran.push(`heard ${partial}`) },
    onTurnEnd: (turn, { outcome }) => { ran.push(`${turn.reason} ${outcome}`) },
    onCallEnd: (call, { turns }) => {
      ran.push(`end ${call.id} ${turns}`)
      ended.resolve()
    }
  })
  const caller = await dial(t, app, '/millis')
  caller.send(millis.start(0, 'ses_1'))
  await caller.stream(0)
  caller.send({ type: 'partial_transcript', data: { transcript: 'Hi', is_final: false } })
  await caller.settled()
  await app.close()
  await ended.promise
  t.strictSame(ran, ['start ses_1', 'greeting completed', 'heard Hi', 'end ses_1 1'])
})

// Beside the app's own @fastify/env

for (const before of [true, false]) {
  t.test(`@fastify/env of the app, registered ${before ? 'before' : 'after'}, keeps app.config and getEnvs()`, async t => {
    setEnv(t, { RETELL_PATH: '/voice' })
    const { app } = createApp(t)
    const schema = Type.Object({ GREETING: Type.String({ default: 'Hi' }) })
    if (before) app.register(env, { confKey: 'config', schema })
    app.register(voiceAgentPlugin)
    if (!before) app.register(env, { confKey: 'config', schema })
    app.get('/envs', async request => request.getEnvs())
    await app.ready()
    t.strictSame(app.getDecorator('config'), { GREETING: 'Hi' })
    t.strictSame(app.getEnvs(), { GREETING: 'Hi' })
    t.strictSame((await app.inject('/envs')).json(), { GREETING: 'Hi' })
    t.ok(app.hasRoute({ method: 'GET', url: '/voice/:call_id' }))
  })
}

t.test('the plugin leaves nothing of its environment on an app without @fastify/env', async t => {
  const { app } = await build(t)
  t.notOk(app.hasDecorator('getEnvs'))
  t.notOk(app.hasDecorator('voiceAgentEnv'))
})

t.test('envSchema can be part of the app\'s own schema', async t => {
  setEnv(t, { MILLIS_PATH: '/desk' })
  const { app } = createApp(t)
  await app.register(env, { schema: Type.Composite([envSchema, Type.Object({ GREETING: Type.String({ default: 'Hi' }) })]) })
  await app.register(voiceAgentPlugin)
  await app.ready()
  t.match(app.getDecorator('config'), { GREETING: 'Hi', MILLIS_PATH: '/desk', RETELL_ALLOWLIST: '100.20.5.228' })
})

t.test('a setting that is not given has its default, which its schema accepts', async t => {
  setEnv(t, { MAX_CALLS: '7' })
  const { app } = createApp(t)
  await app.register(async scope => {
    const config = await readSettings(scope, { retell: { path: '/voice' } })
    const defaults = Object.entries(envSchema.properties).flatMap(([name, { default: value }]) => value === undefined
      ? []
      : [
          [name, value]
        ])
    t.strictSame(config, { ...Object.fromEntries(defaults), MAX_CALLS: 7, RETELL_PATH: '/voice' })
    t.ok(Value.Check(envSchema, { ...Object.fromEntries(defaults) }))
  })
  await app.ready()
})

t.test('an error of another kind is passed on unchanged', async t => {
  const error = new Error('disk full')
  t.equal(toConfigError(error), error)
})

t.test('limits that depend on another one grow with it, down to a minimum for small servers', async t => {
  const ceilings = (maxCalls: string) => {
    const { maxCalls: all, maxCallsPerAddress, maxUnstartedCalls, maxUpgradesPerSecond } = ceilingsOf({
      MAX_CALLS: Number(maxCalls)
    } as Env)
    return [all, maxCallsPerAddress, maxUnstartedCalls, maxUpgradesPerSecond]
  }
  t.strictSame(ceilings('1'), [1, 1, 500, 1_000])
  t.strictSame(ceilings('1000'), [1_000, 1_000, 500, 1_000])
  t.strictSame(ceilings('5000'), [5_000, 5_000, 2_500, 5_000])
  t.strictSame(ceilings('0'), [Infinity, Infinity, 500, 1_000])
})
