/**
 * An app whose agent is the built-in one: what it needs to ask a model is loaded while the app starts.
 */
import Fastify from 'fastify'
import voiceAgentPlugin, { tool, Type } from 'fastify-voice-agent'
import { callTools, RetellCaller, startScriptedModel } from 'fastify-voice-agent/testing'

const open = tool({
  name: 'open',
  description: 'Says when the bakery is open.',
  parameters: Type.Object({ day: Type.String() }),
  say: 'I look it up. ',
  execute: ({ day }) => `On ${day} from nine to five.`
})

async function main (): Promise<void> {
  const model = await startScriptedModel()
  model.next(callTools({ name: 'open', arguments: { day: 'Tuesday' } }), ['From nine ', 'to five.'])
  const app = Fastify()
  await app.register(voiceAgentPlugin, { retell: { allowlist: '*' }, openai: { baseURL: model.url, apiKey: 'none', tools: [open] } })
  const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')

  const call = await RetellCaller.dial(`${url}/llm-websocket`)
  const { text } = await call.say('When are you open on Tuesday?')
  console.log(text, model.requests[1]?.body.messages.at(-1)?.content, call.findings)
  await call.hangUp()
  await app.close()
  await model.close()
}

main().catch((error: unknown) => {
  console.log(error)
  process.exitCode = 1
})
