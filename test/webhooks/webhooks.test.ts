/**
 * The webhooks' routes as part of an app: when they are there, what they share with it, and how it closes.
 */
import { PassThrough } from 'node:stream'
import type { FastifyError } from 'fastify'
import t from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions, type WebhookEvent } from '../../lib/index.js'
import { AT_ONCE, createApp, deferred } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { BEARER, KEY, SECRET, send, signed, withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

const ENDED = JSON.stringify({ event: 'call_ended', call: { call_id: 'call_1', name: 'Zoë' } })

// When they are there

t.test('a provider\'s webhooks are there when its key is, and the provider', async t => {
  const cases: Array<[options: VoiceAgentOptions, routes: string[]]> = [
    [{}, []],
    [{ retell: { apiKey: KEY } }, ['POST /webhooks/retell']],
    [{ retell: { apiKey: [KEY], webhookPath: '/hooks' } }, ['POST /hooks']],
    [{ retell: { apiKey: '' }, millis: { webhookSecret: [] } }, []],
    [{ millis: { webhookSecret: SECRET } }, ['POST /webhooks/millis', 'GET /webhooks/millis']],
    [{ millis: { webhookSecret: SECRET, webhookPath: '/hooks' }, prefix: '/v1' }, ['POST /v1/hooks', 'GET /v1/hooks']]
  ]
  const known = ['/webhooks/retell', '/webhooks/millis', '/hooks', '/v1/hooks'].flatMap(url => ['POST', 'GET'].map(method => ({ method, url })))
  for (const [options, routes] of cases) {
    const { app } = createApp(t)
    await app.register(voiceAgentPlugin, options)
    await app.ready()
    t.strictSame(known.filter(route => app.hasRoute(route as { method: 'GET', url: string })).map(({ method, url }) => `${method} ${url}`), routes)
  }
  setEnv(t, { RETELL_API_KEY: KEY, MILLIS_WEBHOOK_SECRET: SECRET })
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, { retell: false, millis: false })
  t.notOk(known.some(route => app.hasRoute(route as { method: 'GET', url: string })))
  setEnv(t)
})

t.test('hooks that will never be called are warned of', async t => {
  const hooks = { onWebhook: () => {}, onInboundCall: () => {}, onPrefetch: () => {} }
  const names = { retell: 'RETELL_API_KEY (option retell.apiKey)', millis: 'MILLIS_WEBHOOK_SECRET (option millis.webhookSecret)' }
  const cases: Array<[options: VoiceAgentOptions, warnings: string[]]> = [
    [{}, [`onWebhook is never called: set ${names.retell} or ${names.millis}`, `onInboundCall is never called: set ${names.retell}`, `onPrefetch is never called: set ${names.millis}`]],
    [{ retell: { apiKey: KEY } }, [`onPrefetch is never called: set ${names.millis}`]],
    [{ millis: { webhookSecret: SECRET } }, [`onInboundCall is never called: set ${names.retell}`]],
    [{ retell: { apiKey: KEY }, millis: { webhookSecret: SECRET } }, []]
  ]
  for (const [options, warnings] of cases) {
    const { app, logs } = createApp(t)
    await app.register(voiceAgentPlugin, { ...hooks, ...options })
    t.strictSame(logs.map(({ msg }) => msg).filter(msg => msg.includes('never called')), warnings)
  }
})

t.test('a path that another route has stops the start, and the error names it', async t => {
  const cases: Array<[options: VoiceAgentOptions, variable: RegExp]> = [
    [{ retell: { apiKey: KEY, webhookPath: '/hooks' }, millis: { webhookSecret: SECRET, webhookPath: '/hooks' } }, /^MILLIS_WEBHOOK_PATH \(option millis.webhookPath\): another route has this path/],
    [{ millis: { webhookSecret: SECRET, webhookPath: '/millis' }, prefix: '/v1' }, /^MILLIS_WEBHOOK_PATH/],
    [{ retell: { apiKey: KEY, webhookPath: '/own' } }, /^RETELL_WEBHOOK_PATH \(option retell.webhookPath\)/]
  ]
  for (const [options, message] of cases) {
    const { app } = createApp(t)
    app.post('/own', () => 'own')
    app.register(voiceAgentPlugin, options)
    await t.rejects(async () => { await app.ready() }, { code: 'VOICE_AGENT_ERR_CONFIG', message })
  }
})

// Beside the app's own

for (const when of ['before', 'after'] as const) {
  t.test(`body parsers, raw bodies and hooks of the app, registered ${when} the plugin, and the webhooks leave each other alone`, async t => {
    const { app } = createApp(t)
    const raw: string[] = []
    const told: unknown[] = []
    const own = (): void => {
      app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => { done(null, { parsed: JSON.parse(body as string) }) })
      app.addContentTypeParser('text/odd', { parseAs: 'string' }, (_request, body, done) => { done(null, `odd ${body}`) })
      // As plugins do that keep the raw body.
      app.addHook('preParsing', async (_request, _reply, payload) => {
        const copy = new PassThrough()
        payload.on('data', chunk => raw.push(String(chunk)))
        return payload.pipe(copy)
      })
      app.addHook('preHandler', async request => { request.log.info(typeof request.body) })
      app.setErrorHandler((error: FastifyError, _request, reply) => reply.code(error.statusCode ?? 500).send({ own: error.code }))
      app.post('/json', async request => ({ body: request.body }))
    }
    if (when === 'before') own()
    await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*', apiKey: KEY }, millis: { webhookSecret: SECRET }, onWebhook: event => { told.push(event.callId) } })
    if (when === 'after') own()
    const post = (url: string, payload: string, headers: Record<string, string> = {}) =>
      app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', ...headers } })

    t.strictSame((await post('/json', '{"a":1}')).json(), { body: { parsed: { a: 1 } } })
    t.strictSame((await post('/json', 'x', { 'content-type': 'text/odd' })).json(), { body: 'odd x' })
    t.strictSame((await post('/json', 'x', { 'content-type': 'text/other' })).json(), { own: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' })
    for (const type of ['application/json', 'application/json; charset=utf-8', 'text/odd', 'application/octet-stream']) {
      const payload = ENDED.replace('call_1', type)
      t.equal((await post('/webhooks/retell', payload, { ...signed(payload), 'content-type': type })).statusCode, 204, type)
    }
    t.equal((await app.inject({ method: 'POST', url: '/webhooks/retell', payload: Buffer.from(ENDED), headers: signed(ENDED) })).statusCode, 204)
    t.equal((await post('/webhooks/millis', '{"session_id":"ses_1"}', BEARER)).statusCode, 204)
    // An error handler is inherited, as everywhere, where it stands before.
    t.match((await post('/webhooks/millis', '{', BEARER)).json(), when === 'before' ? { own: 'VOICE_AGENT_ERR_WEBHOOK' } : { code: 'VOICE_AGENT_ERR_WEBHOOK' })
    t.equal(raw.some(chunk => chunk === '{"a":1}'), true)
    await app.close()
    t.strictSame(told, ['application/json', 'application/json; charset=utf-8', 'text/odd', 'application/octet-stream', 'call_1', 'ses_1'])
  })
}

t.test('two lines have webhooks of their own', async t => {
  const { app } = createApp(t)
  const told: string[] = []
  for (const line of ['sales', 'support']) {
    app.register(async scope => {
      await scope.register(voiceAgentPlugin, { ...AT_ONCE, prefix: `/${line}`, retell: { allowlist: '*', apiKey: line }, onWebhook: ({ callId }) => { told.push(`${line} ${callId}`) } })
    })
  }
  for (const [line, key, status] of [['sales', 'sales', 204], ['support', 'support', 204], ['sales', 'support', 401]] as const) {
    t.equal((await app.inject({ method: 'POST', url: `/${line}/webhooks/retell`, payload: ENDED, headers: signed(ENDED, { key }) })).statusCode, status)
  }
  await app.close()
  t.strictSame(told.sort(), ['sales call_1', 'support call_1'])
})

// While the app closes

t.test('while the app closes what was accepted is finished, and what is new is refused with 503', async t => {
  const [begun, hold, closing, admitted] = [deferred(), deferred(), deferred(), deferred()]
  const order: string[] = []
  let open = 0
  const { app } = await withWebhooks(t, {
    async onWebhook ({ callId }) {
      begun.resolve()
      await hold.promise
      order.push(`told ${callId}`)
    }
  }, {
    before: app => {
      app.addHook('preParsing', async () => { if (++open === 3) admitted.resolve() })
      app.addHook('onClose', async () => { order.push('database closed') })
    }
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const post = (body: string) => fetch(`${url}/webhooks/retell`, { method: 'POST', body, headers: signed(body) })
  t.equal((await post(ENDED)).status, 204)
  await begun.promise
  // Their bodies come when the app is closing already.
  const late = [
    send(t, `${url}/webhooks/retell`, { ...signed(ENDED), 'content-length': Buffer.byteLength(ENDED) }, request => { closing.promise.then(() => request.end(ENDED), t.error) }),
    send(t, `${url}/webhooks/millis`, { ...BEARER, 'content-length': 2 }, request => { closing.promise.then(() => request.end('{}'), t.error) })
  ]
  await admitted.promise
  const closed = app.close()
  for (const refused of [post(ENDED), fetch(`${url}/webhooks/millis`, { headers: BEARER })]) {
    const response = await refused
    t.strictSame([response.status, response.headers.get('retry-after')], [503, '1'])
    t.match(await response.json(), { code: 'VOICE_AGENT_ERR_CLOSING' })
  }
  closing.resolve()
  for (const { status, headers } of await Promise.all(late)) t.strictSame([status, headers['retry-after']], [503, '1'])
  hold.resolve()
  await closed
  t.strictSame(order, ['told call_1', 'database closed'])
})

t.test('what is told of a call is redacted, where the app has it so', async t => {
  const told: WebhookEvent[] = []
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE, retell: { allowlist: '*', apiKey: KEY }, redact: text => text.replace('Zoë', '[name]'), onWebhook: event => { told.push(event) }
  })
  const payload = JSON.stringify({ event: 'call_ended', call: { call_id: 'call_1', transcript: 'User: I am Zoë' } })
  t.equal((await app.inject({ method: 'POST', url: '/webhooks/retell', payload, headers: signed(payload) })).statusCode, 204)
  await app.close()
  t.match(told, [{ callId: 'call_1', call: { transcript: 'User: I am [name]' } }])
})
