import type { AddressInfo } from 'node:net'
import t from 'tap'
import voiceAgentControl, { type ControlOptions } from '../../lib/control/index.js'
import voiceAgentPlugin from '../../lib/index.js'
import { RetellCaller } from '../../lib/testing/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { ask, BEARER, TOKEN, withControl } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'
import { RawPeer } from '../helpers/raw-peer.js'
import { send } from '../helpers/webhooks.js'

setEnv(t)

const ROUTES = [
  'GET /control/calls', 'GET /control/calls/call_1', 'GET /control/nodes', 'HEAD /control/calls', 'HEAD /control/calls/call_1', 'HEAD /control/nodes',
  ...['interject', 'end', 'transfer', 'metadata', 'agent'].map(control => `POST /control/calls/call_1/${control}`)
]

const UNAUTHORIZED = { statusCode: 401, code: 'VOICE_AGENT_ERR_UNAUTHORIZED', error: 'Unauthorized', message: 'Unauthorized' }

t.test('who does not know the token is refused by every route, without a reason, and the log tells the operator why', async t => {
  const { app, logs, ask } = await withControl(t)
  const call = await RetellCaller.dial(app, { callId: 'call_1' })
  // Keepalives go on meanwhile.
  const frames = () => call.frames.filter(({ frame }) => !Object.values(frame as object).includes('ping_pong')).length
  const before = frames()
  t.teardown(() => call.hangUp())
  for (const authorization of [undefined, '', 'Bearer', 'Bearer ', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Bearer ${TOKEN},`, `Basic ${TOKEN}`, TOKEN]) {
    for (const request of ROUTES) {
      const [method, url] = request.split(' ') as ['GET', string]
      const response = await app.inject({ method, url, headers: authorization === undefined ? {} : { authorization } })
      t.match([response.statusCode, response.headers], [401, { 'www-authenticate': 'Bearer', 'cache-control': 'no-store' }], request)
      if (!request.startsWith('HEAD')) t.strictSame(response.json(), UNAUTHORIZED)
      t.equal(logs.findLast(({ level }) => level >= 40)?.msg, authorization === undefined
        ? 'refused: no Authorization header: send Bearer and CONTROL_TOKEN (option token)'
        : 'refused: the Authorization header is not Bearer and CONTROL_TOKEN (option token)')
    }
  }
  await call.settled()
  t.equal(frames(), before)
  for (const request of ROUTES.filter(route => route.startsWith('GET'))) t.equal((await ask(request)).status, 200)
  t.notMatch(JSON.stringify(logs), new RegExp(TOKEN))
})

t.test('they are refused before a body is read', async t => {
  const { app } = await withControl(t)
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/control/calls/call_1/interject`
  // It never comes.
  const answer = await send(t, url, { 'content-type': 'application/json', 'content-length': 5, authorization: 'Bearer wrong' }, () => {})
  t.strictSame([answer.status, JSON.parse(answer.body)], [401, UNAUTHORIZED])
})

t.test('a request that is refused ahead of its body has its connection closed', async t => {
  const { app } = await withControl(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const peer = new RawPeer(t, (app.server.address() as AddressInfo).port)
  peer.write('POST /control/calls/call_1/end HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n')
  t.match(String(await peer.closed), 'HTTP/1.1 401 ')
})

t.test('of several tokens each is right, so that one can be changed without a gap', async t => {
  for (const token of ['old,new', ' old , new ,', ['old', 'new']]) {
    const { ask } = await withControl(t, {}, { control: { token } })
    const statuses: number[] = []
    for (const sent of ['old', 'new', 'old,new', TOKEN]) statuses.push((await ask('GET /control/nodes', undefined, { authorization: `Bearer ${sent}` })).status)
    t.strictSame(statuses, [200, 200, 401, 401])
  }
})

t.test('the token is that of the environment, unless an option says otherwise', async t => {
  process.env['CONTROL_TOKEN'] = 'of-the-environment'
  t.teardown(() => { delete process.env['CONTROL_TOKEN'] })
  for (const [control, right] of [[{}, 'of-the-environment'], [{ token: TOKEN }, TOKEN]] as const) {
    const { app } = createApp(t)
    await app.register(voiceAgentPlugin, AT_ONCE)
    await app.register(voiceAgentControl, control)
    for (const token of ['of-the-environment', TOKEN]) {
      t.equal((await ask(app, 'GET /control/nodes', undefined, { authorization: `Bearer ${token}` })).status, token === right ? 200 : 401)
    }
  }
})

t.test('without a token, or with one that cannot be sent, there is no start, and it is not quoted', async t => {
  for (const token of [undefined, '', ' ', ',', [], [''], 'canary word', 'canäry', 'canary,"', ['good', 'can\nary']] as Array<ControlOptions['token']>) {
    const { app } = createApp(t)
    await app.register(voiceAgentPlugin, AT_ONCE)
    await t.rejects(async () => app.register(voiceAgentControl, token === undefined ? {} : { token }), {
      code: 'VOICE_AGENT_ERR_CONFIG',
      message: 'CONTROL_TOKEN (option token) must be letters, digits and any of . _ ~ + / - with = at the end; several are separated by commas. There is no control plane without'
    }, String(token))
  }
})

t.test('it has a path and a prefix', async t => {
  const { app } = createApp(t)
  await app.register(voiceAgentPlugin, AT_ONCE)
  await app.register(voiceAgentControl, { token: TOKEN, path: '/ops/calls-1.0~x', prefix: '/internal' })
  t.equal((await ask(app, 'GET /internal/ops/calls-1.0~x/nodes')).status, 200)
  t.equal((await ask(app, 'GET /control/nodes')).status, 404)
  for (const path of ['', '/', 'control', '/control/', '//', '/:id', '/*', '/a b']) {
    await t.rejects(async () => createApp(t).app.register(voiceAgentControl, { token: TOKEN, path }), { code: 'VOICE_AGENT_ERR_CONFIG', message: /^option path must be/ })
  }
})

t.test('without calls there is no start; the plugin may be registered before it or after, or around it', async t => {
  await t.rejects(async () => createApp(t).app.register(voiceAgentControl, { token: TOKEN }).ready(), { code: 'VOICE_AGENT_ERR_CONFIG', message: /^voiceAgentControl: there is no fastify.calls/ })

  const after = createApp(t).app
  after.register(voiceAgentControl, { token: TOKEN })
  after.register(voiceAgentPlugin, AT_ONCE)
  t.equal((await ask(after, 'GET /control/nodes')).status, 200)

  const around = createApp(t).app
  around.register(voiceAgentPlugin, AT_ONCE)
  around.register(async scope => { scope.register(voiceAgentControl, { token: TOKEN }) })
  t.equal((await ask(around, 'GET /control/nodes')).status, 200)
})

t.test('of two lines each has its own control plane', async t => {
  const { app } = createApp(t)
  for (const line of ['/sales', '/support']) {
    app.register(async scope => {
      scope.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' } })
      scope.register(voiceAgentControl, { token: TOKEN + line })
    }, { prefix: line })
  }
  await RetellCaller.dial(app, { path: '/sales/llm-websocket', callId: 'call_1' })
  const calls = async (line: string, token: string) => (await ask(app, `GET ${line}/control/calls`, undefined, { authorization: `Bearer ${TOKEN}${token}` })).body.calls?.length
  t.strictSame([await calls('/sales', '/sales'), await calls('/support', '/support'), await calls('/support', '/sales')], [1, 0, undefined])
})

t.test('nothing of it is the app\'s, and nothing of the app\'s is in its way', async t => {
  const { app } = createApp(t)
  // As with schemas of another kind, bodies as bytes, and errors as pages.
  app.setValidatorCompiler(() => () => ({ error: new Error('the app checks otherwise') }))
  app.setSerializerCompiler(() => () => '"the app writes otherwise"')
  app.setErrorHandler((_error, _request, reply) => { reply.code(418).send('the app fails otherwise') })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addSchema({ $id: 'Call', type: 'null' })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' } })
  await app.register(voiceAgentControl, { token: TOKEN })
  app.get('/open', async () => 'open')
  app.post('/bytes', async ({ body }) => Buffer.isBuffer(body))
  app.get('/fails', async () => { throw new Error('no') })
  app.get('/checked', { schema: { querystring: { type: 'object' } } }, async () => 'checked')
  app.get('/written', { schema: { response: { 200: { type: 'object' } } } }, async () => ({}))

  const open = await app.inject('/open')
  t.strictSame([open.statusCode, open.body, open.headers['cache-control']], [200, 'open', undefined])
  t.equal((await app.inject({ method: 'POST', url: '/bytes', payload: {} })).body, 'true')
  for (const url of ['/fails', '/checked']) t.equal((await app.inject(url)).body, 'the app fails otherwise')
  t.equal((await app.inject('/written')).body, '"the app writes otherwise"')

  const caller = await RetellCaller.dial(app, { callId: 'call_1' })
  t.match((await ask(app, 'GET /control/calls?limit=1')).body, { calls: [{ id: 'call_1' }] })
  t.match((await ask(app, 'GET /control/calls?limit=0')).body, { statusCode: 400 })
  t.equal((await ask(app, 'POST /control/calls/call_1/end', { say: 'Bye' })).status, 204)
  t.match(await caller.ended, { by: 'agent' })
  t.match((await app.inject({ url: '/control/calls', headers: { ...BEARER, authorization: 'Bearer wrong' } })).json(), UNAUTHORIZED)
})
