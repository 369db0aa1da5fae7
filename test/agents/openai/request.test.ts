/**
 * What the app may add to a request to the model's server: headers, members of the body, and the name of the token limit.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { openAIAgent, type OpenAIAgent, type OpenAIAgentOptions } from '../../../lib/agents/openai/agent.js'
import { isOpenAI } from '../../../lib/agents/openai/token-limit.js'
import { hold, startScriptedModel, type Refusal } from '../../../lib/testing/scripted-model.js'
import type { Turn } from '../../../lib/contract/agent.js'
import { fakeTurn } from '../../helpers/fake-turn.js'

async function setup (t: Test, options: OpenAIAgentOptions = {}) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const agent = openAIAgent({ apiKey: 'sk-test', baseURL: server.url, ...options })
  t.teardown(() => agent.close())
  return { server, agent }
}

async function say (agent: OpenAIAgent, turn: Turn = fakeTurn()): Promise<string> {
  let text = ''
  for await (const piece of agent(turn)) if (typeof piece === 'string') text += piece
  return text
}

async function refused (agent: OpenAIAgent): Promise<unknown> {
  return say(agent).then(() => undefined, (error: unknown) => error)
}

// Headers

t.test('headers of the app are sent with each request, and replace those of the same name', async t => {
  const { server, agent } = await setup(t, { headers: { 'X-Team': 'Köln', 'USER-AGENT': 'desk/1' } })
  await say(agent)
  await say(agent)
  t.equal(server.requests.length, 2)
  for (const { headers } of server.requests) {
    t.match(headers, { 'x-team': 'Köln', 'user-agent': 'desk/1', authorization: 'Bearer sk-test', 'content-type': 'application/json' })
  }
})

t.test('a function makes the headers of each request, from the turn, sync or async', async t => {
  let tokens = 0
  const headers = (turn: Turn) => ({ Authorization: `Bearer token-${++tokens}`, 'x-turn': String(turn.id) })
  for (const make of [headers, async (turn: Turn) => headers(turn)]) {
    tokens = 0
    const { server, agent } = await setup(t, { apiKey: '', headers: make })
    for (const id of [1, 2]) await say(agent, fakeTurn({ id }))
    t.strictSame(server.requests.map(({ headers }) => [headers.authorization, headers['x-turn']]), [['Bearer token-1', '1'], ['Bearer token-2', '2']])
  }
})

t.test('a credential of the app replaces the key, whichever header either is sent in', async t => {
  const { server, agent } = await setup(t, { headers: { 'api-key': 'own' } })
  await say(agent)
  t.match(server.requests[0]?.headers, { 'api-key': 'own', authorization: undefined })

  const azure = { endpoint: server.origin, apiKey: 'az-key' }
  const entra = openAIAgent({ azure, headers: { authorization: 'Bearer entra' } })
  const keyless = openAIAgent({ azure: { endpoint: server.origin }, headers: async () => ({ authorization: 'Bearer entra' }) })
  const anonymous = openAIAgent({ azure: { endpoint: server.origin }, headers: () => ({ 'x-team': 'a' }) })
  t.teardown(() => Promise.all([entra, keyless, anonymous].map(agent => agent.close())))
  for (const agent of [entra, keyless, anonymous]) await say(agent)
  t.strictSame(server.requests.slice(1).map(({ headers }) => [headers.authorization, headers['api-key']]), [['Bearer entra', undefined], ['Bearer entra', undefined], [undefined, undefined]])
  t.doesNotThrow(() => openAIAgent({ headers: { authorization: 'Bearer own' } }), 'OpenAI needs no key then')
})

t.test('headers of a function that cannot be sent fail the turn without their values, and nothing is asked', async t => {
  const wrong: Array<[unknown, RegExp]> = [
    [{ authorization: 'Bearer canary\n' }, /^option openai\.headers has a value that cannot be sent: authorization must be text/],
    [{ 'canary: x': 'x' }, /^option openai\.headers has a name that no header can have$/],
    [undefined, /^option openai\.headers must be an object, or a function that returns one$/]
  ]
  for (const [headers, message] of wrong) {
    const { server, agent } = await setup(t, { headers: () => headers as Record<string, string> })
    const error = await say(agent).then(() => undefined, (error: Error) => error)
    t.match(error, { code: 'VOICE_AGENT_ERR_CONFIG', message })
    t.notMatch(String(error?.stack), /canary/)
    t.equal(server.connections, 0)
  }
})

t.test('what the function for headers throws fails the turn', async t => {
  const failure = new Error('no token')
  for (const headers of [() => { throw failure }, () => Promise.reject(failure)]) {
    const { agent } = await setup(t, { headers })
    t.equal(await say(agent).then(() => undefined, (error: unknown) => error), failure)
  }
})

t.test('a turn that is aborted while it waits for its headers ends at once, and asks nothing', async t => {
  const [asked, gate] = [hold(), hold()]
  const { server, agent } = await setup(t, {
    async headers () {
      asked.release()
      await gate
      return {}
    }
  })
  const turn = fakeTurn()
  const reply = say(agent, turn)
  await asked
  turn.abort()
  t.equal(await reply, '')
  gate.release()
  await gate
  t.equal(server.connections, 0)

  const aborting = fakeTurn()
  const { agent: late } = await setup(t, {
    headers () {
      aborting.abort()
      return {}
    }
  })
  t.equal(await say(late, aborting), '')
})

// Members of the body

t.test('members of the app stand in each request beside those of the agent', async t => {
  const body = { reasoning_effort: 'minimal', enable_thinking: false, chat_template_kwargs: { enable_thinking: false } }
  const { server, agent } = await setup(t, { model: 'small', instructions: '', body, maxTokens: 80 })
  body.reasoning_effort = 'high'
  await say(agent)
  await say(agent)
  for (const { body } of server.requests) {
    t.strictSame(body, {
      model: 'small',
      stream: true,
      reasoning_effort: 'minimal',
      enable_thinking: false,
      chat_template_kwargs: { enable_thinking: false },
      max_tokens: 80,
      messages: [{ role: 'user', content: 'Hi' }]
    })
  }
})

// The token limit

t.test('OpenAI, its regions and Azure are known by their hosts', async t => {
  for (const baseURL of [
    '', 'https://api.openai.com/v1', 'https://eu.api.openai.com/v1', 'https://desk.openai.azure.com/openai/v1', 'https://desk.openai.azure.us/openai/v1',
    'https://desk.services.ai.azure.com/openai/v1', 'https://desk.cognitiveservices.azure.com/openai/v1', 'HTTPS://API.OPENAI.COM/v1'
  ]) t.equal(isOpenAI({ baseURL }), true, baseURL)
  for (const baseURL of ['http://127.0.0.1/v1', 'https://api.openai.com.example.com/v1', 'https://notapi.openai.example/v1', 'https://xapi.openai.com/v1']) t.equal(isOpenAI({ baseURL }), false, baseURL)
})

t.test('the option says which member holds the token limit', async t => {
  for (const maxTokensAs of ['max_tokens', 'max_completion_tokens'] as const) {
    const { server, agent } = await setup(t, { maxTokens: 80, maxTokensAs })
    const other = maxTokensAs === 'max_tokens' ? 'max_completion_tokens' : 'max_tokens'
    server.next({ status: 400, body: { error: { message: `Unsupported parameter: '${maxTokensAs}'. Use '${other}' instead.` } } })
    t.match(await refused(agent), { status: 400 }, 'and is not doubted')
    await say(agent)
    t.strictSame(server.requests.map(({ body }) => [body[maxTokensAs], body[other]]), [[80, undefined], [80, undefined]])
  }
})

const refusing = (message: string, status = 400): Refusal => ({ status, body: { error: { message, type: 'invalid_request_error', param: 'max_tokens', code: 'unsupported_parameter' } } })
const OPENAI = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

t.test('a server that refuses the name of the token limit is asked with the other one, at once and from then on', async t => {
  for (const refusal of [refusing(OPENAI), refusing('unrecognized field max_tokens', 422)]) {
    const { server, agent } = await setup(t, { maxTokens: 80 })
    server.next(refusal)
    t.equal(await say(agent), 'You said: Hi')
    t.equal(await say(agent), 'You said: Hi')
    t.strictSame(server.requests.map(({ body }) => [body['max_tokens'], body['max_completion_tokens']]), [[80, undefined], [undefined, 80], [undefined, 80]])
  }
  const { server } = await setup(t)
  const azure = openAIAgent({ azure: { endpoint: server.origin, apiKey: 'az' }, maxTokens: 80 })
  t.teardown(() => azure.close())
  server.next(refusing('Unknown field: max_completion_tokens'))
  t.equal(await say(azure), 'You said: Hi')
  t.strictSame(server.requests.map(({ body }) => [body['max_tokens'], body['max_completion_tokens']]), [[undefined, 80], [80, undefined]])
})

t.test('a server that refuses both names is asked twice, and then once a turn', async t => {
  const { server, agent } = await setup(t, { maxTokens: 80 })
  server.handler = () => refusing(OPENAI)
  t.match(await refused(agent), { status: 400 })
  t.equal(server.requests.length, 2)
  t.match(await refused(agent), { status: 400 })
  t.equal(server.requests.length, 3)
})

t.test('two turns that are refused at once are both asked again', async t => {
  const { server, agent } = await setup(t, { maxTokens: 80 })
  const gate = hold()
  server.next({ ...refusing(OPENAI), before: gate }, { ...refusing(OPENAI), before: gate })
  const replies = [say(agent), say(agent)]
  while (server.requests.length < 2) await once(server.events, 'request')
  gate.release()
  t.strictSame(await Promise.all(replies), ['You said: Hi', 'You said: Hi'])
  t.equal(server.requests.length, 4)
})

t.test('other refusals are not answered by another request', async t => {
  const { server, agent } = await setup(t, { maxTokens: 80 })
  for (const refusal of [refusing('max_tokens must be at least 100'), refusing(OPENAI, 500), refusing('The model is overloaded')]) {
    server.next(refusal)
    await t.rejects(say(agent))
  }
  t.equal(server.requests.length, 3)
  const { server: other, agent: unlimited } = await setup(t)
  other.next(refusing(OPENAI))
  await t.rejects(say(unlimited))
  t.equal(other.requests.length, 1)
})

t.test('a turn that is aborted while the refusal of its token limit arrives ends, and is not asked again', async t => {
  const { server, agent } = await setup(t, { maxTokens: 80 })
  const turn = fakeTurn()
  server.next({ ...refusing(OPENAI), before: hold() })
  const asked = once(server.events, 'request')
  const reply = say(agent, turn)
  await asked
  turn.abort()
  t.equal(await reply, '')
  t.equal(server.requests.length, 1)
})
