import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import voiceAgentPlugin, {
  endCall, filler, flush, pause, pressDigits, tool, toolCall, ToolError, toolResult, transferCall, transferCallTool, Type, uninterruptible,
  type Agent, type Turn, type VoiceAgentOptions
} from '../../lib/index.js'
import { AT_ONCE, createApp, deferred, type LogLine } from '../helpers/app.js'
import { dialUrl, millis, retell, type Caller } from '../helpers/caller.js'
import { runIn } from '../helpers/env.js'
import { useTelemetry } from '../helpers/telemetry.js'
import { CUT, startScriptedModel, toolCallChunk } from '../../lib/testing/scripted-model.js'

// Whatever must not be in the log holds one of these.

const CANARY = 'canary'
const FROM = '+14155550101'
const TO = '+14155550199'
const DESTINATION = '+14155550177'
const IN_QUERY = '+14155550166'
const DIGITS = '90817263'
const SECRET = 'canary-secret-of-16-characters'
const API_KEY = 'sk-canary-key'

const SECRETS = [CANARY, FROM, TO, DESTINATION, IN_QUERY, DIGITS].flatMap(secret => [secret, encodeURIComponent(secret)])
// A number is recognised without its plus sign, too.
const NEEDLES = SECRETS.map(secret => secret.replace(/^(\+|%2B)/, ''))

/** Where in a value a secret stands, keys included. */
function leaks (value: unknown, path = ''): string[] {
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, member]) => [...leaks(key, `${path} key`), ...leaks(member, `${path}.${key}`)])
  }
  const text = String(value).toLowerCase()
  return NEEDLES.some(needle => text.includes(needle)) ? [`${path}: ${text}`] : []
}

/** A listening app that logs at `info`, and has all telemetry; the secret is in the URL. */
async function listen (t: Test, options: VoiceAgentOptions, agent?: Agent) {
  runIn(t, 'production')
  const { app, logs } = createApp(t, 'info')
  const { spans, metrics } = useTelemetry(t)
  const ended = deferred()
  if (agent !== undefined) app.decorate('agent', agent)
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE,
    retell: { allowlist: '*' },
    millis: { allowlist: '*' },
    secret: SECRET,
    ...options,
    onCallEnd: () => {
      ended.resolve()
      throw new Error(`onCallEnd ${CANARY}`)
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const dial = (path: string, headers: Record<string, string> = {}) => dialUrl(t, `ws://127.0.0.1:${port}${path}`, {
    authorization: `Bearer ${CANARY}`, cookie: `session=${CANARY}`, 'user-agent': CANARY, ...headers
  })
  return {
    app,
    logs,
    port,
    dial,
    /** Where a secret stands in log, spans or metrics. */
    async leaks (): Promise<string[]> {
      const traced = spans.map(({ name, attributes, events, links, status }) => ({ name, attributes, events, links, status }))
      return [...logs, ...traced, await metrics()].flatMap(told => leaks(told))
    },
    async hangUp (caller: Caller): Promise<void> {
      caller.socket.close(1000, CANARY)
      await ended.promise
      // The hook's own failure is logged right after it.
      await new Promise(setImmediate)
    }
  }
}

const QUERY = `?caller=${encodeURIComponent(IN_QUERY)}&name=${CANARY}`

/** What a line says, without its figures. */
const messages = (logs: LogLine[]): string[] => [...new Set(logs.map(({ msg }) => msg))].sort()

/** Hooks that fail, and quote what they were told. */
const failingHooks: VoiceAgentOptions = {
  onCallStart: async call => { throw new Error(`onCallStart ${call.from} ${JSON.stringify(call.metadata)}`) },
  onTranscript: (_call, update) => { throw new SyntaxError(`onTranscript ${JSON.stringify(update)}`) },
  onTurnEnd: turn => { throw Object.assign(new Error(`onTurnEnd ${JSON.stringify(turn.transcript)}`), { transcript: turn.transcript, [CANARY]: 1 }) }
}

/** Says a word about each kind of turn, by its id. */
function agentOf (turns: Record<string, (turn: Turn) => ReturnType<Agent>>): Agent {
  return turn => {
    turn.log.info('a line of the app')
    return (turns[String(turn.id)] ?? (() => `Hello, ${CANARY}.`))(turn)
  }
}

async function * fail (error: unknown) {
  yield `So ${CANARY} `
  throw error
}

t.test('a whole Retell call leaves nothing in the log that anybody said', async t => {
  const superseded = deferred()
  const { app, logs, dial, hangUp, leaks } = await listen(t, {
    ...failingHooks,
    openai: { apiKey: API_KEY },
    fallback: (turn, error) => {
      if (turn.id === 4) throw new Error(`no line for ${CANARY}: ${String(error)}`)
      return `Sorry, ${CANARY}.`
    }
  }, agentOf({
    1: async function * () {
      yield filler(`One moment, ${CANARY}. `)
      yield toolCall(`tool-${CANARY}`, `find_${CANARY}`, { name: CANARY })
      yield toolResult(`tool-${CANARY}`, `found ${CANARY}`, true)
      yield pause(100)
      yield flush()
      yield uninterruptible(`Listen, ${CANARY}. `)
      yield 'It is '
      yield `${CANARY}.`
    },
    2: () => fail(new Error(`cannot parse ${CANARY}`, { cause: new Error(CANARY) })),
    3: () => fail(Object.assign(new TypeError(CANARY), { name: CANARY, request: { body: CANARY }, errors: [new Error(CANARY)] })),
    4: () => fail(`no error but ${CANARY}`),
    5: () => fail({ message: CANARY, stack: CANARY }),
    6: () => ({ [CANARY]: CANARY }) as never,
    7: async function * () { yield { content: CANARY } as never },
    8: () => { throw new RangeError(`at once ${CANARY}`) },
    9: async function * () { yield pressDigits(`${DIGITS} ${CANARY}`) },
    10: async function * () { yield pressDigits(DIGITS) },
    11: async function * (turn) {
      yield `I ${CANARY} `
      superseded.resolve()
      await once(turn.signal, 'abort')
      throw new Error(`stopped at ${CANARY}`)
    },
    13: () => endCall({ say: 5 as never }) as never,
    14: async function * () {
      yield `Bye, ${CANARY}. `
      yield transferCall(DESTINATION, { say: `Putting you through, ${CANARY}.`, showCaller: true })
    }
  }))

  const caller = await dial(`/llm-websocket/${SECRET}/call_1${QUERY}`)
  caller.send(retell.details({
    call_id: 'call_1',
    call_type: 'phone_call',
    direction: 'inbound',
    from_number: FROM,
    to_number: TO,
    access_token: CANARY,
    metadata: { name: CANARY, [CANARY]: { phone: FROM } },
    retell_llm_dynamic_variables: { first_name: CANARY, [CANARY]: CANARY },
    custom_sip_headers: { 'x-name': CANARY }
  }))
  await caller.response(0)
  for (let id = 1; id <= 10; id++) {
    caller.send(retell.update(`Hello, ${CANARY}`, `my number is ${FROM}`), retell.request(id, `I am ${CANARY}`, `Call ${DESTINATION}`, `and ${CANARY}`))
    await caller.response(id)
  }
  caller.send(retell.request(11, CANARY))
  await superseded.promise
  caller.send(retell.reminder(12, CANARY), retell.request(13, CANARY))
  await caller.response(13)

  // What is no frame, and what is an odd one.
  caller.send(CANARY, `{"interaction_type":"response_required","response_id":"${CANARY}"}`, { interaction_type: CANARY, [CANARY]: FROM },
    { interaction_type: 'update_only', transcript: CANARY }, { interaction_type: 'ping_pong', timestamp: CANARY }, Buffer.from(CANARY))
  await caller.settled()

  const call = app.calls.get('call_1')!
  call.log.info('another line of the app')
  await call.interject(`Wait, ${CANARY}.`)
  await call.sendMetadata({ [CANARY]: CANARY })
  await t.rejects(call.sendMetadata(CANARY as never))
  await t.rejects(call.updateAgent({ responsiveness: CANARY as never }))
  await t.rejects(call.interject({ [CANARY]: CANARY } as never))
  caller.send(retell.request(14, CANARY))
  await caller.response(14)
  await hangUp(caller)

  t.strictSame(await leaks(), [])
  t.strictSame(messages(logs), [
    'a line of the app', 'action ignored', 'agent failed', 'another line of the app', 'call ended', 'call started', 'incoming request',
    'malformed frame ignored', 'onCallEnd failed', 'onCallStart failed', 'onTranscript failed', 'onTurnEnd failed',
    `Server listening at http://127.0.0.1:${(app.server.address() as AddressInfo | null)?.port}`, 'the fallback function failed', 'turn ended'
  ].sort(), 'all that could have told')
})

t.test('a whole Millis call leaves nothing in the log that anybody said', async t => {
  const speaking = deferred()
  const { app, logs, dial, hangUp, leaks } = await listen(t, { ...failingHooks, openai: { apiKey: API_KEY }, fallback: `Sorry, ${CANARY}.` }, agentOf({
    1: async function * () {
      yield filler(`One moment, ${CANARY}. `)
      yield toolCall('tool_1', CANARY, CANARY)
      yield toolResult('tool_1', CANARY)
      yield pause(100)
      yield uninterruptible(`Listen, ${CANARY}. `)
      yield pressDigits(DIGITS)
      yield `It is ${CANARY}.`
    },
    2: () => fail(new Error(`cannot parse ${CANARY}`)),
    3: async function * (turn) {
      yield `I ${CANARY} `
      speaking.resolve()
      await once(turn.signal, 'abort')
      throw new Error(`stopped at ${CANARY}`)
    },
    4: async function * () { yield transferCall(DESTINATION, { say: `Bye, ${CANARY}.`, showCaller: true }) }
  }))

  const caller = await dial(`/millis/${SECRET}${QUERY}`)
  caller.send(millis.start(0, 'ses_1', {
    agent_id: CANARY,
    call_sid: CANARY,
    metadata: { name: CANARY, [CANARY]: { phone: FROM } },
    voip: { from: FROM, to: TO, provider: CANARY, direction: 'inbound' }
  }))
  await caller.stream(0)
  for (const id of [1, 2]) {
    caller.send({ type: 'partial_transcript', data: { session_id: 'ses_1', transcript: `I am ${CANARY}`, is_final: true } }, millis.request(id, CANARY, FROM, CANARY))
    await caller.stream(id)
  }
  caller.send(millis.request(3, CANARY))
  await speaking.promise
  caller.send(millis.interrupt(3), CANARY, { type: CANARY, data: { [CANARY]: FROM } }, { type: 'interrupt', stream_id: [CANARY] }, Buffer.from(CANARY))
  await caller.settled()
  await t.rejects(app.calls.get('ses_1')!.interject(CANARY))
  caller.send(millis.request(4, CANARY))
  await caller.stream(4)
  caller.send(millis.played(4))
  const [transfer] = await caller.until(({ type }) => type === 'transfer_call')
  t.equal(transfer?.['data'].destination, DESTINATION)
  await hangUp(caller)

  t.strictSame(await leaks(), [])
  t.ok(['agent failed', 'onTranscript failed', 'action ignored', 'call ended'].every(msg => messages(logs).includes(msg)), 'all that could have told')
})

t.test('tools, their arguments, results and failures leave nothing in the log either', async t => {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const { app, logs, dial, hangUp, leaks } = await listen(t, {
    openai: {
      apiKey: API_KEY,
      baseURL: server.url,
      tools: [
        tool({
          name: 'book',
          description: 'Books.',
          parameters: Type.Object({ name: Type.String(), how: Type.String() }),
          say: ({ name, how }) => {
            if (how === 'silent') throw new Error(`no line for ${name}`)
            return `I am booking, ${name}. `
          },
          execute ({ name, how }) {
            if (how === 'broken') throw Object.assign(new TypeError(`cannot book ${name}`), { name, request: { body: name } })
            if (how === 'refused') throw new ToolError(`not for ${name}`)
            return how === 'odd' ? { name, n: 1n } : { name }
          }
        }),
        transferCallTool({ destinations: { [`desk ${CANARY}`]: DESTINATION } })
      ]
    }
  })
  const caller = await dial(`/llm-websocket/${SECRET}/call_1${QUERY}`)
  caller.send(retell.details({ from_number: FROM }))
  await caller.response(0)
  const calls = [
    ...['', 'silent', 'broken', 'refused', 'odd'].map(how => ['book', { name: CANARY, how }]),
    ['book', { [CANARY]: CANARY }], [CANARY, { name: CANARY }], ['transfer_call', { destination: DESTINATION, message: CANARY }],
    ['transfer_call', { destination: `desk ${CANARY}`, message: CANARY }]
  ] as const
  for (const [index, [name, args]] of calls.entries()) {
    server.next({ steps: [toolCallChunk({ index: 0, id: `call_${index}`, function: { name: String(name), arguments: JSON.stringify(args) } })] }, [`So, ${CANARY}.`])
    caller.send(retell.request(index + 1, CANARY))
    await caller.response(index + 1)
  }
  t.equal(caller.frames.at(-1)?.['transfer_number'], DESTINATION)
  await hangUp(caller)
  t.strictSame(await leaks(), [])
  t.ok(['a tool failed', 'the line of tool book function failed', 'a tool\'s result cannot be written as JSON'].every(msg => messages(logs).includes(msg)), 'all that could have told')
  t.equal(app.calls.size, 0)
})

t.test('a model that fails, and quotes the key and the caller, is not quoted in the log', async t => {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const { logs, dial, hangUp, leaks } = await listen(t, { openai: { apiKey: API_KEY, baseURL: server.url, instructions: CANARY, greeting: `Hello, ${CANARY}.` } })
  const quote = { error: { message: `Incorrect key ${API_KEY}: ${CANARY}`, type: CANARY, param: CANARY, code: 'content_filter' } }
  server.next(
    { status: 401 },
    { status: 429 },
    { status: 500 },
    ['So ', { raw: `data: ${JSON.stringify(quote)}\n\n` }],
    ['So ', { raw: `data: {"choices":[{"delta":{"content":"${CANARY}\n\n` }],
    ['So ', CUT]
  )
  const caller = await dial(`/llm-websocket/${SECRET}/call_1${QUERY}`)
  caller.send(retell.details({ from_number: FROM }))
  await caller.response(0)
  for (let id = 1; id <= 6; id++) {
    caller.send(retell.request(id, CANARY, `my number is ${FROM}`, CANARY))
    await caller.response(id)
  }
  await hangUp(caller)

  t.strictSame(await leaks(), [])
  t.equal(logs.filter(({ msg }) => msg === 'agent failed').length, 6)
})

t.test('a model that cannot be reached is not named with the password in its URL', async t => {
  const { logs, dial, hangUp, leaks } = await listen(t, { openai: { baseURL: `http://${CANARY}:${CANARY}@127.0.0.1:1/${CANARY}/v1` } })
  const caller = await dial(`/llm-websocket/${SECRET}/call_1`)
  caller.send(retell.request(1, CANARY))
  await caller.response(1)
  await hangUp(caller)
  t.strictSame(await leaks(), [])
  const message = 'The model\'s server 127.0.0.1:1 cannot be reached: ECONNREFUSED. OPENAI_BASE_URL (option openai.baseURL) says where it is'
  t.match(logs.filter(({ msg }) => msg === 'agent failed'), [{ err: { type: 'APIConnectionError', message, code: 'ECONNREFUSED' } }])
})

t.test('an error of any make is logged without what it says, and answered', async t => {
  const errors: Record<string, () => unknown> = {
    'a message of many lines': () => new Error(`one\n    ${CANARY}\nat ${CANARY}`),
    'a message that looks like a stack': () => new Error(`one\n    at ${CANARY} (${FROM})\n    at ${CANARY}`),
    'a stack that is no string': () => Object.assign(new Error(CANARY), { stack: [{ [CANARY]: CANARY }] }),
    'no stack': () => Object.assign(new Error(CANARY), { stack: undefined }),
    'a class named by the caller': () => new (class extends Error { override name = CANARY })(CANARY),
    'no constructor': () => Object.assign(new Error(CANARY), { constructor: undefined }),
    'a getter that throws': () => Object.defineProperty(new Error(CANARY), 'code', { get () { throw new Error(CANARY) } }),
    'a code with words in it': () => Object.assign(new Error(CANARY), { code: `no such user ${CANARY}` }),
    'several errors': () => new AggregateError([new Error(CANARY)], CANARY),
    'an error of another realm': () => Object.assign(Object.create({ name: 'Error' }), { message: CANARY, stack: `Error: ${CANARY}` }),
    undefined: () => undefined,
    null: () => null,
    'a string': () => CANARY,
    'a symbol': () => Symbol(CANARY),
    'an object without a prototype': () => Object.assign(Object.create(null), { [CANARY]: CANARY })
  }
  for (const [name, make] of Object.entries(errors)) {
    const { dial, hangUp, leaks } = await listen(t, {}, turn => {
      if (turn.id === 1) throw make()
      return 'Fine.'
    })
    const rejections: unknown[] = []
    const onRejection = (reason: unknown) => { rejections.push(reason) }
    process.on('unhandledRejection', onRejection)
    const caller = await dial(`/llm-websocket/${SECRET}/call_1`)
    caller.send(retell.request(1, CANARY))
    await caller.settled()
    // Unhandled rejections are told before the loop turns.
    await new Promise(setImmediate)
    process.off('unhandledRejection', onRejection)
    const answer = caller.frames.filter(frame => frame['response_id'] === 1).map(frame => frame['content']).join('')
    caller.send(retell.request(2, CANARY))
    await caller.response(2)
    await hangUp(caller)
    t.strictSame({ rejections, answer, leaks: await leaks() },
      { rejections: [], answer: 'I am sorry, can you say that again?', leaks: [] }, name)
  }
})

t.test('a refused handshake leaves neither URL nor headers in the log', async t => {
  const { app, logs, port, dial, leaks } = await listen(t, { retell: { allowlist: '127.0.0.1' }, trustedProxies: '127.0.0.1' })
  const forwarded = { 'x-forwarded-for': '127.0.0.1' }
  const statuses: Record<string, number> = {
    [`/llm-websocket/${SECRET}-wrong/call_1${QUERY}`]: 403,
    [`/llm-websocket/call_1/${SECRET}${QUERY}`]: 403,
    [`/llm-websocket/${SECRET}${QUERY}`]: 400,
    [`/llm-websocket/${SECRET}/${encodeURIComponent(IN_QUERY)}${QUERY}`]: 400,
    [`/llm-websocket/${SECRET}/%7Bcall_id%7D/${CANARY}%20/`]: 400,
    [`/llm-websocket/${SECRET}/a/b/${CANARY}`]: 400,
    [`/llm-websocket/${SECRET}/${CANARY.repeat(100)}`]: 400,
    [`/llm-websocket/${CANARY}/%zz`]: 400,
    [`/millis/${SECRET}-wrong${QUERY}`]: 403,
    [`/millis${QUERY}`]: 403
  }
  for (const [path, status] of Object.entries(statuses)) {
    await t.rejects(dial(path, forwarded), { message: `Unexpected server response: ${status}` }, path.slice(0, 60))
  }
  // A client with another address, as a trusted proxy tells.
  await t.rejects(dial(`/llm-websocket/${SECRET}/call_1${QUERY}`, { 'x-forwarded-for': '198.51.100.7', forwarded: `for=${CANARY}` }),
    { message: 'Unexpected server response: 403' })

  // A browser, or a health check, that does not speak WebSocket.
  for (const method of ['GET', 'HEAD']) {
    for (const path of [`/llm-websocket/${SECRET}/call_1${QUERY}`, `/millis/${SECRET}${QUERY}`]) {
      const { statusCode } = await app.inject({ method: method as 'GET', url: path, headers: { ...forwarded, cookie: CANARY } })
      t.equal(statusCode, 426, `${method} ${path}`)
    }
  }

  // A handshake that only looks like one.
  for (const headers of [{ 'sec-websocket-key': CANARY }, { 'sec-websocket-version': CANARY }, { 'sec-websocket-protocol': `${CANARY},,` }]) {
    const request = httpRequest({
      port,
      path: `/llm-websocket/${SECRET}/call_1${QUERY}`,
      headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', ...forwarded, ...headers }
    }).end()
    const [response] = await once(request, 'response')
    t.equal(response.statusCode, 400, JSON.stringify(headers))
  }

  const addresses = logs.flatMap(({ msg, address }) => msg.startsWith('refused') ? [address] : [])
  t.strictSame([...new Set(addresses)].sort(), ['127.0.0.1', '198.51.100.7'], 'the operator learns who was refused')
  t.strictSame(await leaks(), [])
})

t.test('a handshake that comes while the server closes leaves nothing either', async t => {
  const { app, dial, leaks } = await listen(t, {}, async function * (turn) {
    yield `Hello, ${CANARY}.`
    await once(turn.signal, 'abort')
  })
  const caller = await dial(`/llm-websocket/${SECRET}/call_1${QUERY}`)
  caller.send(retell.request(1, CANARY))
  await caller.until(frame => frame['response_id'] === 1)
  const closing = app.close()
  await t.rejects(dial(`/llm-websocket/${SECRET}/call_2${QUERY}`))
  await closing
  t.strictSame(await leaks(), [])
})

t.test('a start that fails names no secret', async t => {
  const wrong: VoiceAgentOptions[] = [
    { secret: `${CANARY} with blanks` },
    { secret: [CANARY, `${CANARY}/`] },
    { openai: { apiKey: { [CANARY]: CANARY } as never } },
    { openai: { baseURL: CANARY } },
    { openai: { azure: { apiKey: API_KEY, endpoint: '' }, apiKey: '' } }
  ]
  for (const options of wrong) {
    const { app, logs } = createApp(t, 'info')
    app.register(voiceAgentPlugin, options)
    const error = await app.ready().then(() => undefined, (error: unknown) => error)
    t.strictSame([...leaks(error instanceof Error && error.message), ...logs.flatMap(line => leaks(line))], [], Object.keys(options).join())
  }
})
