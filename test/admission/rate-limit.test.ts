import rateLimit from '@fastify/rate-limit'
import t, { type Test } from 'tap'
import type { LiveCall } from '../../lib/call/call.js'
import type { CallRegistry } from '../../lib/call/registry.js'
import voiceAgentControl from '../../lib/control/index.js'
import voiceAgentPlugin from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { dialUrl, millis, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { BEARER, KEY, signed } from '../helpers/webhooks.js'

setEnv(t)

const CONTROL_TOKEN = 'control-token'
const PLAYGROUND_TOKEN = 'playground-token'

/** Registers everything that there is, in an app whose every address may send one request. */
async function start (t: Test, when: 'before' | 'after') {
  const { app } = createApp(t)
  const limit = async (): Promise<void> => { await app.register(rateLimit, { max: 1, timeWindow: '1 hour' }) }
  if (when === 'before') await limit()
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE,
    reconnectGraceMs: 60_000,
    livenessPath: '/live',
    readinessPath: '/ready',
    retell: { allowlist: '*', apiKey: KEY },
    millis: { allowlist: '*', webhookSecret: BEARER.authorization.slice('Bearer '.length) }
  })
  if (when === 'after') await limit()
  await app.register(voiceAgentControl, { token: CONTROL_TOKEN })
  await app.register(playground, { enabled: true, token: PLAYGROUND_TOKEN, prefix: '/try' })
  app.get('/mine', async () => 'mine')
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  // The one request that the app's own routes allow.
  await fetch(`${url}/mine`)
  return { app, url }
}

for (const when of ['before', 'after'] as const) {
  t.test(`a limit registered ${when} us holds neither for the calls of one address nor for the redial of a live one`, async t => {
    const { app, url } = await start(t, when)
    const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
    caller.send(retell.details())
    await caller.response(0)
    const other = await dialUrl(t, `${url}/millis`)
    other.send(millis.start(0))
    await other.stream(0)

    caller.socket.terminate()
    while ((app.calls as CallRegistry<LiveCall>).waitingFor('retell') === 0) await tick()
    const again = await dialUrl(t, `${url}/llm-websocket/call_1`)
    again.send(retell.request(1, 'Still there?'))
    await again.response(1)
    t.equal(app.calls.size, 2)
    t.strictSame(Object.values(app.calls.refusals).filter(count => count > 0), [])
  })

  t.test(`a limit registered ${when} us does not hold for webhooks and probes`, async t => {
    const { url } = await start(t, when)
    for (let n = 1; n <= 2; n++) {
      const body = `{"event":"call_ended","call":{"call_id":"call_${n}"}}`
      t.equal((await fetch(`${url}/webhooks/retell`, { method: 'POST', body, headers: signed(body) })).status, 204)
      t.equal((await fetch(`${url}/webhooks/millis`, { headers: BEARER })).status, 200)
      for (const method of ['GET', 'HEAD']) {
        t.equal((await fetch(`${url}/live`, { method })).status, 200)
        t.equal((await fetch(`${url}/ready`, { method })).status, 200)
      }
    }
  })

  t.test(`a limit registered ${when} us holds for the control plane, the playground and the app's own routes`, async t => {
    const { url } = await start(t, when)
    const headers = { authorization: `Bearer ${CONTROL_TOKEN}`, cookie: `voice_agent_playground_${new URL(url).port}=${PLAYGROUND_TOKEN}` }
    for (const path of ['/mine', '/control/calls', '/try']) t.equal((await fetch(url + path, { headers })).status, 429, path)
  })
}
