import { once } from 'node:events'
import FakeTimers from '@sinonjs/fake-timers'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { createAdmissionHook, type AdmissionSettings } from '../../lib/admission/admit.js'
import { Redials } from '../../lib/admission/redials.js'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { dialUrl, millis, retell, type Caller } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { noRedis, startRedis } from '../helpers/redis.js'
import { upgrade } from '../helpers/upgrade.js'

setEnv(t)

async function listen (t: Test, options: VoiceAgentOptions = {}) {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' }, ...options })
  const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
  return { app, url, complaints: () => logs.flatMap(({ level, msg }) => level >= 40 && msg.startsWith('refused') ? [msg] : []) }
}

async function dialRetell (t: Test, url: string, callId: string): Promise<Caller> {
  const caller = await dialUrl(t, `${url}/llm-websocket/${callId}`)
  await caller.next()
  return caller
}

const TOO_OFTEN = { status: 503, code: 'VOICE_AGENT_ERR_LIMIT', retryAfter: '1' }

async function refusal (url: string): Promise<object> {
  const [, response] = await once(new WebSocket(url), 'unexpected-response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, code: JSON.parse(body).code, retryAfter: response.headers['retry-after'] }
}

t.test('a Retell call is dialled again 20 times a minute, and no more', async t => {
  const clock = FakeTimers.install({ toFake: ['performance'] })
  t.teardown(() => clock.uninstall())
  const { app, url, complaints } = await listen(t)
  let caller = await dialRetell(t, url, 'call_1')
  caller.send(retell.details())
  await caller.response(0)
  for (let n = 1; n <= 20; n++) {
    if (n === 11) clock.tick(30_000)
    // No redial: the handshake is none.
    t.equal((await upgrade(t, `${url}/llm-websocket/call_1`.replace('ws', 'http'), { 'sec-websocket-key': 'bad' })).status, 400)
    const older = caller
    caller = await dialRetell(t, url, 'call_1')
    await older.closed
  }
  t.strictSame(await refusal(`${url}/llm-websocket/call_1`), TOO_OFTEN)
  t.strictSame(complaints(), ['refused: the call is dialled again too often'])
  t.equal(app.calls.refusals.redials, 1)
  caller.send(retell.request(1, 'Hi'))
  t.match((await caller.response(1)).at(-1), { content_complete: true }, 'the call goes on')
  await dialRetell(t, url, 'call_2')

  // The first ten are a minute ago.
  clock.tick(30_000)
  for (let n = 1; n <= 10; n++) await dialRetell(t, url, 'call_1')
  t.strictSame(await refusal(`${url}/llm-websocket/call_1`), TOO_OFTEN)
})

t.test('a Millis call is dialled again 20 times a minute, and no more', async t => {
  const { app, url } = await listen(t)
  const dial = async (): Promise<Caller> => {
    const caller = await dialUrl(t, `${url}/millis`)
    caller.send(millis.start(0, 'ses_1'))
    return caller
  }
  let caller = await dial()
  await caller.stream(0)
  for (let n = 1; n <= 20; n++) {
    const older = caller
    caller = await dial()
    await older.closed
  }
  t.match(await (await dial()).closed, { code: 1008 })
  t.equal(app.calls.refusals.redials, 1)
  t.equal(app.calls.size, 1)
  caller.send(millis.request(1, 'Hi'))
  t.match((await caller.stream(1)).at(-1), { data: { end_of_stream: true } }, 'the call goes on')
})

t.test('redials are counted on a node that took the call over, too', { skip: noRedis }, async t => {
  const redis = await startRedis(t)
  const options = { reconnectGraceMs: 30_000, cluster: { redis: redis.url } }
  const [a, b] = [await listen(t, options), await listen(t, options)]
  const kept = async (key: string): Promise<void> => { while (await redis.client.hexists(key, 'f:call') === 0) await new Promise(setImmediate) }
  const first = await dialRetell(t, a.url, 'call_1')
  first.send(retell.details())
  await first.response(0)
  await kept('voice-agent:{call_1}:retell')
  for (let n = 1; n <= 20; n++) await dialRetell(t, b.url, 'call_1')
  t.strictSame(await refusal(`${b.url}/llm-websocket/call_1`), TOO_OFTEN)

  const line = await dialUrl(t, `${a.url}/millis`)
  line.send(millis.start(0, 'ses_1'))
  await line.stream(0)
  await kept('voice-agent:{ses_1}:millis')
  for (let n = 1; n <= 20; n++) {
    const caller = await dialUrl(t, `${b.url}/millis`)
    caller.send(millis.start(n, 'ses_1'), millis.request(n + 100, 'Hi'))
    await caller.stream(n + 100)
  }
  const last = await dialUrl(t, `${b.url}/millis`)
  last.send(millis.start(99, 'ses_1'))
  t.match(await last.closed, { code: 1008 })
})

t.test('a call that reaches its redial limit while other nodes are asked is refused afterwards', async t => {
  const redials = new Redials()
  for (let n = 1; n <= 20; n++) redials.count('retell', 'call_1')
  const refusals: string[] = []
  const admit = createAdmissionHook({
    provider: 'retell',
    needsCallId: true,
    hasSecret: false,
    clientAddress: () => '127.0.0.1',
    isExistingCall: () => true,
    calls: { size: 1, redials },
    refused: reason => { refusals.push(reason) }
  } as Partial<AdmissionSettings> as AdmissionSettings)
  const raw = { method: 'GET', headers: { 'sec-websocket-key': `${'A'.repeat(22)}==`, 'sec-websocket-version': '13' } }
  const request = { ws: true, url: '/llm-websocket/call_1', params: { call_id: 'call_1' }, raw, log: { warn () {} } } as unknown as FastifyRequest
  const reply = { header () {} } as unknown as FastifyReply
  const error = await new Promise(resolve => admit.call({} as FastifyInstance, request, reply, resolve))
  t.match(error, { code: 'VOICE_AGENT_ERR_LIMIT' })
  t.strictSame(refusals, ['redials'])
})
