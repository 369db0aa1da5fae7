import t from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { openAIAgent, tool, Type } from '../../lib/index.js'
import { callTools, RetellCaller, startScriptedModel } from '../../lib/testing/index.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

t.test('texts are streamed word by word, and tools are called', async t => {
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  const booked: string[] = []
  const book = tool({
    name: 'book',
    description: 'Books a time.',
    parameters: Type.Object({ time: Type.String() }),
    async execute ({ time }) {
      booked.push(time)
      return { booked: true }
    }
  })
  const app = Fastify()
  t.teardown(() => app.close())
  const agent = openAIAgent({ baseURL: model.url, tools: [book] })
  t.teardown(() => agent.close())
  app.decorate('agent', agent)
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0 })

  model.next(callTools({ name: 'book', arguments: { time: '9 am' } }), 'Nine it is.')
  const call = await RetellCaller.dial(app)
  t.match(await call.say('Nine, please'), { text: 'Nine it is.' })
  t.strictSame(booked, ['9 am'])
  t.match(call.tools, [{ name: 'book', arguments: '{"time":"9 am"}', result: '{"booked":true}', successful: true }])
  t.match(await call.say('Thanks'), { text: 'You said: Thanks' })
  t.strictSame(call.findings, [])
  t.equal((await fetch(`${model.origin}/v1/embeddings`)).status, 404)
})
