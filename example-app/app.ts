/**
 * What you copy: a Fastify app that takes calls from Retell and Millis.
 */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import voiceAgentPlugin from 'fastify-voice-agent'

/** Creates the app; whoever creates it listens and closes. */
export function createApp (options: FastifyServerOptions = {}): FastifyInstance {
  const app = Fastify(options)

  // Your own brain goes here. Without it the built-in OpenAI agent answers when OPENAI_API_KEY is set, and a scripted
  // one, which needs nothing, when it is not.
  //
  // app.decorate('agent', async function * (turn) {
  //   if (turn.reason === 'greeting') yield 'How may I help you?'
  //   else yield * myModel.stream(turn.messages, { signal: turn.signal })
  // })

  app.register(voiceAgentPlugin)
  return app
}
