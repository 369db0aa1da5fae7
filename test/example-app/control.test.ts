import t, { type Test } from 'tap'
import { createApp } from '../../example-app/app.js'
import { RetellCaller } from '../../lib/testing/index.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

/** The example app, with these tokens. */
async function setup (t: Test, tokens: string | undefined) {
  if (tokens !== undefined) process.env['CONTROL_TOKEN'] = tokens
  t.teardown(() => { delete process.env['CONTROL_TOKEN'] })
  const app = createApp()
  t.teardown(() => app.close())
  await app.ready()
  return {
    app,
    get: async (url: string, token = '') => {
      const response = await app.inject({ url, headers: { authorization: `Bearer ${token}` } })
      return { status: response.statusCode, body: response.json() }
    }
  }
}

t.test('live calls, and the document that says how to ask for them, are for whoever knows a token', async t => {
  const { app, get } = await setup(t, 'token-canary,other')
  const call = await RetellCaller.dial(app, { callId: 'call_1' })
  t.teardown(() => call.hangUp())
  for (const token of ['token-canary', 'other']) {
    t.match((await get('/control/calls', token)).body, { calls: [{ id: 'call_1' }] })
    const { body } = await get('/control/openapi.json', token)
    t.match(body, { openapi: '3.1.0', info: { title: 'Live calls' } })
    t.strictSame(Object.keys(body.paths).filter(path => !path.startsWith('/control/')), [], 'other routes of the app are not in it')
    t.strictSame(Object.keys(body.components.schemas), ['VoiceAgentCall', 'VoiceAgentError'])
    t.notOk('/control/openapi.json' in body.paths)
  }
  for (const url of ['/control/calls', '/control/openapi.json']) {
    t.match(await get(url), { status: 401, body: { code: 'VOICE_AGENT_ERR_UNAUTHORIZED' } })
    t.equal((await get(url, 'token')).status, 401)
  }
})

t.test('without a token there is neither', async t => {
  for (const tokens of [undefined, '']) {
    const { get } = await setup(t, tokens)
    for (const url of ['/control/calls', '/control/openapi.json']) t.equal((await get(url)).status, 404)
  }
})
