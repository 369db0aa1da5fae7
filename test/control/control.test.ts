import underPressure from '@fastify/under-pressure'
import { hostname } from 'node:os'
import t from 'tap'
import voiceAgentControl from '../../lib/control/index.js'
import voiceAgentPlugin, { ClusterError, UnsupportedError } from '../../lib/index.js'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import type { LiveCall } from '../../lib/call/call.js'
import type { CallRegistry } from '../../lib/call/registry.js'
import { AT_ONCE, createApp, type LogLine } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { dialRetell, retell } from '../helpers/caller.js'
import { ask, TOKEN, withCluster, withControl } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

const NODE = `${hostname()}-${process.pid}`
const FROM = '+14155550101'
const TO = '+14155550199'
const DESTINATION = '+15550100009'
const JSON_TYPE = { 'content-type': 'application/json' }

const refusal = (statusCode: number, code: string, error: string, message: string) => ({ statusCode, code, error, message })

t.test('live calls are listed and found, without anybody\'s number', async t => {
  const { app, ask } = await withControl(t)
  t.strictSame((await ask('GET /control/calls')).body, { calls: [] })
  await RetellCaller.dial(app, { callId: 'call_1', from: FROM, to: TO, metadata: { customer: 'Noor' } })
  await MillisCaller.dial(app, { sessionId: 'ses_1', voip: { from: FROM, to: TO } })
  const { status, headers, body } = await ask('GET /control/calls')
  t.match([status, headers], [200, { 'content-type': /^application\/json/, 'cache-control': 'no-store' }])
  const calls = Array.from(app.calls as CallRegistry<LiveCall>, ({ provider, id, startedAt }) => ({ id, provider, node: NODE, startedAt: new Date(startedAt).toISOString() }))
  t.strictSame(body, { calls: calls.sort((a, b) => a.startedAt < b.startedAt ? -1 : 1) })
  t.strictSame(body.calls.map(({ id }: { id: string }) => id), ['call_1', 'ses_1'])
  for (const call of calls) t.strictSame((await ask(`GET /control/calls/${call.id}`)).body, call)
})

t.test('a list is of one provider, or one node, where that is asked', async t => {
  const { ask } = await withCluster(t, [
    { provider: 'retell', id: 'a1', node: 'node-a', startedAt: 1 },
    { provider: 'millis', id: 'a2', node: 'node-a', startedAt: 2 },
    { provider: 'retell', id: 'b1', node: 'node-b', startedAt: 3 },
    { provider: 'millis', id: 'b2', node: 'node-b', startedAt: 4 }
  ])
  const list = async (query: string) => (await ask(`GET /control/calls?${query}`)).body.calls.map(({ id }: { id: string }) => id)
  t.strictSame(await list(''), ['a1', 'a2', 'b1', 'b2'])
  t.strictSame(await list('provider=retell'), ['a1', 'b1'])
  t.strictSame(await list('provider=millis'), ['a2', 'b2'])
  t.strictSame(await list('node=node-b'), ['b1', 'b2'])
  t.strictSame(await list('node=node-b&provider=millis'), ['b2'])
  t.strictSame(await list('node=node-c'), [])
})

t.test('pages show each call that goes on once, whatever begins, ends and moves meanwhile', async t => {
  // In no order; two began in the same moment, and one is listed twice.
  const calls = [5, 3, 1, 4, 1, 2].map(n => ({ provider: 'retell' as const, id: `call_${n}`, node: 'node-a', startedAt: Math.min(n, 4) }))
  const { ask } = await withCluster(t, calls)
  const page = async (after?: string) => (await ask(`GET /control/calls?limit=2${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`)).body
  const idsOf = (page: { calls: Array<{ id: string }> }) => page.calls.map(({ id }) => id)

  const first = await page()
  t.strictSame(idsOf(first), ['call_1', 'call_2'])
  calls.push({ provider: 'retell', id: 'call_6', node: 'node-b', startedAt: 6 })
  calls.splice(0, calls.length, ...calls.filter(({ id }) => id !== 'call_2' && id !== 'call_3'))
  const second = await page(first.next)
  t.strictSame(idsOf(second), ['call_4', 'call_5'])
  const third = await page(second.next)
  t.strictSame([idsOf(third), third.next], [['call_6'], undefined])

  calls.length = 2
  const whole = await page()
  t.strictSame([whole.calls.length, whole.next], [2, undefined], 'a last page that is full is the last one')
})

t.test('a page has a hundred calls, unless it is told how many', async t => {
  const { ask } = await withCluster(t, Array.from({ length: 1_001 }, (_, n) => ({ provider: 'retell' as const, id: `call_${n}`, node: 'node-a', startedAt: n })))
  t.equal((await ask('GET /control/calls')).body.calls.length, 100)
  t.equal((await ask('GET /control/calls?limit=1000')).body.calls.length, 1_000)
})

t.test('nodes are listed, and calls counted', async t => {
  const { app, ask } = await withControl(t)
  await RetellCaller.dial(app)
  const { body } = await ask('GET /control/nodes')
  t.match(body, { node: NODE, calls: 1, nodes: [{ id: NODE, calls: 1, startedAt: /^\d{4}-.*Z$/ }] })

  const other = await withCluster(t, [{ provider: 'retell', id: 'b1', node: 'node-b', startedAt: 1 }])
  t.strictSame((await other.ask('GET /control/nodes')).body, { node: 'node-a', calls: 1, nodes: [{ id: 'node-b', calls: 1, startedAt: '1970-01-01T00:00:00.000Z' }] })
})

t.test('what is interjected the caller hears', async t => {
  const { app, logs, ask } = await withControl(t)
  const caller = await RetellCaller.dial(app, { callId: 'call_1' })
  for (const [body, isUninterruptible] of [[{ text: 'We close in five minutes.' }, true], [{ text: 'Still there?', interruptible: true }, false]] as const) {
    const { status, headers, body: answered } = await ask('POST /control/calls/call_1/interject', body)
    t.strictSame([status, answered, headers['cache-control']], [204, undefined, 'no-store'])
    await caller.settled()
    t.match(caller.reply, { reason: 'interjection', heard: body.text, isUninterruptible })
  }
  t.match(logs.find(({ msg }) => msg === 'call controlled'), { level: 30, callId: 'call_1', provider: 'retell', node: NODE, control: 'interject' })
})

t.test('a call is ended, with or without a word', async t => {
  const { app, ask } = await withControl(t)
  for (const [id, payload, said] of [['call_1', { say: 'Goodbye!' }, 'Goodbye!'], ['call_2', {}, ''], ['call_3', undefined, '']] as const) {
    const caller = await RetellCaller.dial(app, { callId: id })
    t.equal((await ask(`POST /control/calls/${id}/end`, payload)).status, 204)
    t.match(await caller.ended, { by: 'agent', reason: 'agent_hangup' })
    t.equal(caller.reply!.text, said)
  }
  const caller = await MillisCaller.dial(app, { sessionId: 'ses_1' })
  t.equal((await ask('POST /control/calls/ses_1/end', { say: 'Goodbye!' })).status, 204)
  t.match(await caller.ended, { by: 'agent' })
})

t.test('a call is transferred', async t => {
  const { app, ask } = await withControl(t)
  const caller = await RetellCaller.dial(app, { callId: 'call_1' })
  t.equal((await ask('POST /control/calls/call_1/transfer', { destination: DESTINATION, say: 'One moment.' })).status, 204)
  t.match(await caller.ended, { by: 'agent', destination: DESTINATION })
  t.equal(caller.reply!.heard, 'One moment.')
  const other = await MillisCaller.dial(app, { sessionId: 'ses_1' })
  t.equal((await ask('POST /control/calls/ses_1/transfer', { destination: DESTINATION })).status, 204)
  t.match(await other.ended, { destination: DESTINATION })
})

t.test('a web call\'s page is sent an object, and its agent is changed', async t => {
  const { app, ask } = await withControl(t)
  const caller = await RetellCaller.dial(app, { callId: 'call_1', callType: 'web_call' })
  t.equal((await ask('POST /control/calls/call_1/metadata', { metadata: { page: 7, deep: { er: [null] } } })).status, 204)
  t.equal((await ask('POST /control/calls/call_1/agent', { responsiveness: 0.5, reminder_max_count: 0 })).status, 204)
  await caller.settled()
  t.strictSame(caller.metadata, [{ page: 7, deep: { er: [null] } }])
  t.strictSame(caller.agentConfig, { responsiveness: 0.5, reminder_max_count: 0 })
})

t.test('a call on another node is asked there, with all that was said here and nothing more', async t => {
  const { ask, asked } = await withCluster(t, [{ provider: 'retell', id: 'b1', node: 'node-b', startedAt: 1 }])
  const cases: Array<[control: string, body: object | undefined, ...call: unknown[]]> = [
    ['interject', { text: 'Hello?', interruptible: true }, 'interject', 'Hello?', { interruptible: true }],
    ['interject', { text: 'Hello?' }, 'interject', 'Hello?', {}],
    ['end', { say: 'Bye.' }, 'end', { say: 'Bye.' }],
    ['end', undefined, 'end', {}],
    ['transfer', { destination: DESTINATION, say: 'So.', showCaller: true }, 'transfer', DESTINATION, { say: 'So.', showCaller: true }],
    ['metadata', { metadata: {} }, 'sendMetadata', {}],
    ['agent', { interruption_sensitivity: 1 }, 'updateAgent', { interruption_sensitivity: 1 }]
  ]
  for (const [control, body] of cases) t.equal((await ask(`POST /control/calls/b1/${control}`, body)).status, 204)
  t.strictSame(asked, cases.map(([, , ...call]) => ['node-b', 'b1', ...call]))
})

// What goes wrong

t.test('a request that is not as it must be is refused, and told why without a word of what it held', async t => {
  const { app, ask } = await withControl(t)
  const caller = await RetellCaller.dial(app, { callId: 'call_1' })
  const frames = caller.frames.length
  const SAID = 'canary'
  const cases: Array<[request: string, payload: object | string | undefined, message: string]> = [
    ['GET /control/calls?limit=0', undefined, 'query.limit: expected integer to be greater or equal to 1'],
    ['GET /control/calls?limit=1001', undefined, 'query.limit: expected integer to be less or equal to 1000'],
    ['GET /control/calls?limit=canary', undefined, 'query.limit: expected integer'],
    ['GET /control/calls?provider=canary', undefined, 'query.provider: expected retell or millis'],
    ['GET /control/calls?provider=retell&provider=millis', undefined, 'query.provider: expected retell or millis'],
    ['GET /control/calls?node=', undefined, 'query.node: expected string length greater or equal to 1'],
    ['GET /control/calls?after=canary', undefined, 'query.after: expected next of the page before'],
    ['GET /control/calls?canary=canary', undefined, 'query: expected no other members than limit, after, provider, node'],
    ['POST /control/calls/call_1/interject', undefined, 'body.text: expected required property'],
    ['POST /control/calls/call_1/interject', { text: '' }, 'body.text: expected string length greater or equal to 1'],
    ['POST /control/calls/call_1/interject', { text: 14155550101 }, 'body.text: expected string'],
    ['POST /control/calls/call_1/interject', { text: SAID, interruptible: 'true' }, 'body.interruptible: expected boolean'],
    ['POST /control/calls/call_1/interject', { text: SAID, canary: SAID }, 'body: expected no other members than text, interruptible'],
    ['POST /control/calls/call_1/interject', [SAID], 'body: expected object'],
    ['POST /control/calls/call_1/interject', `"${SAID}"`, 'body: expected object'],
    ['POST /control/calls/call_1/end', { say: null }, 'body.say: expected string'],
    ['POST /control/calls/call_1/end', { goodbye: SAID }, 'body: expected no other members than say'],
    ['POST /control/calls/call_1/transfer', { say: SAID }, 'body.destination: expected required property'],
    ['POST /control/calls/call_1/transfer', { destination: '' }, 'body.destination: expected string length greater or equal to 1'],
    ['POST /control/calls/call_1/transfer', { destination: DESTINATION, showCaller: 1 }, 'body.showCaller: expected boolean'],
    ['POST /control/calls/call_1/metadata', { canary: 1 }, 'body.metadata: expected required property'],
    ['POST /control/calls/call_1/metadata', { metadata: [SAID] }, 'body.metadata: expected object'],
    ['POST /control/calls/call_1/metadata', { metadata: SAID }, 'body.metadata: expected object'],
    ['POST /control/calls/call_1/agent', { responsiveness: 7 }, 'body.responsiveness: expected number to be less or equal to 1'],
    ['POST /control/calls/call_1/agent', { volume: 1 }, 'body: expected no other members than responsiveness, interruption_sensitivity, reminder_trigger_ms, reminder_max_count']
  ]
  for (const [request, payload, message] of cases) {
    const { status, body } = await ask(request, payload, typeof payload === 'string' ? JSON_TYPE : {})
    t.strictSame([status, body], [400, refusal(400, 'FST_ERR_VALIDATION', 'Bad Request', message)], `${request} ${JSON.stringify(payload)}`)
  }
  t.strictSame((await ask('POST /control/calls/call_1/transfer', { destination: ' ' })).body, refusal(400, 'VOICE_AGENT_ERR_ACTION', 'Bad Request', 'transferCall: destination is empty'))
  t.strictSame((await ask('POST /control/calls/call_1/end', `{"say":"${SAID}`, JSON_TYPE)).body, refusal(400, 'FST_ERR_CTP_INVALID_JSON_BODY', 'Bad Request', "Body is not valid JSON but content-type is set to 'application/json'"))
  t.match((await ask('POST /control/calls/call_1/end', `{"__proto__":{"say":"${SAID}"}}`, JSON_TYPE)).body, { statusCode: 400, code: 'FST_ERR_CTP_INVALID_JSON_BODY' })
  t.strictSame((await ask('POST /control/calls/call_1/end', '', JSON_TYPE)).body, refusal(400, 'FST_ERR_CTP_EMPTY_JSON_BODY', 'Bad Request', "Body cannot be empty when content-type is set to 'application/json'"))
  t.strictSame((await ask('POST /control/calls/call_1/end', SAID, { 'content-type': 'text/plain' })).body, refusal(415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE', 'Unsupported Media Type', 'Unsupported Media Type'))
  t.strictSame((await ask('POST /control/calls/call_1/end', { say: SAID.repeat(50_000) })).body, refusal(413, 'FST_ERR_CTP_BODY_TOO_LARGE', 'Payload Too Large', 'Request body is too large'))
  await caller.settled()
  t.equal(caller.frames.slice(frames).length, 0, 'the call has noticed nothing')
})

t.test('a call that nobody has is not found', async t => {
  const { ask } = await withControl(t)
  for (const request of ['GET /control/calls/call_1', 'POST /control/calls/call_1/end', 'POST /control/calls/%2B14155550101/end']) {
    const { status, body } = await ask(request)
    t.strictSame([status, body], [404, refusal(404, 'VOICE_AGENT_ERR_NO_CALL', 'Not Found', 'There is no such call')])
  }
})

t.test('a call whose provider is away cannot be controlled, but is listed', async t => {
  const { app, ask } = await withControl(t, { reconnectGraceMs: 60_000 })
  const caller = await dialRetell(t, app)
  caller.send(retell.details())
  await caller.response(0)
  caller.socket.terminate()
  while ((app.calls as CallRegistry<LiveCall>).waitingFor('retell') === 0) await tick()
  const { status, body } = await ask('POST /control/calls/call_1/interject', { text: 'Hello?' })
  t.strictSame([status, body], [410, refusal(410, 'VOICE_AGENT_ERR_CALL_ENDED', 'Gone', 'The call has ended, or its provider is not connected')])
  t.equal((await ask('GET /control/calls')).body.calls.length, 1)
})

t.test('what the provider cannot is told', async t => {
  const { app, ask } = await withControl(t)
  await MillisCaller.dial(app, { sessionId: 'ses_1' })
  for (const [control, body, feature] of [['interject', { text: 'Hello?' }, 'interject'], ['metadata', { metadata: {} }, 'metadata'], ['agent', {}, 'update-agent']] as const) {
    const answer = await ask(`POST /control/calls/ses_1/${control}`, body)
    t.strictSame([answer.status, answer.body], [501, refusal(501, 'VOICE_AGENT_ERR_UNSUPPORTED', 'Not Implemented', `${feature} is not supported by millis`)])
  }
  t.equal((await ask('POST /control/calls/ses_1/transfer', { destination: DESTINATION, showCaller: true })).status, 501)
})

t.test('nodes that cannot be asked are told of, as is what nobody expected, but for what it says', async t => {
  const call = { provider: 'retell', id: 'b1', node: 'node-b', startedAt: 1 } as const
  const body = { text: 'canary' }
  const cases: Array<[error: Error, status: number, answer: object, logged: Partial<LogLine>]> = [
    [new ClusterError('node-b did not answer within 2000 ms'), 503, refusal(503, 'VOICE_AGENT_ERR_CLUSTER', 'Service Unavailable', 'node-b did not answer within 2000 ms'), { level: 30, msg: 'control refused', code: 'VOICE_AGENT_ERR_CLUSTER' } as never],
    [new UnsupportedError('interject', 'node-b'), 501, refusal(501, 'VOICE_AGENT_ERR_UNSUPPORTED', 'Not Implemented', 'interject is not supported by node-b'), { level: 30, msg: 'control refused' }],
    [new TypeError('canary is not a function'), 500, { statusCode: 500, error: 'Internal Server Error', message: 'Internal Server Error' }, { level: 50, msg: 'a control failed' }],
    [Object.assign(new Error('canary'), { code: 'ECANARY', statusCode: 502 }), 502, { statusCode: 502, error: 'Bad Gateway', message: 'Bad Gateway' }, { level: 50, msg: 'a control failed' }]
  ]
  for (const [error, status, answer, logged] of cases) {
    for (const [failing, request, payload] of [['list', 'GET /control/calls'], ['get', 'GET /control/calls/b1'], ['nodes', 'GET /control/nodes'], ['interject', 'POST /control/calls/b1/interject', body]] as const) {
      const { ask, logs } = await withCluster(t, [call], method => { if (method === failing) throw error })
      const answered = await ask(request, payload)
      t.strictSame([answered.status, answered.body], [status, answer], request)
      t.match(logs.filter(({ msg }) => /control/.test(msg)), [logged])
      t.notMatch(JSON.stringify([answered.body, logs.map(({ msg, err }) => [msg, (err as Error | undefined)?.message])]), /canary/)
    }
  }
})

t.test('calls are ended above all when the process has too much to do', async t => {
  const { app } = createApp(t)
  await app.register(underPressure, { healthCheck: async () => false, healthCheckInterval: 60_000 })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' } })
  await app.register(voiceAgentControl, { token: TOKEN })
  app.get('/other', async () => 'fine')
  await app.ready()
  t.equal((await ask(app, 'GET /other')).status, 503)
  t.equal((await ask(app, 'GET /control/calls')).status, 200)
})
