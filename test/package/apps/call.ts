/**
 * An app with an agent of its own that takes a call on each provider. Like every app here it is copied to where the package is installed,
 * and prints what the callers hear.
 */
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall } from 'fastify-voice-agent'
import voiceAgentControl from 'fastify-voice-agent/control'
import playground from 'fastify-voice-agent/playground'
import { MillisCaller, RetellCaller } from 'fastify-voice-agent/testing'

async function main (): Promise<void> {
  const app = Fastify()
  app.decorate('agent', async function * (turn) {
    if (turn.reason === 'greeting') return yield 'Hello.'
    yield 'You said: '
    yield String(turn.transcript.at(-1)?.content)
    yield endCall({ say: ' Goodbye.' })
  })
  await app.register(voiceAgentPlugin, { retell: { allowlist: '*' }, millis: { allowlist: '*' } })
  await app.register(voiceAgentControl, { token: 'secret' })
  // Off, as its page is for developers.
  await app.register(playground)
  const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')

  for (const call of [await RetellCaller.dial(`${url}/llm-websocket`), await MillisCaller.dial(`${url}/millis`)]) {
    console.log(call.reply?.text, (await call.say('Tuesday')).text, call.findings)
    await call.hangUp()
  }
  await app.close()
}

main().catch((error: unknown) => {
  console.log(error)
  process.exitCode = 1
})
