import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo, Socket } from 'node:net'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { APIConnectionError, APIConnectionTimeoutError, APIError, AuthenticationError, BadRequestError, InternalServerError, RateLimitError } from 'openai'
import { errors as undiciErrors } from 'undici'
import { openAIAgent, type OpenAIAgent } from '../../../lib/agents/openai/agent.js'
import { ModelError } from '../../../lib/contract/errors.js'
import { fakeTurn, type FakeTurn } from '../../helpers/fake-turn.js'
import { CUT, failures, hold, RESET, STALL, startScriptedModel } from '../../../lib/testing/scripted-model.js'

/** The clock of undici's own by which it measures silence; its `tick` is made for tests. */
const undiciTimers = createRequire(import.meta.url)('undici/lib/util/timers.js') as { tick (ms: number): void }

async function setup (t: Test) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const agent = openAIAgent({ apiKey: 'sk-test', baseURL: server.url })
  t.teardown(() => agent.close())
  return { server, agent }
}

/** What the caller hears, what is thrown then, and what was logged. */
interface Answer {
  readonly said: readonly unknown[]
  readonly error: unknown
  readonly warnings: readonly unknown[][]
}

async function ask (agent: OpenAIAgent, turn: FakeTurn = fakeTurn()): Promise<Answer> {
  const warnings: unknown[][] = []
  const said: unknown[] = []
  let error: unknown
  try {
    const log = { warn: (...args: unknown[]) => { warnings.push(args) } } as unknown as FakeTurn['log']
    for await (const token of agent({ ...turn, log })) said.push(token)
  } catch (thrown) {
    error = thrown
  }
  return { said, error, warnings }
}

/** Collects what undici publishes while the test runs. */
function published<Message> (t: Test, channel: string, onMessage: (message: Message) => void = () => {}): Message[] {
  const messages: Message[] = []
  const listen = (message: unknown) => {
    messages.push(message as Message)
    onMessage(message as Message)
  }
  subscribe(channel, listen)
  t.teardown(() => { unsubscribe(channel, listen) })
  return messages
}

// How each failure ends

interface Outcome {
  /** Default nothing. */
  readonly says?: readonly string[]
  /** Default nothing: the reply ends like any other. */
  readonly throws?: readonly [kind: new (...args: never) => Error, details?: object]
  /** Whether `turn.log` is told. Default false: what is thrown is logged by the call. */
  readonly warns?: boolean
  /** Default 1. */
  readonly requests?: number
}

const NOTHING = [ModelError, { code: 'VOICE_AGENT_ERR_MODEL', message: 'The model answered nothing', cause: undefined }] as const
const FILTERED = [ModelError, { code: 'VOICE_AGENT_ERR_MODEL', message: 'The model was stopped by its content filter' }] as const
const BROKEN_OFF = [undiciErrors.SocketError, { code: 'UND_ERR_SOCKET' }] as const

/** Those that stall in silence are left to the turn's deadlines. */
const outcomes: Record<Exclude<keyof typeof failures, 'noHeaders' | 'stalledAfterHeaders' | 'stalledMidStream'>, Outcome> = {
  unauthorized: { throws: [AuthenticationError, { status: 401 }] },
  rateLimited: { throws: [RateLimitError, { status: 429 }] },
  serverError: { throws: [InternalServerError, { status: 500 }] },
  filteredPrompt: { throws: [ModelError, { ...FILTERED[1], cause: { constructor: BadRequestError, status: 400 } }] },
  filteredAtOnce: { throws: FILTERED },
  filteredMidStream: { says: ['One '], throws: FILTERED },
  cutBeforeHeaders: { throws: [APIConnectionError] },
  resetBeforeHeaders: { throws: [APIConnectionError], requests: 2 },
  cutAfterHeaders: { throws: BROKEN_OFF },
  cutMidStream: { says: ['One '], throws: BROKEN_OFF },
  errorAtOnce: { throws: [APIError, { message: 'Overloaded' }] },
  errorMidStream: { says: ['One '], throws: [APIError, { message: 'Overloaded' }] },
  garbage: { says: ['One '], throws: [SyntaxError] },
  oddChunks: { throws: NOTHING },
  empty: { throws: NOTHING },
  blank: { throws: NOTHING },
  outOfTokensAtOnce: { throws: [ModelError, { message: 'The model answered nothing within its token limit' }] },
  outOfTokens: { says: ['One '] },
  endlessAtOnce: { throws: NOTHING },
  endless: { says: ['One '], warns: true },
  html: { throws: [ModelError, { message: 'The model answered HTTP 200 with text/html and no stream of events' }] },
  json: { says: ['One'] }
}

for (const [name, { says = [], throws, warns = false, requests = 1 }] of Object.entries(outcomes)) {
  const end = throws === undefined ? 'the reply ends' : `throws ${throws[0] === ModelError ? 'a ModelError' : throws[0].name}`
  t.test(`${name}: ${says.length === 0 ? '' : 'what was said stays, and then '}${end}`, async t => {
    const { server, agent } = await setup(t)
    const script = failures[name as keyof typeof outcomes]
    server.next(...Array.from({ length: requests }, () => script))
    const { said, error, warnings } = await ask(agent)
    t.strictSame(said, says)
    if (throws === undefined) {
      t.equal(error, undefined)
    } else {
      t.type(error, throws[0])
      t.match(error, throws[1] ?? {})
    }
    t.strictSame(warnings, warns ? [['the model\'s answer ended without a finish_reason']] : [])
    t.equal(server.requests.length, requests)

    t.match(await ask(agent), { said: ['You', ' said:', ' Hi'], error: undefined, warnings: [] }, 'the next turn is answered')
  })
}

t.test('a server that refuses connections is asked once', async t => {
  const { server, agent } = await setup(t)
  await server.close()
  const attempts = published(t, 'undici:client:connectError')
  const { said, error } = await ask(agent)
  t.strictSame(said, [])
  t.type(error, APIConnectionError)
  t.match(error, {
    message: `The model's server ${new URL(server.url).host} cannot be reached: ECONNREFUSED. OPENAI_BASE_URL (option openai.baseURL) says where it is`,
    cause: { code: 'ECONNREFUSED' }
  })
  t.equal(attempts.length, 1)
})

t.test('a refusal is thrown with what the server said about when to come back, and without the key', async t => {
  const { server, agent } = await setup(t)
  server.next(failures.rateLimited)
  const { error } = await ask(agent)
  t.equal((error as APIError).headers?.get('retry-after'), '2')
  t.notMatch(String(error), 'sk-test')
})

t.test('a refusal that breaks off, or is no JSON, is one by its status', async t => {
  for (const [text, length, message] of [['Too many', 100, /^429 /], ['Too many', 8, '429 Too many'], ['null', 4, '429 null'], ['', 0, '429 status code (no body)']] as const) {
    const server = createServer((_request, response) => {
      response.writeHead(429, { 'content-length': length }).write(text)
      if (text.length < length) setImmediate(() => response.destroy())
      else response.end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const agent = openAIAgent({ baseURL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` })
    const { said, error } = await ask(agent)
    t.strictSame(said, [])
    t.type(error, RateLimitError)
    t.match(error, { message })
    await agent.close()
    server.close()
  }
})

t.test('an error with the filter\'s code inside the stream is the filter\'s too', async t => {
  const { server, agent } = await setup(t)
  const error = { message: 'Filtered', type: null, param: 'prompt', code: 'content_filter' }
  server.next(['One ', { chunk: { error } }])
  t.match(await ask(agent), { said: ['One '], error: { ...FILTERED[1], cause: { constructor: APIError, error } } })
})

t.test('a redirect is an error, since the key would go with it', async t => {
  const { server, agent } = await setup(t)
  const { server: other } = await setup(t)
  server.next({ status: 307, headers: { location: `${other.url}/chat/completions` } })
  const { error } = await ask(agent)
  t.match(error, { constructor: APIError, status: 307 })
  t.equal(other.connections, 0)
  t.equal(server.requests.length, 1)
})

t.test('odd chunks between the tokens are passed over', async t => {
  const { server, agent } = await setup(t)
  server.next(['One ', ...failures.oddChunks, 'two'])
  t.match(await ask(agent), { said: ['One ', 'two'], error: undefined })
})

t.test('an empty finish_reason, as some servers write in every chunk, is none', async t => {
  const { server, agent } = await setup(t)
  const chunk = (content: string, reason: string | null) => ({ chunk: { choices: [{ index: 0, delta: { content }, finish_reason: reason }] } })
  server.next(
    { steps: [chunk('One', '')], finishReason: null },
    { steps: [chunk('One', 'content_filter'), chunk('', '')], finishReason: null }
  )
  t.match(await ask(agent), { said: ['One'], error: undefined, warnings: { length: 1 } })
  t.match(await ask(agent), { said: ['One'], error: FILTERED[1] })
})

t.test('what comes in one piece with a failure is said first, and then nothing more is waited for', async t => {
  const { server, agent } = await setup(t)
  const cancelled = once(server.events, 'cancelled')
  server.next({ steps: ['One ', { chunk: { error: { message: 'Overloaded', code: 'content_filter' } } }, STALL], atOnce: true })
  t.match(await ask(agent), { said: ['One '], error: FILTERED[1] })
  await cancelled
})

t.test('garbage ends the request', async t => {
  const { server, agent } = await setup(t)
  const cancelled = once(server.events, 'cancelled')
  server.next(failures.garbage)
  await ask(agent)
  await cancelled
})

t.test('failures that are whole responses leave the connection in use', async t => {
  const { server, agent } = await setup(t)
  const whole = [
    failures.unauthorized, failures.rateLimited, failures.serverError, failures.filteredPrompt, failures.filteredAtOnce,
    failures.filteredMidStream, failures.empty, failures.endless, failures.html, failures.json
  ]
  for (const script of whole) {
    server.next(script)
    await ask(agent)
    await nextLoopTurn() // undici lets a connection rest for one
  }
  t.strictSame(server.requests.map(({ connection }) => connection), whole.map(() => 1))
})

// Silence

for (const [name, script, says] of [
  ['before the headers', failures.noHeaders, []],
  ['after the headers', failures.stalledAfterHeaders, []],
  ['in mid-stream', failures.stalledMidStream, ['One ']]
] as const) {
  t.test(`a stall ${name} ends quietly when the turn is aborted, and the request is cancelled`, async t => {
    const { server, agent } = await setup(t)
    server.next(script)
    const turn = fakeTurn()
    const cancelled = once(server.events, 'cancelled')
    const headers = published(t, 'undici:request:headers', () => { if (name === 'after the headers') turn.abort('deadline') })
    server.events.on('request', () => { if (name === 'before the headers') turn.abort('deadline') })
    const said: unknown[] = []
    for await (const token of agent(turn)) {
      said.push(token)
      turn.abort('deadline')
    }
    t.strictSame(said, says)
    t.equal(headers.length, name === 'before the headers' ? 0 : 1)
    await cancelled
    t.equal(server.requests.length, 1)
  })

  t.test(`a stall ${name} that nobody ends throws after 300 s`, async t => {
    const { server, agent } = await setup(t)
    server.next(script)
    const said: unknown[] = []
    const waits = new Promise<void>(resolve => {
      if (name === 'before the headers') server.events.on('request', () => { resolve() })
      if (name === 'after the headers') published(t, 'undici:request:headers', resolve)
      if (name === 'in mid-stream') published(t, 'undici:request:bodyChunkReceived', resolve)
    })
    let settled = false
    const ended = (async () => {
      for await (const token of agent(fakeTurn())) said.push(token)
    })().catch((error: unknown) => error).finally(() => { settled = true })
    await waits
    await nextLoopTurn()
    undiciTimers.tick(1_000) // undici starts to count at the first
    undiciTimers.tick(297_000)
    await nextLoopTurn()
    t.equal(settled, false)
    undiciTimers.tick(5_000)
    const error = await ended
    if (name === 'before the headers') {
      t.type(error, APIConnectionTimeoutError)
      t.match(error, { message: `The model's server ${new URL(server.url).host} does not answer in time: UND_ERR_HEADERS_TIMEOUT. OPENAI_BASE_URL (option openai.baseURL) says where it is` })
    }
    if (name !== 'before the headers') t.match(error, { code: 'UND_ERR_BODY_TIMEOUT' })
    t.strictSame(said, says)
    t.equal(server.requests.length, 1)
  })
}

// A request that is lost with a connection

const losses: Record<string, (server: Awaited<ReturnType<typeof setup>>['server'], client: () => Socket | undefined) => void> = {
  'the server closed': server => { server.next(CUT) },
  'was reset': server => { server.next(RESET) },
  'broke while it was written to': (server, client) => {
    server.next(STALL)
    server.events.once('request', () => client()?.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })))
  }
}
for (const [name, lose] of Object.entries(losses)) {
  t.test(`a request that is lost with a kept connection that ${name} is sent again on a new one`, async t => {
    const { server, agent } = await setup(t)
    const connected = published<{ socket: Socket }>(t, 'undici:client:connected')
    await ask(agent)
    await nextLoopTurn()
    lose(server, () => connected[0]?.socket)
    t.match(await ask(agent), { said: ['You', ' said:', ' Hi'], error: undefined })
    t.strictSame(server.requests.map(({ connection }) => connection), [1, 1, 2])
    t.strictSame(server.requests[2]?.body, server.requests[1]?.body)
    t.equal(server.requests[2]?.headers.authorization, 'Bearer sk-test')
  })
}

t.test('the second time a request is lost is the last', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  server.next(CUT, CUT)
  const { said, error } = await ask(agent)
  t.strictSame(said, [])
  t.type(error, APIConnectionError)
  t.equal(server.requests.length, 3)
})

t.test('it is sent on a new connection though others are idle: what closed one has likely closed them all', async t => {
  const { server, agent } = await setup(t)
  const gate = hold()
  server.next([gate, 'One'], [gate, 'Two'])
  const asked = new Promise<void>(resolve => server.events.on('request', () => { if (server.requests.length === 2) resolve() }))
  const answers = Promise.all([ask(agent), ask(agent)])
  await asked
  gate.release()
  await answers
  await nextLoopTurn()
  server.next(CUT)
  t.match(await ask(agent), { error: undefined })
  t.equal(server.requests.at(-1)?.connection, 3)
  t.equal(server.connections, 3)
})

t.test('the new connection is kept', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  server.next(CUT)
  await ask(agent)
  await nextLoopTurn()
  await ask(agent)
  t.strictSame(server.requests.map(({ connection }) => connection), [1, 1, 2, 2])
})

t.test('what is lost with a new connection is not sent again', async t => {
  const { server, agent } = await setup(t)
  server.next(CUT)
  t.type((await ask(agent)).error, APIConnectionError)
  t.equal(server.requests.length, 1)
})

t.test('what is lost behind the response\'s headers is not asked for again', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  server.next(failures.cutAfterHeaders)
  t.match((await ask(agent)).error, { code: 'UND_ERR_SOCKET' })
  t.strictSame(server.requests.map(({ connection }) => connection), [1, 1])
})

t.test('a refusal on a kept connection is not asked again', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  server.next(failures.serverError)
  t.type((await ask(agent)).error, InternalServerError)
  t.equal(server.requests.length, 2)
})

t.test('a turn that is aborted when its request is lost asks no more', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  const turn = fakeTurn()
  const sent = published(t, 'undici:request:create')
  const lost = published<{ error: object }>(t, 'undici:request:error', () => { queueMicrotask(() => { turn.abort() }) })
  server.next(CUT)
  t.strictSame(await ask(agent, turn), { said: [], error: undefined, warnings: [] })
  await nextLoopTurn()
  t.match(lost, [{ error: { code: 'UND_ERR_SOCKET' } }])
  t.equal(sent.length, 1)
})

t.test('a request that was sent again is cancelled like any other', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  server.next(CUT, ['One ', STALL])
  const turn = fakeTurn()
  const cancelled = once(server.events, 'cancelled')
  const reply = agent(turn)
  t.match(await reply.next(), { value: 'One ' })
  turn.abort()
  t.strictSame(await reply.next(), { done: true, value: undefined })
  await cancelled
})

t.test('closing the agent cuts an answer to a request that was sent again', async t => {
  const { server, agent } = await setup(t)
  await ask(agent)
  await nextLoopTurn()
  server.next(CUT, ['One ', STALL])
  const reply = agent(fakeTurn())
  await reply.next()
  const cut = t.rejects(reply.next(), { code: 'UND_ERR_DESTROYED' })
  await agent.close()
  await cut
  while (server.open > 0) await once(server.events, 'disconnected')
})
