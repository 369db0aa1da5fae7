/**
 * An app with an agent of its own that takes a call on each provider, one whose agent is the built-in one, and one of many nodes: what
 * these need besides is loaded while they start. They are copied to where the package is installed, and print what the callers hear.
 */
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, tool, Type } from 'fastify-voice-agent'
import voiceAgentControl from 'fastify-voice-agent/control'
import playground from 'fastify-voice-agent/playground'
import { callTools, MillisCaller, RetellCaller, startScriptedModel } from 'fastify-voice-agent/testing'

async function callOwn (): Promise<void> {
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

const open = tool({
  name: 'open',
  description: 'Says when the bakery is open.',
  parameters: Type.Object({ day: Type.String() }),
  say: 'I look it up. ',
  execute: ({ day }) => `On ${day} from nine to five.`
})

const price = tool({
  name: 'price',
  description: 'Tells a price.',
  parameters: { type: 'object', properties: { item: { type: 'string', enum: ['roll', 'loaf'] }, on: { type: 'string', format: 'date' } }, required: ['item'] },
  execute: ({ item }) => `A ${String(item)} is one euro.`
})

async function callModel (): Promise<void> {
  const model = await startScriptedModel()
  model.next(callTools({ name: 'open', arguments: { day: 'Tuesday' } }, { name: 'price', arguments: { item: 'roll' } }), ['From nine ', 'to five.'])
  const app = Fastify()
  await app.register(voiceAgentPlugin, { retell: { allowlist: '*' }, openai: { baseURL: model.url, apiKey: 'none', tools: [open, price] } })
  const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')

  const call = await RetellCaller.dial(`${url}/llm-websocket`)
  const { text } = await call.say('When are you open on Tuesday?')
  console.log(text, ...model.requests[1]?.body.messages.slice(-2).map(({ content }) => content) ?? [], call.findings)
  await call.hangUp()
  await app.close()
  await model.close()
}

/** Without a Redis that answers: what speaks to it is loaded all the same. */
async function joinCluster (): Promise<void> {
  const app = Fastify()
  await app.register(voiceAgentPlugin, { cluster: { redis: 'redis://127.0.0.1:9' } })
  await app.ready()
  console.log('Ready.')
  await app.close()
}

// Not with await: CommonJS has none here.
callOwn().then(callModel).then(joinCluster).catch((error: unknown) => {
  console.log(error)
  process.exit(1)
})
