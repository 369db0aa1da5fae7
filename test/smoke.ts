/**
 * One call on each provider over real sockets, and one of the built-in agent. It runs without tap, also where the tests do not:
 * `npx --package bun bun .build/test/smoke.js`.
 */
import assert from 'node:assert/strict'
import Fastify from 'fastify'
import voiceAgentPlugin from 'fastify-voice-agent'
import { MillisCaller, RetellCaller, startScriptedModel } from 'fastify-voice-agent/testing'

const app = Fastify()
app.decorate('agent', async function * (turn) {
  yield turn.reason === 'greeting' ? 'Hello.' : 'You said: '
  if (turn.reason === 'response') yield String(turn.transcript.at(-1)?.content)
})
await app.register(voiceAgentPlugin, { retell: { allowlist: '*' }, millis: { allowlist: '*' } })
const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')

for (const call of [await RetellCaller.dial(`${url}/llm-websocket`), await MillisCaller.dial(`${url}/millis`)]) {
  assert.equal(call.reply?.text, 'Hello.')
  assert.equal((await call.say('Tuesday')).text, 'You said: Tuesday')
  assert.deepEqual(call.findings, [])
  await call.hangUp()
}
await app.close()

const model = await startScriptedModel()
const builtIn = Fastify()
await builtIn.register(voiceAgentPlugin, { retell: { allowlist: '*' }, openai: { baseURL: model.url, apiKey: 'none' } })
const call = await RetellCaller.dial(`${(await builtIn.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')}/llm-websocket`)
assert.equal((await call.say('Tuesday')).text, 'You said: Tuesday')
await call.hangUp()
await builtIn.close()
await model.close()
console.log('3 passed, 0 failed')
