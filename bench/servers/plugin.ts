/**
 * The plugin with its built-in OpenAI agent, configured through the environment, logging at info like a real service.
 */
import Fastify from 'fastify'
import { destination } from 'pino'
import voiceAgentPlugin from 'fastify-voice-agent'
import { announce } from './announce.js'
import { answerProbes } from './probe.js'

const app = Fastify({ logger: { level: 'info', stream: destination('/dev/null') } })
await app.register(voiceAgentPlugin)
await app.listen({ port: 0, host: '127.0.0.1' })
answerProbes(() => app.calls.size)
announce(app.server.address())
