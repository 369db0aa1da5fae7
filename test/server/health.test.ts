import { once } from 'node:events'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { LiveCall } from '../../lib/call/call.js'
import type { CallRegistry } from '../../lib/call/registry.js'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp, deferred } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { dialUrl, millis, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { upgrade, upgradeAndStay } from '../helpers/upgrade.js'
import { BEARER, KEY, signed } from '../helpers/webhooks.js'

const PATHS = { readinessPath: '/ready', livenessPath: '/live' }
const OPEN = { ...AT_ONCE, ...PATHS, retell: { allowlist: '*' }, millis: { allowlist: '*' } } satisfies VoiceAgentOptions

setEnv(t)

type Setup = (app: FastifyInstance) => PromiseLike<unknown> | void

/** A listening app. `first` is done before the plugin is registered, `then` after. */
async function start (t: Test, options: VoiceAgentOptions = {}, { first, then, server = {} }: { first?: Setup, then?: Setup, server?: FastifyServerOptions } = {}) {
  const { app, logs } = createApp(t, 'trace', server)
  await first?.(app)
  await app.register(voiceAgentPlugin, { ...OPEN, ...options })
  await then?.(app)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    url,
    retell: `${url}/llm-websocket`,
    millis: `${url}/millis`,
    probe: (path = '/ready', method = 'GET') => probe(url + path, method),
    logs,
    complaints: () => logs.filter(({ level }) => level === 40)
  }
}

async function probe (url: string, method = 'GET') {
  const response = await fetch(url, { method })
  const text = await response.text()
  return { code: response.status, ...(text !== '' && { status: JSON.parse(text).status }), retryAfter: response.headers.get('retry-after'), cache: response.headers.get('cache-control') }
}

const ready = { code: 200, status: 'ready', retryAfter: null, cache: 'no-store' }
const alive = { code: 200, status: 'alive', retryAfter: null, cache: 'no-store' }
const unready = (status: string) => ({ code: 503, status, retryAfter: '1', cache: 'no-store' })

/** The answer to an upgrade that is refused. */
async function refusal (url: string): Promise<{ status: number, retryAfter: string | undefined, code: string }> {
  const [, response] = await once(new WebSocket(url), 'unexpected-response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, retryAfter: response.headers['retry-after'], code: JSON.parse(body).code }
}

const TOO_MUCH = { status: 503, retryAfter: '1', code: 'VOICE_AGENT_ERR_LIMIT' }

async function gone (app: FastifyInstance): Promise<void> {
  while (app.calls.size > 0) await tick()
}

// What each route says

t.test('a process that has nothing to do is ready and alive, and is asked as often as one likes without a line in the log', async t => {
  const { app, logs } = createApp(t, 'info')
  await app.register(voiceAgentPlugin, OPEN)
  await app.ready()
  for (const [url, status] of [['/ready', 'ready'], ['/live', 'alive']] as const) {
    const { statusCode, headers, body } = await app.inject(url)
    t.strictSame([statusCode, headers['cache-control'], headers['content-type'], JSON.parse(body)], [200, 'no-store', 'application/json; charset=utf-8', { status }])
    t.equal(headers['retry-after'], undefined)
  }
  t.strictSame(logs.filter(({ reqId }) => reqId !== undefined), [])
})

t.test('HEAD is answered as GET is, unless the app has no HEAD routes', async t => {
  const { app, retell, probe } = await start(t, { limits: { maxCalls: 1 } })
  await dialUrl(t, `${retell}/call_1`)
  t.strictSame(await probe('/ready', 'HEAD'), { code: 503, retryAfter: '1', cache: 'no-store' })
  t.strictSame(await probe('/live', 'HEAD'), { code: 200, retryAfter: null, cache: 'no-store' })
  t.equal(app.calls.size, 1)
  const without = await start(t, {}, { server: { exposeHeadRoutes: false } })
  for (const path of ['/ready', '/live']) t.equal((await without.probe(path, 'HEAD')).code, 404)
})

t.test('a prefix is theirs, too', async t => {
  const { probe } = await start(t, { prefix: '/sales' })
  t.strictSame([await probe('/sales/ready'), await probe('/sales/live'), (await probe('/ready')).code], [ready, alive, 404])
})

t.test('who asks for an upgrade is answered as anybody, without one, and hung up on', async t => {
  for (const first of [undefined, (app: FastifyInstance) => app.register(websocket)]) {
    const { app, url, logs } = await start(t, {}, first && { first })
    for (const [path, status] of [['/ready', 'ready'], ['/live', 'alive']] as const) {
      const { status: line, socket } = await upgradeAndStay(t, url + path)
      t.equal(line, 'HTTP/1.1 200 OK')
      await once(socket, 'close')
      t.strictSame(await upgrade(t, url + path), { status: 200, body: JSON.stringify({ status }) })
    }
    t.strictSame(logs.filter(({ msg }) => /closed incoming/.test(msg)), [])
    await app.close()
  }
})

t.test('what an app is free to serve under these paths, it serves', async t => {
  const { probe } = await start(t, { readinessPath: '', livenessPath: '' }, {
    then (app) { app.get('/ready', async () => ({ status: 'mine' })) }
  })
  t.match([await probe('/ready'), await probe('/live')], [{ code: 200, status: 'mine' }, { code: 404 }])
})

// Full

t.test('who has no place left is not ready, but alive, until a call ends', async t => {
  for (const path of ['/llm-websocket/call_1', '/millis']) {
    const { app, url, probe } = await start(t, { limits: { maxCalls: 2 } })
    await dialUrl(t, `${url}/llm-websocket/call_0`)
    t.strictSame(await probe(), ready)
    const last = await dialUrl(t, url + path)
    t.strictSame([await probe(), await probe('/live')], [unready('full'), alive])
    // Being asked takes nothing.
    t.strictSame(await probe(), unready('full'))
    last.socket.close()
    await last.closed
    while (app.calls.size > 1) await tick()
    t.strictSame(await probe(), ready)
  }
})

t.test('so is who waits for too many calls to begin', async t => {
  const { retell: url, probe } = await start(t, { limits: { maxUnstartedCalls: 1 } })
  const caller = await dialUrl(t, `${url}/call_1`)
  t.strictSame(await probe(), unready('full'))
  caller.send(retell.details())
  await caller.response(0)
  t.strictSame(await probe(), ready)
})

t.test('a call takes its place before its upgrade is done', async t => {
  const gate = deferred()
  const waiting = deferred()
  const { retell: url, probe } = await start(t, { limits: { maxCalls: 1 } }, {
    first (app) {
      app.addHook('preHandler', async request => {
        if (!request.ws) return
        waiting.resolve()
        await gate.promise
      })
    }
  })
  const asked = dialUrl(t, `${url}/call_1`)
  await waiting.promise
  t.strictSame(await probe(), unready('full'))
  gate.resolve()
  await asked
  t.strictSame(await probe(), unready('full'))
})

t.test('ceilings that are one address\'s, or a moment\'s, make nobody full', async t => {
  const { retell: url, probe } = await start(t, { limits: { maxCallsPerAddress: 1, maxUpgradesPerSecond: 1 } })
  await dialUrl(t, `${url}/call_1`)
  t.equal((await upgrade(t, `${url}/call_2`)).status, 503)
  t.strictSame(await probe(), ready)
})

t.test('without ceilings, or without a provider, nobody is full', async t => {
  const { retell: url, probe } = await start(t, { limits: { maxCalls: 0, maxUnstartedCalls: 0 } })
  await dialUrl(t, `${url}/call_1`)
  t.strictSame(await probe(), ready)
  const idle = await start(t, { retell: false, millis: false, limits: { maxCalls: 1 } })
  t.strictSame(await idle.probe(), ready)
})

t.test('a call that waits for Retell keeps its place', async t => {
  const { app, retell: url, probe } = await start(t, { limits: { maxCalls: 1 }, reconnectGraceMs: 60_000 })
  const caller = await dialUrl(t, `${url}/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  caller.socket.terminate()
  while ((app.calls as CallRegistry<LiveCall>).waitingFor('retell') === 0) await tick()
  t.strictSame(await probe(), unready('full'))
  const again = await dialUrl(t, `${url}/call_1`)
  t.strictSame(await probe(), unready('full'))
  again.socket.close(1000)
  await gone(app)
  t.strictSame(await probe(), ready)
})

t.test('where one waits for Millis, which does not say who dials, there is a place', async t => {
  const { app, millis: url, probe } = await start(t, { limits: { maxCalls: 1 }, reconnectGraceMs: 60_000 })
  const caller = await dialUrl(t, url)
  caller.send(millis.start(0))
  await caller.stream(0)
  t.strictSame(await probe(), unready('full'))
  caller.socket.terminate()
  while ((app.calls as CallRegistry<LiveCall>).waitingFor('millis') === 0) await tick()
  t.strictSame(await probe(), ready)
  const again = await dialUrl(t, url)
  t.strictSame(await probe(), unready('full'))
  again.send(millis.start(1))
  await again.settled()
  t.strictSame([app.calls.size, await probe()], [1, unready('full')])
})

t.test('two lines are full each for itself, and close as one', async t => {
  const { app } = createApp(t)
  for (const prefix of ['/sales', '/support']) {
    app.register(async scope => { await scope.register(voiceAgentPlugin, { ...OPEN, prefix, limits: { maxCalls: 1 }, drainTimeoutMs: 60_000 }) })
  }
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const caller = await dialUrl(t, `${url}/sales/llm-websocket/call_1`)
  t.strictSame([await probe(`${url}/sales/ready`), await probe(`${url}/support/ready`)], [unready('full'), ready])
  const closed = app.close()
  t.strictSame([await probe(`${url}/sales/ready`), await probe(`${url}/support/ready`)], [unready('closing'), unready('closing')])
  caller.socket.close(1000)
  await closed
})

// Closing

t.test('while calls go on in an app that closes it is alive, and not ready, be it full or not', async t => {
  const hook = deferred()
  const written = deferred()
  const { app, retell: url, probe } = await start(t, {
    limits: { maxCalls: 2 },
    drainTimeoutMs: 60_000,
    async onCallEnd () {
      written.resolve()
      await hook.promise
    }
  }, { server: { pluginTimeout: 50 } })
  const callers = await Promise.all(['call_1', 'call_2'].map(id => dialUrl(t, `${url}/${id}`)))
  callers[1]!.send(retell.details())
  await callers[1]!.response(0)
  t.strictSame(await probe(), unready('full'))
  const closed = app.close()
  const sayClosing = async () => {
    t.strictSame([await probe(), await probe('/live')], [unready('closing'), alive])
    t.strictSame([(await probe('/ready', 'HEAD')).code, (await probe('/live', 'HEAD')).code], [503, 200])
  }
  await sayClosing()
  callers[0]!.socket.close(1000)
  while (app.calls.size > 1) await tick()
  await sayClosing()
  callers[1]!.socket.close(1000)
  await written.promise
  // Nobody speaks any more, and what was said is being written down.
  await sayClosing()
  hook.resolve()
  await closed
})

// One path for two

t.test('a path that another route has is refused, by name', async t => {
  for (const [option, variable] of [['readinessPath', 'READINESS_PATH'], ['livenessPath', 'LIVENESS_PATH']] as const) {
    const { app } = createApp(t)
    app.get('/line/mine', async () => 'mine')
    app.register(voiceAgentPlugin, { prefix: '/line', [option]: '/mine' })
    await t.rejects(async () => { await app.ready() }, { code: 'VOICE_AGENT_ERR_CONFIG', message: `${variable} (option ${option}): another route has this path` })
  }
})

t.test('two lines that share one prefix cannot share a path', async t => {
  setEnv(t, { READINESS_PATH: '/ready' })
  const { app } = createApp(t)
  for (const line of ['/sales', '/support']) {
    app.register(async scope => { await scope.register(voiceAgentPlugin, { ...AT_ONCE, retell: { path: line }, millis: false }) })
  }
  await t.rejects(async () => { await app.ready() }, { code: 'VOICE_AGENT_ERR_CONFIG', message: 'READINESS_PATH (option readinessPath): another route has this path' })
})

// @fastify/under-pressure

/** An app whose under-pressure is registered before us or after, and asks `isHealthy`. */
async function startUnderPressure (t: Test, isFirst: boolean, health: { isHealthy: boolean }, options: VoiceAgentOptions = {}, pressure: Parameters<typeof underPressure>[1] = {}) {
  const register: Setup = app => app.register(underPressure, { healthCheck: async () => health.isHealthy, healthCheckInterval: 1, ...pressure })
  const started = await start(t, options, {
    [isFirst ? 'first' : 'then']: register
  })
  return {
    ...started,
    /** Changes the health, and waits until it is noticed. */
    async turn (isHealthy: boolean): Promise<void> {
      health.isHealthy = isHealthy
      while (started.app.isUnderPressure() === isHealthy) await tick()
    }
  }
}

for (const isFirst of [true, false]) {
  const order = isFirst ? 'before us' : 'after us'

  t.test(`under pressure, registered ${order}: no new call is taken at any URL, and counted; we are not ready, but alive`, async t => {
    const { app, url, probe, complaints } = await startUnderPressure(t, isFirst, { isHealthy: false })
    t.strictSame([await probe(), await probe('/live')], [unready('under-pressure'), alive])
    t.strictSame([await probe('/ready', 'HEAD'), await probe('/live', 'HEAD')], [{ code: 503, retryAfter: '1', cache: 'no-store' }, { code: 200, retryAfter: null, cache: 'no-store' }])
    const paths = ['/llm-websocket/call_1', '/llm-websocket/%7Bcall_id%7D/call_1', '/millis', '/millis/x', '/millis/x/y']
    for (const path of paths) t.strictSame(await refusal(url + path), TOO_MUCH, path)
    t.match(complaints(), paths.map(() => ({ level: 40, address: '127.0.0.1', limit: undefined, msg: 'refused: the app is under pressure' })))
    t.strictSame(Object.entries(app.calls.refusals).filter(([, count]) => count > 0), [['pressure', paths.length]])
    t.equal(app.calls.size, 0)
    // Who dials nobody is told so, as ever.
    t.strictSame(await refusal(`${url}/llm-websocket`), { status: 400, retryAfter: undefined, code: 'VOICE_AGENT_ERR_CALL_ID' })
    // And who asks for no upgrade takes nothing.
    t.equal((await fetch(`${url}/llm-websocket/call_1`)).status, 426)
  })

  t.test(`under pressure, registered ${order}: a call that goes on does, and its provider is let in again`, async t => {
    const { app, retell: url, turn, probe } = await startUnderPressure(t, isFirst, { isHealthy: true }, { reconnectGraceMs: 60_000, limits: { maxCalls: 1 } })
    const caller = await dialUrl(t, `${url}/call_1`)
    caller.send(retell.details())
    await caller.response(0)
    await turn(false)
    caller.send(retell.request(1, 'Still there?'))
    t.match((await caller.response(1)).at(0), { response_id: 1 })
    caller.socket.terminate()
    while ((app.calls as CallRegistry<LiveCall>).waitingFor('retell') === 0) await tick()
    t.strictSame(await refusal(`${url}/call_2`), TOO_MUCH)
    t.strictSame(await probe(), unready('under-pressure'), 'full as it is')
    const again = await dialUrl(t, `${url}/call_1`)
    t.match(await again.next(), { response_type: 'config' })
    t.match([app.calls.size, app.calls.refusals], [1, { pressure: 1, maxCalls: 0 }])
    await turn(true)
    t.strictSame(await probe(), unready('full'))
  })

  t.test(`under pressure, registered ${order}: other routes are refused by its own hook`, async t => {
    const { url } = await startUnderPressure(t, isFirst, { isHealthy: false }, {}, { retryAfter: 7 })
    const response = await fetch(`${url}/`)
    // A route that is none is refused by it, too.
    t.match([response.status, response.headers.get('retry-after'), await response.json()], [503, '7', { code: 'FST_UNDER_PRESSURE' }])
  })
}

t.test('under pressure strangers are still strangers', async t => {
  const { app, url, complaints } = await startUnderPressure(t, true, { isHealthy: false }, { retell: { allowlist: '192.0.2.1' }, millis: { allowlist: '*' }, admittedCallsOnly: true })
  t.strictSame(await refusal(`${url}/llm-websocket/call_1`), { status: 403, retryAfter: undefined, code: 'VOICE_AGENT_ERR_FORBIDDEN' })
  t.match(complaints().at(-1), { msg: 'refused: address is not on the allowlist' })
  t.match(app.calls.refusals, { address: 1, pressure: 0 })

  const { app: secretive, url: address } = await startUnderPressure(t, false, { isHealthy: false }, { secret: 'opensesame', admittedCallsOnly: true })
  t.match(await refusal(`${address}/llm-websocket/call_1`), { status: 403 })
  t.match(await refusal(`${address}/llm-websocket/opensesame/call_1`), { status: 403 })
  secretive.admitCall('call_1')
  t.strictSame(await refusal(`${address}/llm-websocket/opensesame/call_1`), TOO_MUCH)
  t.match(await refusal(`${address}/millis`), { status: 403 })
  t.strictSame(await refusal(`${address}/millis/opensesame`), TOO_MUCH)
  t.match(secretive.calls.refusals, { secret: 2, call: 1, pressure: 2 })
})

t.test('under pressure Millis is let in as long as a call of its waits', async t => {
  const { app, millis: url, retell: other, turn } = await startUnderPressure(t, true, { isHealthy: true }, { reconnectGraceMs: 60_000 })
  const caller = await dialUrl(t, url)
  caller.send(millis.start(0))
  await caller.stream(0)
  await turn(false)
  t.strictSame(await refusal(url), TOO_MUCH)
  caller.socket.terminate()
  while ((app.calls as CallRegistry<LiveCall>).waitingFor('millis') === 0) await tick()
  t.strictSame(await refusal(`${other}/call_1`), TOO_MUCH, 'Retell says which call it is')
  const again = await dialUrl(t, url)
  again.send(millis.start(1))
  await again.settled()
  t.equal(app.calls.size, 1)
  t.strictSame(await refusal(url), TOO_MUCH)
})

t.test('once the pressure is over calls are taken, as many as ever', async t => {
  const { app, retell: url, turn, probe } = await startUnderPressure(t, false, { isHealthy: false }, { limits: { maxUpgradesPerSecond: 1 } })
  for (let i = 0; i < 5; i++) t.strictSame(await refusal(`${url}/call_1`), TOO_MUCH)
  await turn(true)
  t.strictSame(await probe(), ready)
  await dialUrl(t, `${url}/call_1`)
  t.match(app.calls.refusals, { pressure: 5, maxUpgradesPerSecond: 0 })
})

t.test('too little memory is pressure as well', async t => {
  const { app, retell: url, probe } = await start(t, {}, { first: app => app.register(underPressure, { maxHeapUsedBytes: 1, sampleInterval: 10 }) })
  while (!app.isUnderPressure()) await tick()
  t.strictSame([await probe(), await probe('/live'), await refusal(`${url}/call_1`)], [unready('under-pressure'), alive, TOO_MUCH])
})

t.test('while an app closes under pressure it says that it closes', async t => {
  const { app, retell: url, turn, probe } = await startUnderPressure(t, true, { isHealthy: true }, { drainTimeoutMs: 60_000 })
  const caller = await dialUrl(t, `${url}/call_1`)
  await turn(false)
  const closed = app.close()
  t.strictSame([await probe(), await probe('/live')], [unready('closing'), alive])
  t.match(await refusal(`${url}/call_2`), { status: 503, code: 'VOICE_AGENT_ERR_CLOSING' })
  t.match(app.calls.refusals, { closing: 1, pressure: 0 })
  caller.socket.close(1000)
  await closed
})

t.test('lines in scopes of their own heed the root\'s pressure, whenever it is registered', async t => {
  for (const isFirst of [true, false]) {
    const { app } = createApp(t)
    const register = () => app.register(underPressure, { healthCheck: async () => false, healthCheckInterval: 60_000 })
    if (isFirst) register()
    app.register(async scope => { await scope.register(voiceAgentPlugin, { ...OPEN, prefix: '/sales' }) })
    if (!isFirst) register()
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    t.strictSame([await probe(`${url}/sales/ready`), await probe(`${url}/sales/live`)], [unready('under-pressure'), alive])
    t.strictSame(await refusal(`${url}/sales/millis`), TOO_MUCH)
  }
})

t.test('an app\'s own pressureHandler is not asked about calls, nor does it let them in', async t => {
  const asked: string[] = []
  const { app, url } = await startUnderPressure(t, true, { isHealthy: false }, {}, { pressureHandler (request) { asked.push(request.url) } })
  t.strictSame(await refusal(`${url}/millis`), TOO_MUCH)
  t.equal((await fetch(`${url}/ready`)).status, 503)
  await fetch(`${url}/elsewhere`)
  t.strictSame([asked, app.calls.refusals.pressure], [['/elsewhere'], 1])
})

t.test('webhooks are left to its hook, and told once their sender tries again', async t => {
  const told = deferred<unknown>()
  const { url, turn } = await startUnderPressure(t, true, { isHealthy: false }, {
    retell: { allowlist: '*', apiKey: KEY },
    millis: { allowlist: '*', webhookSecret: BEARER.authorization.slice('Bearer '.length) },
    onWebhook: event => told.resolve(event.callId)
  }, { retryAfter: 7 })
  const body = '{"event":"call_ended","call":{"call_id":"call_1"}}'
  const send = () => fetch(`${url}/webhooks/retell`, { method: 'POST', body, headers: signed(body) })
  for (const response of [await send(), await fetch(`${url}/webhooks/millis`, { headers: BEARER })]) {
    t.match([response.status, response.headers.get('retry-after'), await response.json()], [503, '7', { code: 'FST_UNDER_PRESSURE' }])
  }
  await turn(true)
  t.equal((await send()).status, 204)
  t.equal(await told.promise, 'call_1')
})

t.test('what an app of its own calls isUnderPressure is pressure when it says so, and nothing else is', async t => {
  const answers: Array<[own: unknown, status: object]> = [
    [() => true, unready('under-pressure')],
    [() => false, ready],
    [async () => false, ready],
    [true, ready],
    [undefined, ready]
  ]
  for (const [own, status] of answers) {
    const { app, retell: url, probe } = await start(t, {}, { first (app) { app.decorate('isUnderPressure', own as () => boolean) } })
    t.strictSame(await probe(), status)
    const { status: code } = await upgrade(t, `${url}/call_1`)
    t.equal(code, status === ready ? 101 : 503)
    t.equal(app.calls.refusals.pressure, status === ready ? 0 : 1)
  }
})
