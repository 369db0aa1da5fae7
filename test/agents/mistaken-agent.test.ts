import t from 'tap'
import { assertAgent } from '../../lib/agents/mistaken-agent.js'
import { failover, openAIAgent, scriptedAgent, tool, Type } from '../../lib/index.js'

const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), execute () {} })

t.test('the error for a value that is not an agent says what to write instead', async t => {
  const HANDLER = "app.decorate('agent', async function * (turn) { … })"
  const cases: Record<string, [agent: unknown, got: string]> = {
    'openAIAgent, not called': [openAIAgent, "openAIAgent itself, which makes one: app.decorate('agent', openAIAgent({ … }))"],
    'failover, not called': [failover, "failover itself, which makes one: app.decorate('agent', failover([first, second]))"],
    'tool, not called': [tool, "tool itself: app.decorate('agent', openAIAgent({ tools: [tool({ … })] }))"],
    'a tool': [look, "a tool: app.decorate('agent', openAIAgent({ tools: [it] }))"],
    'a class': [class Desk {}, "a class. Hand the turns on to an instance of it: app.decorate('agent', turn => mine.reply(turn))"],
    'a promise': [Promise.resolve(scriptedAgent), "a promise: app.decorate('agent', await it)"],
    'a generator': [(async function * () {})(), `a generator, which speaks once. Decorate its function, without calling it: ${HANDLER}`],
    "an SDK's own agent": [
      { generate () {}, stream () {} },
      'what looks like an agent of another SDK. ' +
      "Ask it for each turn: app.decorate('agent', async turn => (await agent.stream({ messages: turn.messages, abortSignal: turn.signal })).textStream)"
    ],
    'half of an agent': [{ generate () {} }, `object: ${HANDLER}`],
    null: [null, `null: ${HANDLER}`],
    undefined: [undefined, `undefined: ${HANDLER}`],
    'a string': ['Hello', `string: ${HANDLER}`]
  }
  for (const [name, [agent, got]] of Object.entries(cases)) {
    t.throws(() => assertAgent(agent), { code: 'VOICE_AGENT_ERR_AGENT', message: `fastify.agent must be a function (turn) => reply, got ${got}` }, name)
  }
})

t.test('every function that takes turns is an agent', async t => {
  const agents = [() => 'Hi', async () => 'Hi', function * () { yield 'Hi' }, scriptedAgent, openAIAgent({ apiKey: 'key' }), function classOfTheirs () { return 'Hi' }]
  for (const agent of agents) t.doesNotThrow(() => assertAgent(agent))
})
