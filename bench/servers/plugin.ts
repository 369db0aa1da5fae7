/**
 * The plugin with its built-in OpenAI agent and the example app's tools, configured through the environment, logging at
 * info as that app does, and with turn reports that somebody reads.
 */
import Fastify from 'fastify'
import voiceAgentPlugin from 'fastify-voice-agent'
import { deskTools } from '../../example-app/desk.js'
import { Diary } from '../../example-app/diary.js'
import { logging } from '../../example-app/logging.js'
import { announce } from '../../test/helpers/announce.js'
import { answerProbes } from './probe.js'

const app = Fastify(logging('/dev/null'))
// Counted, as for metrics; calls are logged by the plugin itself.
const turns = new Map<string, number>()
await app.register(voiceAgentPlugin, {
  openai: { tools: deskTools(new Diary()) },
  onTurnEnd: (_turn, { outcome }) => { turns.set(outcome, (turns.get(outcome) ?? 0) + 1) }
})
await app.listen({ port: 0, host: '127.0.0.1' })
answerProbes(() => app.calls.size)
announce(app.server.address())
