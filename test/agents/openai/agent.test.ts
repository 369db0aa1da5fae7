import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { mock } from 'node:test'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import { APIConnectionError } from 'openai'
import { Pool, request } from 'undici'
import { usage, type Action, type Agent, type Turn } from '../../../lib/contract/agent.js'
import { builtInAgent } from '../../../lib/agents/built-in.js'
import { DEFAULT_INSTRUCTIONS, openAIAgent, type OpenAIAgent, type OpenAIAgentOptions } from '../../../lib/agents/openai/agent.js'
import { fakeTurn } from '../../helpers/fake-turn.js'
import { hold, STALL, startScriptedModel, toolCallChunk, usageChunk, type ScriptedModelOptions } from '../../../lib/testing/scripted-model.js'

async function setup (t: Test, options: OpenAIAgentOptions = {}, serverOptions?: ScriptedModelOptions) {
  const server = await startScriptedModel(serverOptions)
  t.teardown(() => server.close())
  const agent = openAIAgent({ apiKey: 'sk-test', baseURL: server.url, ...options })
  t.teardown(() => agent.close())
  return { server, agent }
}

async function say (agent: OpenAIAgent, turn: Turn = fakeTurn()): Promise<unknown[]> {
  const tokens: unknown[] = []
  for await (const token of agent(turn)) if ((token as Partial<Action>).action !== 'usage') tokens.push(token)
  return tokens
}

async function failure (promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => undefined, (error: unknown) => error)
}

/** The client's own ends of the connections made while the test runs. */
function clientSockets (t: Test): Socket[] {
  const sockets: Socket[] = []
  const onConnected = (message: unknown) => { sockets.push((message as { socket: Socket }).socket) }
  subscribe('undici:client:connected', onConnected)
  t.teardown(() => { unsubscribe('undici:client:connected', onConnected) })
  return sockets
}

function setEnv (t: Test, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name]
    process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
}

// What it says

t.test('the agent is one that fastify.agent takes', async t => {
  const { agent } = await setup(t)
  const decorated: Agent = agent
  t.type(decorated, 'function')
})

t.test('the greeting is spoken without asking the model', async t => {
  const { server, agent } = await setup(t)
  t.strictSame(await say(agent, fakeTurn({ reason: 'greeting' })), ['How may I help you?'])
  t.strictSame(await say(openAIAgent({ apiKey: 'k', greeting: 'City desk.' }), fakeTurn({ reason: 'greeting' })), ['City desk.'])
  t.equal(server.connections, 0)
})

t.test('with an empty greeting the caller speaks first', async t => {
  const { server, agent } = await setup(t, { greeting: '' })
  t.strictSame(await say(agent, fakeTurn({ reason: 'greeting' })), [])
  t.equal(server.connections, 0)
})

t.test('every token is spoken when the model has written it', async t => {
  const { server, agent } = await setup(t)
  const [second, third] = [hold(), hold()]
  server.next(['One ', second, 'two ', third, 'three'])
  const reply = agent(fakeTurn())
  t.strictSame(await reply.next(), { done: false, value: 'One ' })
  second.release()
  t.strictSame(await reply.next(), { done: false, value: 'two ' })
  third.release()
  t.strictSame(await reply.next(), { done: false, value: 'three' })
  t.strictSame(await reply.next(), { done: true, value: undefined })
})

t.test('tokens that arrive in one piece are said in one piece', async t => {
  const { server, agent } = await setup(t)
  server.next({ steps: ['Grüß ', 'dich', ' 𝄞'], atOnce: true })
  t.strictSame(await say(agent), ['Grüß dich 𝄞'])
})

t.test('blanks ahead of the first word are not spoken, those behind it are', async t => {
  const { server, agent } = await setup(t)
  server.next(['\n\n', ' ', ' One', '\n', 'two'])
  t.strictSame(await say(agent), [' One', '\n', 'two'])
})

t.test('a refusal is spoken like any other answer', async t => {
  const { server, agent } = await setup(t)
  const refusal = (text: string) => ({ chunk: { choices: [{ index: 0, delta: { refusal: text }, finish_reason: null }] } })
  server.next([refusal('I cannot '), refusal('help with that.')])
  t.strictSame(await say(agent), ['I cannot ', 'help with that.'])
})

t.test('chunks that hold no speech are passed over', async t => {
  const { server, agent } = await setup(t)
  server.next([
    { chunk: { choices: [], prompt_filter_results: [] } },
    'Hello',
    { chunk: { choices: [{ index: 0, finish_reason: null, content_filter_offsets: {} }] } },
    { chunk: { object: 'ping' } },
    { chunk: { choices: [{ index: 0, delta: { content: null, refusal: null } }] } },
    toolCallChunk({ index: 0, id: 'call_1', type: 'function', function: { name: 'lookup', arguments: '' } }),
    toolCallChunk({ index: 0, function: { arguments: '{}' } }),
    { raw: ': keep-alive\n\n' },
    ' there',
    usageChunk()
  ])
  t.strictSame(await say(agent), ['Hello', ' there'])
})

t.test('a stream that ends without [DONE] ends the reply', async t => {
  const { server, agent } = await setup(t)
  server.next({ steps: ['Hello'], done: false })
  t.strictSame(await say(agent), ['Hello'])
})

// What it asks

t.test('the model is asked with the system prompt and the messages of the turn', async t => {
  const { server, agent } = await setup(t, { instructions: 'Be brief.', model: 'small' })
  const messages: Turn['messages'] = [
    { role: 'user', content: 'Is it open?' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'hours', arguments: '{}' } }] },
    { role: 'tool', tool_call_id: 'c1', content: '9 to 5' },
    { role: 'assistant', content: 'Until five.' },
    { role: 'user', content: 'Thanks' }
  ]
  t.strictSame((await say(agent, fakeTurn({ messages }))).join(''), 'You said: Thanks')
  t.equal(server.requests[0]?.url, '/v1/chat/completions')
  t.strictSame(server.requests[0]?.body, {
    model: 'small', stream: true, messages: [{ role: 'system', content: 'Be brief.' }, ...messages]
  })
})

t.test('what is asked and answered is counted, at four bytes a token, also where the answer is cut off', async t => {
  const { server, agent } = await setup(t)
  const counts: number[] = []
  const call = { record: () => true, waitUntil: () => {}, countTokens: (tokens: number) => { counts.push(tokens) } } as unknown as Turn['call']
  server.next('Grüß dich')
  await say(agent, fakeTurn({ call }))
  const asked = Buffer.byteLength(JSON.stringify(server.requests[0]!.body)) / 4
  t.strictSame(counts.splice(0), [asked, Buffer.byteLength('Grüß dich') / 4])
  server.next(['One ', STALL])
  const reply = agent(fakeTurn({ call }))
  await reply.next()
  await reply.return()
  t.strictSame(counts, [asked, 1])
})

t.test('what an answer took is told as the server tells it, which is asked for where it is OpenAI\'s', async t => {
  const usageOf = async (agent: OpenAIAgent): Promise<unknown[]> => {
    const told: unknown[] = []
    for await (const piece of agent(fakeTurn())) if (typeof piece !== 'string') told.push(piece)
    return told
  }
  const { server, agent } = await setup(t, { model: 'small' })
  server.next({ steps: ['Yes', usageChunk(20, 10)] }, 'Yes', ...[{}, { prompt_tokens: -1, completion_tokens: 'x' }].map(usage => ({ steps: ['Yes', { chunk: { choices: [], usage } }] })))
  t.match(await usageOf(agent), [{ action: 'usage', inputTokens: 20, outputTokens: 10 }])
  t.strictSame(await usageOf(agent), [])
  for (let i = 0; i < 2; i++) t.strictSame(await usageOf(agent), [usage('small')])
  t.ok(server.requests.every(({ body }) => !('stream_options' in body)))

  const azure = openAIAgent({ azure: { endpoint: server.origin, apiKey: 'az' } })
  const silent = openAIAgent({ azure: { endpoint: server.origin, apiKey: 'az' }, usage: false })
  t.teardown(() => Promise.all([azure.close(), silent.close()]))
  const noEnv = { OPENAI_API_KEY: '', OPENAI_BASE_URL: '', AZURE_OPENAI_ENDPOINT: server.origin, AZURE_OPENAI_API_KEY: 'az' }
  const builtIn = await builtInAgent(noEnv, { usage: false }) as OpenAIAgent
  t.teardown(() => builtIn.close())
  server.next('Yes', 'Yes', 'Yes')
  await say(azure)
  await say(silent)
  await say(builtIn)
  t.strictSame(server.requests.slice(-3).map(({ body }) => (body as { stream_options?: unknown }).stream_options), [{ include_usage: true }, undefined, undefined])
})

t.test('model and system prompt have defaults, and an empty system prompt is not sent', async t => {
  const { server, agent } = await setup(t)
  await say(agent)
  t.match(server.requests[0]?.body, { model: 'gpt-4.1-mini', messages: [{ role: 'system', content: DEFAULT_INSTRUCTIONS }, { role: 'user', content: 'Hi' }] })
  const { server: bare, agent: bareAgent } = await setup(t, { instructions: '' })
  await say(bareAgent)
  t.strictSame(bare.requests[0]?.body.messages, [{ role: 'user', content: 'Hi' }])
})

t.test('a reminder turn asks the model like any other', async t => {
  const { server, agent } = await setup(t)
  await say(agent, fakeTurn({ reason: 'reminder', messages: [{ role: 'user', content: '(silence)' }] }))
  t.equal(server.requests[0]?.body.messages.at(-1)?.content, '(silence)')
})

t.test('temperature and token limit are sent where they are given, the limit in the words of the server', async t => {
  const { server, agent } = await setup(t, { temperature: 0, maxTokens: 80 })
  await say(agent)
  t.match(server.requests[0]?.body, { temperature: 0, max_tokens: 80, max_completion_tokens: undefined })

  const azure = openAIAgent({ azure: { endpoint: server.origin, apiKey: 'az' }, baseURL: 'http://127.0.0.1:1', maxTokens: 80 })
  t.teardown(() => azure.close())
  await say(azure)
  t.match(server.requests[1]?.body, { max_tokens: undefined, max_completion_tokens: 80 })
})

t.test('the key is sent as a bearer token', async t => {
  const { server, agent } = await setup(t)
  await say(agent)
  t.equal(server.requests[0]?.headers.authorization, 'Bearer sk-test')
})

t.test('a server of one\'s own needs no key', async t => {
  const { server, agent } = await setup(t, { apiKey: '' })
  t.equal((await say(agent)).join(''), 'You said: Hi')
  t.equal(server.requests[0]?.headers.authorization, 'Bearer none')
})

t.test('a deployment of Azure is asked under its path, with api-key and api-version', async t => {
  const { server } = await setup(t)
  const azure = { endpoint: `${server.origin}/`, apiKey: 'az-key' }
  for (const agent of [openAIAgent({ azure, model: 'desk' }), openAIAgent({ azure: { ...azure, apiVersion: '2025-01-01-preview' }, model: 'desk' })]) {
    t.teardown(() => agent.close())
    t.equal((await say(agent)).join(''), 'You said: Hi')
  }
  t.strictSame(server.requests.map(({ url, headers }) => [url, headers['api-key'], headers.authorization]), [
    ['/openai/deployments/desk/chat/completions?api-version=2024-10-21', 'az-key', undefined],
    ['/openai/deployments/desk/chat/completions?api-version=2025-01-01-preview', 'az-key', undefined]
  ])
})

t.test('a missing key or endpoint stops the start and is named by its variable', async t => {
  setEnv(t, { OPENAI_API_KEY: 'env', AZURE_OPENAI_API_KEY: 'env', AZURE_OPENAI_ENDPOINT: 'http://127.0.0.1:1' })
  const missing = (name: RegExp) => ({ code: 'VOICE_AGENT_ERR_CONFIG', message: name })
  t.throws(() => openAIAgent({}), missing(/OPENAI_API_KEY .* is missing/))
  t.throws(() => openAIAgent({ apiKey: '', baseURL: '' }), missing(/OPENAI_API_KEY .* is missing/))
  t.throws(() => openAIAgent({ azure: { endpoint: 'https://desk.openai.azure.com', apiKey: '' } }), missing(/AZURE_OPENAI_API_KEY .* is missing/))
})

t.test('what is no URL stops the start and is named by its variable', async t => {
  setEnv(t, { AZURE_OPENAI_ENDPOINT: 'http://127.0.0.1:1' })
  const refused = (name: RegExp) => ({ code: 'VOICE_AGENT_ERR_CONFIG', message: name })
  for (const url of ['localhost:11434/v1', 'api.openai.com', 'ftp://127.0.0.1/v1', 'http://']) {
    t.throws(() => openAIAgent({ baseURL: url }), refused(/^OPENAI_BASE_URL .* must be an http or https URL without a query$/), url)
    t.throws(() => openAIAgent({ azure: { endpoint: url, apiKey: 'k' } }), refused(/^AZURE_OPENAI_ENDPOINT .* must be an http or https URL without a query$/), url)
  }
  t.throws(() => openAIAgent({ azure: { endpoint: '', apiKey: 'k' } }), refused(/^AZURE_OPENAI_ENDPOINT/))
})

t.test('the client takes nothing from the environment behind the options, and writes nothing to the console', async t => {
  setEnv(t, {
    OPENAI_API_KEY: 'env',
    OPENAI_ADMIN_KEY: 'env',
    OPENAI_BASE_URL: 'http://127.0.0.1:1/v1',
    OPENAI_ORG_ID: 'env',
    OPENAI_PROJECT_ID: 'env',
    OPENAI_API_VERSION: 'env',
    OPENAI_LOG: 'debug',
    AZURE_OPENAI_API_KEY: 'env',
    AZURE_OPENAI_ENDPOINT: 'http://127.0.0.1:1'
  })
  const written = (['debug', 'info', 'log', 'warn', 'error'] as const).map(level => t.capture(console, level))
  const { server, agent } = await setup(t)
  const azure = openAIAgent({ azure: { endpoint: server.origin, apiKey: 'az' } })
  t.teardown(() => azure.close())
  server.next(['Hi'], ['Hi'], [{ raw: 'data: {"half a \n\n' }])
  await say(agent)
  await say(azure)
  await t.rejects(say(agent))
  t.match(server.requests[0]?.headers, { authorization: 'Bearer sk-test', 'openai-organization': undefined, 'openai-project': undefined })
  t.match(server.requests[1], { url: /api-version=2024-10-21$/, headers: { 'api-key': 'az', 'openai-organization': undefined } })
  t.strictSame(written.map(calls => calls().length), [0, 0, 0, 0, 0])
})

t.test('without a server of one\'s own it is OpenAI\'s that is asked, whatever the environment says', async t => {
  setEnv(t, { OPENAI_BASE_URL: 'https://127.0.0.1:1/v1' })
  const connect = mock.method(tls, 'connect', () => { throw new Error('no connections from here') })
  t.teardown(() => connect.mock.restore())
  const agent = openAIAgent({ apiKey: 'sk-test' })
  t.teardown(() => agent.close())
  t.type(await failure(say(agent)), APIConnectionError)
  t.match(connect.mock.calls[0]?.arguments, [{ host: 'api.openai.com', port: 443 }])
})

// How it ends early

t.test('a turn that was aborted before it began asks nothing', async t => {
  const { server, agent } = await setup(t)
  const turn = fakeTurn()
  turn.abort()
  t.strictSame(await say(agent, turn), [])
  t.equal(server.connections, 0)
})

t.test('an abort before the headers cancels the request, and the reply ends quietly', async t => {
  const { server, agent } = await setup(t)
  const sockets = clientSockets(t)
  server.next({ before: hold(), steps: ['Never'] })
  const [asked, cancelled] = [once(server.events, 'request'), once(server.events, 'cancelled')]
  const turn = fakeTurn()
  const reply = say(agent, turn)
  await asked
  turn.abort()
  t.equal(sockets[0]?.destroyed, true, 'before abort() returns')
  t.strictSame(await reply, [])
  await cancelled
  t.equal(server.cancelled, 1)
})

t.test('an abort before a refusal has arrived is no failure', async t => {
  const { server, agent } = await setup(t)
  server.next({ before: hold(), status: 500 })
  const asked = once(server.events, 'request')
  const turn = fakeTurn()
  const reply = say(agent, turn)
  await asked
  turn.abort()
  t.strictSame(await reply, [])
})

t.test('an abort in mid-stream cancels the request, and the reply ends quietly', async t => {
  const { server, agent } = await setup(t)
  const sockets = clientSockets(t)
  server.next(['One ', hold(), 'two'])
  const cancelled = once(server.events, 'cancelled')
  const turn = fakeTurn()
  const reply = agent(turn)
  await reply.next()
  const next = reply.next()
  turn.abort()
  t.equal(sockets[0]?.destroyed, true, 'before abort() returns')
  t.strictSame(await next, { done: true, value: undefined })
  await cancelled
  t.equal(server.cancelled, 1)
})

t.test('an abort cancels the request while nobody waits for the next token', async t => {
  const { server, agent } = await setup(t)
  const sockets = clientSockets(t)
  server.next(['One ', hold(), 'two'])
  const cancelled = once(server.events, 'cancelled')
  const turn = fakeTurn()
  const reply = agent(turn)
  await reply.next()
  turn.abort()
  t.equal(sockets[0]?.destroyed, true, 'before abort() returns')
  await cancelled
  t.strictSame(await reply.next(), { done: true, value: undefined })
})

t.test('leaving the reply in mid-stream cancels the request', async t => {
  const { server, agent } = await setup(t)
  const sockets = clientSockets(t)
  server.next(['One ', hold(), 'two'])
  const cancelled = once(server.events, 'cancelled')
  const reply = agent(fakeTurn())
  await reply.next()
  await reply.return()
  t.equal(sockets[0]?.destroyed, true)
  await cancelled
  t.equal(server.cancelled, 1)
})

t.test('a turn that is superseded takes no other turn with it', async t => {
  const { server, agent } = await setup(t)
  const gate = hold()
  server.next(['One ', hold(), 'two'], ['Three ', gate, 'four'])
  const [first, second] = [fakeTurn({ id: 1 }), fakeTurn({ id: 2 })]
  const [dead, live] = [agent(first), agent(second)]
  await dead.next()
  await live.next()
  first.abort()
  gate.release()
  t.strictSame(await live.next(), { done: false, value: 'four' })
  t.strictSame(await live.next(), { done: true, value: undefined })
})

// Its connections

t.test('turns that follow each other share one connection', async t => {
  const { server, agent } = await setup(t)
  for (const script of [['One'], { status: 500 }, { steps: ['Two'], done: false }, ['Three']]) {
    server.next(script)
    await failure(say(agent))
    await nextLoopTurn() // undici lets a connection rest for one
  }
  t.strictSame(server.requests.map(({ connection }) => connection), [1, 1, 1, 1])
})

t.test('turns at the same time have a connection each', async t => {
  const { server, agent } = await setup(t)
  const gate = hold()
  server.next([gate, 'One'], [gate, 'Two'])
  const asked = new Promise<void>(resolve => server.events.on('request', () => { if (server.requests.length === 2) resolve() }))
  const replies = Promise.all([say(agent), say(agent)])
  await asked
  gate.release()
  t.same((await replies).flat().sort(), ['One', 'Two'])
  t.equal(server.connections, 2)
})

t.test('a superseded turn loses its own connection, and the turn that follows at once keeps its', async t => {
  const { server, agent } = await setup(t)
  let lost = 0
  server.events.on('disconnected', () => { lost++ })
  server.next(['One ', hold()])
  const disconnected = once(server.events, 'disconnected')
  const superseded = fakeTurn()
  await agent(superseded).next()
  superseded.abort()
  await say(agent)
  await disconnected
  await nextLoopTurn()
  await say(agent)
  t.equal(lost, 1)
})

t.test('closing the agent closes its idle connections and cuts its live ones', async t => {
  const { server, agent } = await setup(t)
  const gate = hold()
  server.next(['One ', hold()], [gate, 'Done'])
  const live = agent(fakeTurn())
  await live.next()
  const asked = once(server.events, 'request')
  const idle = say(agent)
  await asked
  gate.release()
  await idle
  while (server.open < 3) await once(server.events, 'connected') // one is a spare
  const cut = t.rejects(live.next(), { code: 'UND_ERR_DESTROYED' })
  await agent.close()
  await cut
  while (server.open > 0) await once(server.events, 'disconnected')
  t.type(await failure(say(agent)), APIConnectionError, 'it cannot be used again')
  await agent.close()
})

t.test('the connection outlives the pauses of a caller', async t => {
  // A clock of our own instead of waiting: undici takes the global setTimeout for its idle connections.
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const pass = async (ms: number) => {
    await nextLoopTurn() // undici starts to count
    mock.timers.tick(ms)
    await nextLoopTurn()
  }

  await t.test('two minutes where the server does not say how long it waits', async t => {
    const { server, agent } = await setup(t)
    await say(agent)
    await pass(119_000)
    await say(agent)
    t.strictSame(server.requests.map(({ connection }) => connection), [1, 1])
    const disconnected = once(server.events, 'disconnected')
    await pass(121_000)
    await disconnected
  })

  await t.test('where undici left to itself would have hung up', async t => {
    const { server } = await setup(t)
    const pool = new Pool(server.origin)
    t.teardown(() => pool.destroy())
    const { body } = await request(`${server.url}/chat/completions`, { dispatcher: pool, method: 'POST', body: '{"messages":[]}' })
    await body.dump()
    const disconnected = once(server.events, 'disconnected')
    await pass(5_000)
    await disconnected
  })

  await t.test('but never longer than the server says', async t => {
    const { server, agent } = await setup(t, {}, { keepAliveTimeout: 60_000 })
    await say(agent)
    await pass(57_000)
    await say(agent)
    t.strictSame(server.requests.map(({ connection }) => connection), [1, 1])
    const disconnected = once(server.events, 'disconnected')
    await pass(58_500)
    await disconnected
  })
})
