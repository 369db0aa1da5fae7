import { once } from 'node:events'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import websocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import voiceAgentPlugin, { scriptedAgent, tool, Type, voiceAgentPlugin as named, type Agent, type Call, type VoiceAgentOptions } from '../lib/index.js'
import { AT_ONCE, build, createApp, deferred, type LogLine } from './helpers/app.js'
import { installClock } from './helpers/clock.js'
import { dial, dialRetell, dialUrl, millis, retell, type Caller, type Frame } from './helpers/caller.js'
import { setEnv } from './helpers/env.js'
import { hold, startScriptedModel } from '../lib/testing/scripted-model.js'
import { upgrade, upgradeAndStay } from './helpers/upgrade.js'

const OPEN = { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' } } satisfies VoiceAgentOptions

setEnv(t)

// Introduces a call and returns its greeting.
async function greeting (caller: Caller): Promise<string> {
  caller.send(retell.details())
  return said(await caller.response(0))
}

async function answer (caller: Caller, id: number, ...words: string[]): Promise<string> {
  caller.send(retell.request(id, ...words))
  return said(await caller.response(id))
}

function said (frames: Frame[]): string {
  return frames.map(({ content }) => content).join('')
}

// Registers a line in a scope of its own; the scope is there once the app is ready.
function registerLine (app: FastifyInstance, options: VoiceAgentOptions, agent?: Agent): () => FastifyInstance {
  let line: FastifyInstance
  app.register(async scope => {
    line = scope
    if (agent !== undefined) scope.decorate('agent', agent)
    await scope.register(voiceAgentPlugin, options)
  })
  return () => line
}

function wsUrl (address: string): string {
  return address.replace('http', 'ws')
}

async function startModel (t: Test) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  return server
}

// Registering

t.test('the plugin is the default export and a named one', async t => {
  t.equal(named, voiceAgentPlugin)
})

t.test('a call is taken when register is awaited, and when it is not', async t => {
  for (const awaited of [true, false]) {
    const { app } = createApp(t)
    app.decorate('agent', () => 'Hello!')
    const registered = app.register(voiceAgentPlugin, OPEN)
    if (awaited) await registered
    await app.ready()
    t.equal(await greeting(await dialRetell(t, app)), 'Hello!', `awaited: ${awaited}`)
  }
})

t.test('the options may come from a function', async t => {
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, () => OPEN)
  await app.ready()
  t.equal(await greeting(await dialRetell(t, app)), 'How may I help you?')
})

t.test('one agent takes calls of both providers', async t => {
  const { app } = await build(t, turn => `Hello, ${turn.call.provider}!`)
  t.equal(await greeting(await dialRetell(t, app)), 'Hello, retell!')
  const caller = await dial(t, app, '/millis')
  caller.send(millis.start(0))
  t.strictSame(await caller.stream(0), [
    { type: 'stream_response', data: { stream_id: 0, content: 'Hello, millis!', flush: true, end_of_stream: true } }
  ])
})

t.test('registering twice on one instance stops the start', async t => {
  for (const order of ['awaited', 'not awaited']) {
    const { app } = createApp(t)
    const first = app.register(voiceAgentPlugin)
    if (order === 'awaited') await first
    app.register(voiceAgentPlugin)
    await t.rejects(Promise.resolve(app.ready()), { code: 'VOICE_AGENT_ERR_ALREADY_REGISTERED', message: /once per scope/ }, order)
  }
})

t.test('a decorator of the app that is named calls stops the start', async t => {
  const { app } = createApp(t)
  app.decorate('calls', [] as never)
  app.register(voiceAgentPlugin)
  await t.rejects(Promise.resolve(app.ready()), { code: 'VOICE_AGENT_ERR_ALREADY_REGISTERED' })
})

t.test('two lines on one path stop the start', async t => {
  const { app } = createApp(t)
  app.register(voiceAgentPlugin)
  registerLine(app, {})
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_ERR_DUPLICATED_ROUTE' })
})

t.test('registering on an app that has started is an error', async t => {
  const { app } = createApp(t)
  await app.ready()
  await t.rejects(async () => { await app.register(voiceAgentPlugin) }, { code: 'AVV_ERR_ROOT_PLG_BOOTED' })
})

// Agents

t.test('the agent may be decorated before the plugin is registered, and after', async t => {
  for (const before of [true, false]) {
    const { app } = createApp(t)
    if (before) app.decorate('agent', () => 'Mine.')
    await app.register(voiceAgentPlugin, OPEN)
    if (!before) app.decorate('agent', () => 'Mine.')
    await app.ready()
    t.equal(await greeting(await dialRetell(t, app)), 'Mine.', `before: ${before}`)
  }
})

t.test('an agent of a parent serves a line that is registered in a scope', async t => {
  const { app } = createApp(t)
  app.decorate('agent', () => 'Mine.')
  const line = registerLine(app, OPEN)
  await app.ready()
  t.equal(await greeting(await dialRetell(t, line())), 'Mine.')
})

t.test('an agent that is no function stops the start, and the error says what it is', async t => {
  const wrong: Array<[agent: unknown, kind: string]> = [['hello', 'string'], [{}, 'object'], [null, 'null'], [undefined, 'undefined']]
  for (const [agent, kind] of wrong) {
    const { app } = createApp(t)
    app.register(voiceAgentPlugin)
    app.decorate('agent', agent as Agent)
    await t.rejects(Promise.resolve(app.ready()), { code: 'VOICE_AGENT_ERR_AGENT', message: `got ${kind}` }, kind)
  }
})

t.test('without an agent the scripted one serves, and is app.agent', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, OPEN)
  t.notOk(app.hasDecorator('agent'))
  await app.ready()
  t.equal(app.agent, scriptedAgent)
  const caller = await dialRetell(t, app)
  t.equal(await greeting(caller), 'How may I help you?')
  t.equal(await answer(caller, 1, 'A table for two'), 'I am sorry, can you say that again?')
})

t.test('the built-in agent greets in one frame', async t => {
  const server = await startModel(t)
  const { app } = await build(t, undefined, { openai: { baseURL: server.url, greeting: 'Front desk.' } })
  const caller = await dialRetell(t, app)
  caller.send(retell.details())
  t.strictSame(await caller.response(0), [{ response_type: 'response', response_id: 0, content: 'Front desk.', content_complete: true }])
})

t.test('with a key in the environment the built-in agent asks the model', async t => {
  const server = await startModel(t)
  setEnv(t, { OPENAI_API_KEY: 'sk-test', AGENT_INSTRUCTIONS: 'Be brief.' })
  const { app } = await build(t, undefined, { openai: { baseURL: server.url, temperature: 0.5, maxTokens: 50 } })
  const caller = await dialRetell(t, app)
  t.equal(await greeting(caller), 'How may I help you?')
  t.equal(await answer(caller, 1, 'A table for two'), 'You said: A table for two')
  const [request] = server.requests
  t.match(request, {
    headers: { authorization: 'Bearer sk-test' },
    body: { model: 'gpt-4.1-mini', temperature: 0.5, max_tokens: 50, messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'A table for two' }] }
  })
})

t.test('what the model streams arrives token by token', async t => {
  const server = await startModel(t)
  const { app } = await build(t, undefined, { openai: { baseURL: server.url } })
  const caller = await dialRetell(t, app)
  await greeting(caller)
  const [first, second] = [hold(), hold()]
  server.next(['One ', first, 'two ', second, 'three.'])
  caller.send(retell.request(1, 'Count'))
  t.match(await caller.next(), { response_id: 1, content: 'One ', content_complete: false })
  first.release()
  t.match(await caller.next(), { response_id: 1, content: 'two ', content_complete: false })
  second.release()
  t.equal(said(await caller.response(1)), 'three.')
})

t.test('a superseded turn cancels its request at the model', async t => {
  const server = await startModel(t)
  const { app } = await build(t, undefined, { openai: { baseURL: server.url } })
  const caller = await dialRetell(t, app)
  await greeting(caller)
  server.next(['One ', hold(), 'two.'], ['Three.'])
  caller.send(retell.request(1, 'Count'))
  t.match(await caller.next(), { content: 'One ' })
  const cancelled = once(server.events, 'cancelled')
  caller.send(retell.request(2, 'Count', 'One', 'No, stop'))
  t.strictSame((await caller.response(2)).map(({ response_id: id, content }) => [id, content]), [[2, 'Three.'], [2, '']])
  t.match(await cancelled, [{ body: { messages: [{}, { content: 'Count' }] } }])
})

t.test('a built-in agent without its key stops the start', async t => {
  setEnv(t, { AZURE_OPENAI_ENDPOINT: 'https://desk.openai.azure.com' })
  const { app } = createApp(t)
  app.register(voiceAgentPlugin)
  await t.rejects(Promise.resolve(app.ready()), { code: 'VOICE_AGENT_ERR_CONFIG', message: 'AZURE_OPENAI_API_KEY' })
})

t.test('a model in Azure is asked by its deployment, version and key', async t => {
  const server = await startModel(t)
  setEnv(t, { OPENAI_MODEL: 'desk', AZURE_OPENAI_ENDPOINT: server.origin, AZURE_OPENAI_API_KEY: 'az-test' })
  for (const [version, asked] of [[undefined, '2024-10-21'], ['2025-01-01', '2025-01-01']] as const) {
    const { app } = await build(t, undefined, version === undefined ? {} : { openai: { azure: { apiVersion: version } } })
    await answer(await dialRetell(t, app), 1, 'Hi')
    t.match(server.requests.at(-1), { url: `/openai/deployments/desk/chat/completions?api-version=${asked}`, headers: { 'api-key': 'az-test' } })
  }
})

t.test('tools that nobody will call are warned of', async t => {
  const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), execute: () => {} })
  const warnings = (logs: LogLine[]): string[] => logs.filter(({ level, msg }) => level === 40 && msg.startsWith('openai.tools')).map(({ msg }) => msg)
  const server = await startModel(t)
  const OWN = "openai.tools are not used: the agent is the app's own. Give them to openAIAgent({ tools }), or run them by runTool()"
  const NO_KEY = 'openai.tools are not used: no model is asked. Set OPENAI_API_KEY (option openai.apiKey), or OPENAI_BASE_URL (option openai.baseURL) for a model of your own'
  t.strictSame(warnings((await build(t, () => 'Hi', { openai: { baseURL: server.url, tools: [look] } })).logs), [OWN])
  t.strictSame(warnings((await build(t, undefined, { openai: { tools: [look] } })).logs), [NO_KEY])
  t.strictSame(warnings((await build(t, undefined, { openai: { baseURL: server.url, tools: [look] } })).logs), [])
})

t.test('closing the app closes the connections to the model', async t => {
  const server = await startModel(t)
  const { app } = await build(t, undefined, { openai: { baseURL: server.url } })
  await answer(await dialRetell(t, app), 1, 'Hi')
  t.equal(server.open, 2, 'one is a spare')
  const disconnected = once(server.events, 'disconnected')
  await app.close()
  await disconnected
})

// Several lines

t.test('two lines in two scopes have an agent and calls of their own', async t => {
  const { app } = createApp(t)
  const asked: FastifyInstance[] = []
  const line = (name: string) => registerLine(app, { retell: { ...OPEN.retell, path: `/${name}` }, millis: false }, function () {
    asked.push(this)
    return name
  })
  const [salesLine, supportLine] = [line('sales'), line('support')]
  await app.ready()
  const [sales, support] = [salesLine(), supportLine()]
  t.equal(await greeting(await dial(t, sales, '/sales/call_1')), 'sales')
  t.equal(await greeting(await dial(t, support, '/support/call_1')), 'support')
  t.equal(asked[0], sales)
  t.equal(asked[1], support)
  t.strictSame([sales.calls.size, support.calls.size], [1, 1])
  t.not(sales.calls.get('call_1'), support.calls.get('call_1'))
  t.notOk(app.hasDecorator('calls'))
  t.notOk(app.hasDecorator('agent'))
})

t.test('a line of the app and one of a scope in it serve side by side', async t => {
  const { app } = createApp(t)
  app.decorate('agent', () => 'Front desk.')
  await app.register(voiceAgentPlugin, OPEN)
  const kitchenLine = registerLine(app, { ...OPEN, prefix: '/kitchen' }, () => 'Kitchen.')
  await app.ready()
  const desk = await dial(t, app, '/llm-websocket/call_1')
  const kitchen = await dial(t, app, '/kitchen/llm-websocket/call_1')
  t.match(await greeting(desk), 'Front desk.')
  t.match(await greeting(kitchen), 'Kitchen.')
  const { calls } = kitchenLine()
  t.strictSame([app.calls.size, calls.size], [1, 1])
  t.not(app.calls.get('call_1'), calls.get('call_1'))
})

t.test('a line without an agent has a built-in one of its own, not that of the line around it', async t => {
  const server = await startModel(t)
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, { ...OPEN, openai: { baseURL: server.url, greeting: 'Front desk.' } })
  registerLine(app, { ...OPEN, prefix: '/kitchen', openai: { baseURL: server.url, greeting: 'Kitchen.' } })
  await app.ready()
  t.match(await greeting(await dial(t, app, '/llm-websocket/call_1')), 'Front desk.')
  t.match(await greeting(await dial(t, app, '/kitchen/llm-websocket/call_1')), 'Kitchen.')
})

t.test('an app whose agent is the exported scripted one keeps it where other lines have built-in ones', async t => {
  const { app } = createApp(t)
  registerLine(app, { prefix: '/one' })
  registerLine(app, { prefix: '/two' }, scriptedAgent)
  await t.resolves(Promise.resolve(app.ready()))
})

// Routes

t.test('the routes stand under the prefix of the options, of the scope, and of both', async t => {
  const cases: Array<[scope: string, prefix: string | undefined, base: string]> = [
    ['', '/voice', '/voice'],
    ['/v1', undefined, '/v1'],
    ['/v1', '/voice', '/v1/voice']
  ]
  for (const [scopePrefix, prefix, base] of cases) {
    const { app } = createApp(t)
    app.register(async scope => {
      await scope.register(voiceAgentPlugin, { ...OPEN, ...(prefix !== undefined && { prefix }) })
    }, { prefix: scopePrefix })
    const url = await app.listen({ port: 0 })
    t.equal((await upgrade(t, `${url}${base}/llm-websocket/call_1`)).status, 101)
    t.equal((await upgrade(t, `${url}${base}/millis`)).status, 101)
    t.equal((await upgrade(t, `${url}/millis`)).status, 404)
  }
})

t.test('a provider that is switched off has no route', async t => {
  const { app: noRetell, logs } = await build(t, undefined, { retell: false })
  await t.rejects(dial(t, noRetell, '/llm-websocket/call_1'), { message: /404/ })
  await t.resolves(dial(t, noRetell, '/millis'))
  t.notOk(logs.some(({ msg }) => msg.includes('admits nobody')))

  const { app: noMillis } = await build(t, undefined, { millis: false })
  await t.rejects(dial(t, noMillis, '/millis'), { message: /404/ })
  await t.resolves(dial(t, noMillis, '/llm-websocket/call_1'))
})

t.test('the app\'s own routes are not guarded, and log as they always did', async t => {
  const { app, logs } = createApp(t)
  app.get('/before', async () => 'before')
  await app.register(voiceAgentPlugin)
  app.get('/after', async () => 'after')
  app.get('/millis/status', async () => 'status')
  for (const path of ['before', 'after', 'millis/status']) {
    const response = await app.inject(`/${path}?q=1`)
    t.equal(response.body, path.split('/').at(-1))
    t.match(logs.findLast(({ msg }) => msg === 'incoming request'), { req: { url: `/${path}?q=1` } })
  }
})

t.test('the app\'s own hooks run for calls, before the guard', async t => {
  const { app } = createApp(t)
  app.addHook('onRequest', async request => {
    if (request.headers['x-tenant'] === undefined) throw Object.assign(new Error('no tenant'), { statusCode: 418 })
  })
  await app.register(voiceAgentPlugin)
  await app.ready()
  await t.rejects(dial(t, app, '/llm-websocket/call_1'), { message: /418/ })
  await t.rejects(dial(t, app, '/llm-websocket/call_1', { headers: { 'x-tenant': 'a' } }), { message: /403/ })
})

// What the caller hears when the agent fails

t.test('a failed turn is answered by the fallback', async t => {
  const agent: Agent = () => { throw new Error('no model') }
  const cases: Array<[fallback: VoiceAgentOptions['fallback'], greeting: string, answer: string, complaint?: string]> = [
    [undefined, 'How may I help you?', 'I am sorry, can you say that again?'],
    ['One moment.', 'One moment.', 'One moment.'],
    [(turn, error) => `${turn.reason}: ${(error as Error).message}`, 'greeting: no model', 'response: no model'],
    [() => { throw new Error('no line') }, 'How may I help you?', 'I am sorry, can you say that again?', 'the fallback function failed'],
    [() => 5 as never, 'How may I help you?', 'I am sorry, can you say that again?', 'the fallback function returned no string']
  ]
  for (const [fallback, first, second, complaint] of cases) {
    const { app, logs } = await build(t, agent, fallback === undefined ? {} : { fallback })
    const caller = await dialRetell(t, app)
    t.equal(await greeting(caller), first)
    t.equal(await answer(caller, 1, 'Hi'), second)
    t.equal(logs.some(({ msg }) => msg === complaint), complaint !== undefined)
  }
})

// The same call twice

t.test('of two sockets for one call the newer stays, and the older is dropped so that its provider does not mourn it', async t => {
  const { app } = await build(t)
  const url = wsUrl(await app.listen({ port: 0 }))
  const older = await dialUrl(t, `${url}/llm-websocket/call_1`)
  older.send(retell.details())
  await older.response(0)
  const first = app.calls.get('call_1')
  const newer = await dialUrl(t, `${url}/llm-websocket/call_1`)
  t.strictSame(await older.closed, { code: 1006, reason: '' })
  await newer.settled()
  t.equal(app.calls.size, 1)
  t.equal(app.calls.get('call_1'), first)
  t.match(newer.frames, [{ response_type: 'config' }, { response_id: 0, content: '', content_complete: true }])
})

// Closing

const LAYOUTS: Array<[name: string, register: (app: FastifyInstance) => Promise<void>]> = [
  ['the plugin\'s own @fastify/websocket', async app => { await app.register(voiceAgentPlugin, OPEN) }],
  ['@fastify/websocket of the app, registered before', async app => {
    await app.register(websocket)
    await app.register(voiceAgentPlugin, OPEN)
  }],
  ['@fastify/websocket of the app, which closes late', async app => {
    await app.register(websocket, { preClose: done => done() })
    await app.register(voiceAgentPlugin, OPEN)
    app.addHook('onClose', async () => { app.websocketServer.close() })
  }],
  ['@fastify/websocket of the app, registered after', async app => {
    await app.register(voiceAgentPlugin, OPEN)
    await app.register(websocket)
  }]
]

for (const [name, register] of LAYOUTS) {
  t.test(`closing drops Retell's calls, to be redialled, and says goodbye to Millis', with ${name}`, async t => {
    const { app } = createApp(t)
    const ended = deferred<string>()
    app.decorate('agent', async function * (turn) {
      yield 'One moment'
      turn.signal.addEventListener('abort', () => ended.resolve(turn.signal.reason.reason))
      await ended.promise
    })
    await register(app)
    const url = wsUrl(await app.listen({ port: 0 }))
    const onRetell = await dialUrl(t, `${url}/llm-websocket/call_1`)
    const onMillis = await dialUrl(t, `${url}/millis`)
    onRetell.send(retell.details())
    await onRetell.next()
    await onRetell.next()
    t.equal(app.calls.size, 2)
    await app.close()
    t.strictSame(await onRetell.closed, { code: 1006, reason: '' })
    t.strictSame(await onMillis.closed, { code: 1001, reason: 'the call moves to another connection' })
    t.equal(await ended.promise, 'hang-up')
    t.equal(app.calls.size, 0)
  })

  t.test(`a call that is admitted just before the app closes does not keep it from closing, with ${name}`, async t => {
    const { app } = createApp(t)
    const [asked, admitted, dropped] = [deferred(), deferred(), deferred()]
    app.addHook('preHandler', async () => {
      asked.resolve()
      await admitted.promise
    })
    await register(app)
    app.addHook('preClose', async () => dropped.resolve())
    const url = await app.listen({ port: 0 })
    const cut = upgrade(t, `${url}/millis`).catch(() => {})
    await asked.promise
    const closed = app.close()
    await dropped.promise
    admitted.resolve()
    await closed
    await cut
    t.equal(app.calls.size, 0)
  })
}

t.test('a call that was admitted before the app began to close, and comes while others go on, is dropped', async t => {
  const { app } = createApp(t)
  const [asked, admitted] = [deferred(), deferred()]
  app.addHook('preHandler', async request => {
    if (request.headers['x-wait'] === undefined) return
    asked.resolve()
    await admitted.promise
  })
  await app.register(voiceAgentPlugin, { ...OPEN, drainTimeoutMs: 60_000 })
  const url = wsUrl(await app.listen({ port: 0, host: '127.0.0.1' }))
  const live = await dialUrl(t, `${url}/llm-websocket/call_1`)
  await live.next()
  const late = new WebSocket(`${url}/llm-websocket/call_2`, { headers: { 'x-wait': '1' } }).on('error', () => {})
  t.teardown(() => late.terminate())
  const dropped = once(late, 'close')
  await asked.promise
  const closed = app.close()
  t.match(await upgrade(t, `${url.replace('ws', 'http')}/llm-websocket/call_3`), { status: 503 })
  admitted.resolve()
  t.match(await dropped, [1006])
  t.equal(app.calls.size, 1)
  live.socket.close(1000)
  await closed
})

t.test('closing lets live calls go on, within the drain timeout', async t => {
  const { app } = await build(t, turn => `${turn.reason} ${turn.id}`, { drainTimeoutMs: 60_000, readinessPath: '/ready' })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const ready = await fetch(`${url}/ready`)
  t.strictSame([ready.status, await ready.json()], [200, { status: 'ready' }])
  const onRetell = await dialUrl(t, `${wsUrl(url)}/llm-websocket/call_1`)
  const onMillis = await dialUrl(t, `${wsUrl(url)}/millis`)

  const closed = app.close()
  t.match(await upgrade(t, `${url}/llm-websocket/call_2`), { status: 503 })
  t.equal((await fetch(`${url}/ready`)).status, 503)
  onRetell.send(retell.request(1, 'Still there?'))
  onMillis.send(millis.request(1, 'Still there?'))
  t.match((await onRetell.response(1)).at(-1), { content: 'response 1' })
  t.match((await onMillis.stream(1)).at(-1), { data: { content: 'response 1' } })

  onRetell.socket.close(1000)
  onMillis.socket.close(1000)
  await closed
  t.equal(app.calls.size, 0)
})

t.test('while live calls go on the app serves its other routes, for longer than it gives plugins time', async t => {
  const { app } = createApp(t, 'trace', { pluginTimeout: 10_000 })
  await app.register(voiceAgentPlugin, { ...OPEN, drainTimeoutMs: 60_000, readinessPath: '/ready' })
  app.get('/', async () => 'home')
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const caller = await dialUrl(t, `${wsUrl(url)}/millis`)
  const clock = installClock(t, ['setTimeout', 'clearTimeout'])
  const closed = app.close()
  const isServed = async (): Promise<void> => {
    t.equal((await fetch(url)).status, 200)
    const response = await fetch(`${url}/ready`)
    t.strictSame([response.status, await response.json()], [503, { status: 'closing' }])
  }
  await isServed()
  clock.tick(20_000)
  await isServed()
  caller.socket.terminate()
  await t.resolves(closed)
})

t.test('closing waits for what the app writes down of its calls, and not for ever', async t => {
  const order: string[] = []
  const gate = deferred()
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, {
    ...OPEN,
    async onCallEnd () {
      order.push('ended')
      await gate.promise
      order.push('written')
    }
  })
  app.addHook('onClose', async () => { order.push('database closed') })
  const url = wsUrl(await app.listen({ port: 0 }))
  const caller = await dialUrl(t, `${url}/millis`)
  caller.send(millis.start(0))
  await caller.stream(0)
  const closed = app.close()
  await caller.closed
  gate.resolve()
  await closed
  t.strictSame(order, ['ended', 'written', 'database closed'])
})

t.test('two lines close as one: neither takes new calls while the other\'s go on', async t => {
  const { app } = createApp(t)
  for (const prefix of ['/sales', '/support']) {
    app.register(async scope => { await scope.register(voiceAgentPlugin, { ...OPEN, prefix, drainTimeoutMs: 60_000 }) })
  }
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const callers = await Promise.all([dialUrl(t, `${wsUrl(url)}/sales/millis`), dialUrl(t, `${wsUrl(url)}/support/millis`)])
  const closed = app.close()
  for (const prefix of ['/sales', '/support']) t.match(await upgrade(t, `${url}${prefix}/millis`), { status: 503, body: 'VOICE_AGENT_ERR_CLOSING' })
  callers.forEach(({ socket }) => socket.terminate())
  await closed
})

t.test('a call that waits for its provider does not hold up closing', async t => {
  const { app } = await build(t, undefined, { drainTimeoutMs: 60_000, reconnectGraceMs: 60_000 })
  const url = wsUrl(await app.listen({ port: 0 }))
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  const call = app.calls.get('call_1')!
  caller.socket.terminate()
  while (await call.updateAgent({}).then(() => true, () => false)) await nextLoopTurn()
  t.equal(app.calls.size, 1)
  await app.close()
  t.equal(app.calls.size, 0)
})

t.test('closing waits for no peer that does not answer', async t => {
  const { app } = await build(t)
  const url = wsUrl(await app.listen({ port: 0 }))
  const caller = await dialUrl(t, `${url}/millis`)
  caller.socket.pause()
  await app.close()
  caller.socket.resume()
  t.strictSame(await caller.closed, { code: 1001, reason: 'the call moves to another connection' })
})

t.test('closing is not disturbed by a peer that answers with nonsense', async t => {
  const { app } = await build(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const { status, socket } = await upgradeAndStay(t, `${url}/millis`)
  t.match(status, / 101 /)
  socket.on('data', () => socket.write(Buffer.alloc(8, 0xff)))
  await t.resolves(app.close())
})

t.test('while the app closes upgrades are refused with 503', async t => {
  for (const return503OnClosing of [true, false]) {
    const { app } = createApp(t, 'trace', { return503OnClosing })
    await app.register(voiceAgentPlugin, OPEN)
    const [closing, held] = [deferred(), deferred()]
    app.addHook('preClose', async () => {
      closing.resolve()
      await held.promise
    })
    const url = await app.listen({ port: 0 })
    const closed = app.close()
    await closing.promise
    t.match(await upgrade(t, `${url}/llm-websocket/call_1`), {
      status: 503,
      body: return503OnClosing ? 'Service Unavailable' : 'VOICE_AGENT_ERR_CLOSING'
    })
    held.resolve()
    await closed
  }
})

t.test('an app that never started closes', async t => {
  const app = Fastify()
  app.register(voiceAgentPlugin)
  await t.resolves(app.close())
})

// What is Fastify's own

t.test('calls log at the level that the app has when they begin', async t => {
  const { app, logs } = createApp(t, 'info')
  await app.register(voiceAgentPlugin, OPEN)
  await app.ready()
  for (const [id, level, lines] of [['call_1', 'warn', 0], ['call_2', 'info', 1], ['call_3', 'warn', 0]] as const) {
    app.log.level = level
    const caller = await dialRetell(t, app, id)
    caller.send(retell.details())
    await caller.response(0)
    t.equal(logs.filter(({ callId, msg }) => callId === id && msg === 'turn ended').length, lines, level)
  }
})

t.test('a probe of the readiness route does not silence the calls, nor they it', async t => {
  for (const probesFirst of [true, false]) {
    const { app, logs } = createApp(t, 'info')
    await app.register(voiceAgentPlugin, { ...OPEN, readinessPath: '/ready' })
    await app.ready()
    const probe = () => app.inject('/ready')
    if (probesFirst) await probe()
    const caller = await dialRetell(t, app)
    caller.send(retell.details())
    await caller.response(0)
    await probe()
    t.strictSame(logs.filter(({ reqId }) => reqId !== undefined).map(({ msg }) => msg), ['incoming request', 'call started', 'turn ended'])
  }
})

t.test('an app with a logger factory of its own gets what Fastify gives it, and its loggers are not changed', async t => {
  const { app, logs } = createApp(t, 'info')
  const options: unknown[] = []
  app.setChildLoggerFactory((logger, _bindings, given) => {
    options.push(Object.keys(given))
    return logger
  })
  await app.register(voiceAgentPlugin, OPEN)
  await app.ready()
  for (const id of ['call_1', 'call_2']) {
    const caller = await dialRetell(t, app, id)
    caller.send(retell.details())
    await caller.response(0)
  }
  app.log.info('between calls')
  t.strictSame(options, [['serializers'], ['serializers']])
  t.strictSame(logs.filter(({ msg }) => msg === 'call started').map(({ callId }) => callId), ['call_1', 'call_2'])
  t.equal(logs.at(-1)?.['callId'], undefined)
})

t.test('no line has its id twice, also where a call is renamed', async t => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'debug', stream: { write: line => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(voiceAgentPlugin, OPEN)
  await app.ready()
  const caller = await dial(t, app, '/millis')
  caller.send(millis.request(1, 'Hi'))
  await caller.stream(1)
  caller.send(millis.start(2, 'ses_1'))
  await caller.settled()
  app.calls.get('ses_1')!.log.info('named')
  t.match(lines.at(-1), '"callId":"ses_1"')
  t.strictSame(lines.filter(line => line.split('"callId"').length > 2), [])
})

t.test('what is known of a call may be added to, whether the provider told something or not', async t => {
  const { app } = createApp(t)
  const calls: Call[] = []
  await app.register(voiceAgentPlugin, { ...OPEN, onCallStart (call) { calls.push(call) } })
  await app.ready()
  for (const details of [{}, { metadata: { a: 1 }, retell_llm_dynamic_variables: { b: 'c' } }]) {
    const caller = await dialRetell(t, app, `call_${calls.length}`)
    caller.send(retell.details(details))
    await caller.response(0)
  }
  for (const call of calls) {
    Object.assign(call.metadata, { crm: 'c-19' })
    Object.assign(call.variables, { name: 'Noor' })
  }
  t.strictSame(calls.map(({ metadata, variables }) => [metadata, variables]), [[{ crm: 'c-19' }, { name: 'Noor' }], [{ a: 1, crm: 'c-19' }, { b: 'c', name: 'Noor' }]])
})

t.test('a logger that knows nothing but what Fastify asks of it is enough', async t => {
  const lines: unknown[][] = []
  const loggerOf = (bindings: object): FastifyBaseLogger => {
    const log = (...line: unknown[]) => { lines.push([bindings, ...line]) }
    return { level: 'info', info: log, error: log, debug: () => {}, fatal: log, warn: log, trace: () => {}, silent: () => {}, child: (more: object) => loggerOf({ ...bindings, ...more }) }
  }
  const app = Fastify({ loggerInstance: loggerOf({}) })
  t.teardown(() => app.close())
  await app.register(voiceAgentPlugin, OPEN)
  await app.ready()
  const caller = await dialRetell(t, app)
  caller.send(retell.details())
  await caller.response(0)
  t.strictSame(lines.at(-2), [{ reqId: 'req-1', callId: 'call_1', provider: 'retell' }, 'call started'])
})

t.test('logLevel and logSerializers are those of the routes', async t => {
  const { app, logs } = createApp(t, 'info')
  await app.register(voiceAgentPlugin, { ...OPEN, retell: { allowlist: '192.0.2.1' }, logLevel: 'warn', logSerializers: { address: () => 'somewhere' } })
  app.get('/', async () => 'home')
  await app.ready()
  logs.length = 0
  await app.inject('/llm-websocket/call_1')
  t.match(logs, [{ level: 40, address: 'somewhere' }])
  await app.inject('/')
  t.equal(logs.length, 3)
})

t.test('one path for two routes is refused', async t => {
  for (const options of [{ millis: { path: '/llm-websocket' } }, { readinessPath: '/millis' }, { livenessPath: '/llm-websocket' }, { livenessPath: '/up', readinessPath: '/up' }]) {
    const { app } = createApp(t)
    app.register(voiceAgentPlugin, options)
    await t.rejects(async () => { await app.ready() }, { code: 'VOICE_AGENT_ERR_CONFIG', message: /RETELL_PATH .* MILLIS_PATH .* READINESS_PATH .* LIVENESS_PATH .* must all differ/ })
  }
})

t.test('it is told which agent answers where none was decorated', async t => {
  for (const [options, told] of [[OPEN, ['no agent is decorated: the scripted one answers']], [{ ...OPEN, openai: { apiKey: 'sk' } }, ['no agent is decorated: a model answers']]] as const) {
    const { app, logs } = createApp(t, 'info')
    await app.register(voiceAgentPlugin, options)
    await app.ready()
    t.strictSame(logs.map(({ msg }) => msg), told)
  }
})
