/**
 * A user's app, as compilers see it. Like its neighbour it is compiled as an ES module and as CommonJS, and never run.
 */
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, voiceAgentPlugin as named } from 'fastify-voice-agent'
import voiceAgentControl from 'fastify-voice-agent/control'
import playground from 'fastify-voice-agent/playground'

export const app = Fastify()
app.decorate('agent', async function * (turn) {
  yield turn.transcript.at(-1)?.content
  yield endCall({ say: 'Goodbye.' })
})
app.register(voiceAgentPlugin, { millis: { allowlist: '*' } })
app.register(voiceAgentControl, { token: 'secret' })
app.register(playground)
app.register(named, {
  // @ts-expect-error an allowlist is a text or a list
  millis: { allowlist: 7 }
})
