/**
 * What you copy: a Fastify app that takes calls from Retell and Millis, and makes appointments.
 */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import voiceAgentPlugin, { openAIAgent, type Tool } from 'fastify-voice-agent'
import { control } from './control.js'
import { deskTools, INSTRUCTIONS } from './desk.js'
import { Diary } from './diary.js'
import { dialling } from './dialling.js'
import { startScriptedModel } from './scripted-model.js'

// About as fast as a model writes.
const MS_PER_WORD = 20

/** Creates the app; whoever creates it listens and closes. */
export function createApp (options: FastifyServerOptions = {}): FastifyInstance {
  const { OPENAI_API_KEY, OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT, AGENT_INSTRUCTIONS = INSTRUCTIONS } = process.env
  const app = Fastify(options)
  const tools = deskTools(new Diary())

  // Your own brain goes here. Without it the built-in OpenAI agent answers when OPENAI_API_KEY is set, and the same agent
  // with a scripted model, which needs nothing, when it is not.
  //
  // app.decorate('agent', async function * (turn) {
  //   if (turn.reason === 'greeting') yield 'How may I help you?'
  //   else yield * myModel.stream(turn.messages, { signal: turn.signal })
  // })

  const isModelNamed = Boolean(OPENAI_API_KEY || OPENAI_BASE_URL || AZURE_OPENAI_ENDPOINT)
  if (!isModelNamed && !app.hasDecorator('agent')) app.register(scriptedDesk, { tools })

  // Options win over the environment, which is to have the last word on the instructions.
  app.register(voiceAgentPlugin, isModelNamed ? { openai: { tools, instructions: AGENT_INSTRUCTIONS } } : {})

  // Calls that you place, and calls to your Twilio number; live calls over HTTP. Nothing of it is there before you set it up.
  app.register(dialling)
  app.register(control)
  return app
}

// So that there is somebody to talk to without a model, too.
const scriptedDesk = fp(async function scriptedDesk (app: FastifyInstance, { tools }: { tools: readonly Tool[] }) {
  const model = await startScriptedModel(MS_PER_WORD)
  const agent = openAIAgent({ baseURL: model.url, tools })
  app.log.info('no model is configured: a scripted one answers')
  app.decorate('agent', agent)
  app.addHook('onClose', async function closeScriptedDesk () {
    await agent.close()
    await model.close()
  })
})
