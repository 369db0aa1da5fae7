/**
 * What is answered to mistakes with what an agent says, and with what is decorated as one. The texts are whole, so that a reader can
 * judge their wording.
 */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import t from 'tap'
import voiceAgentPlugin, {
  failover, openAIAgent, runTool, scriptedAgent, tool, toolCall, toolResult, Type, type Agent, type Turn
} from '../../lib/index.js'
import { RetellCaller } from '../../lib/testing/index.js'
import { AT_ONCE, build, createApp } from '../helpers/app.js'
import { runIn, setEnv } from '../helpers/env.js'

setEnv(t)

const NOBODY = 'http://127.0.0.1:1/v1'
const HANDLER = "app.decorate('agent', async function * (turn) { … })"
const NO_SERVER = "The model's server 127.0.0.1:1 cannot be reached: ECONNREFUSED. "
const HIDDEN = 'left out, since it may repeat what was said: the log level debug shows it'
const SILENT = 'the agent said nothing, and the caller hears silence: '
const MAKES_ONE = 'openAIAgent makes an agent, once: const agent = openAIAgent({ … }). ' +
  'It is the agent that takes the turns: yield * agent(turn)'
const SPEAKS = 'An agent speaks strings and actions, got '
const ENDED = "its reply ended without a word. Where it reads an SDK's stream, the request may have failed: " +
  "the AI SDK's textStream leaves errors out, its fullStream has them"

const look = tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), execute () {} })
const sdkModel = createOpenAICompatible({ name: 'nobody', baseURL: NOBODY })('qwen3')
const askSdk = () => streamText({ model: sdkModel, prompt: 'Hi', maxRetries: 0, onError () {} })

/** An agent that gets its answer wrong. */
interface WrongAnswer {
  readonly what: string
  /** Takes the turns that follow the greeting. */
  readonly reply: (turn: Turn) => unknown
  /** What the log holds at `warn` and above: the line, or the line and its error's message. */
  readonly log: ReadonlyArray<string | [line: string, error: string]>
  /** Default production. */
  readonly environment?: 'development'
}

const failed = (error: string): WrongAnswer['log'] => [['agent failed', error]]

const ANSWERS: readonly WrongAnswer[] = [
  // Silence
  {
    what: 'returns nothing',
    reply: () => {},
    log: [`${SILENT}it returned undefined. Return what is to be said, or yield it in an async function * (turn)`]
  },
  { what: 'returns an empty string', reply: async () => '', log: [`${SILENT}it returned an empty string`] },
  {
    what: 'is a generator that returns its text',
    reply: async function * () { return 'Hi' },
    log: [`${SILENT}its generator returned a string, which is not spoken: yield it`]
  },
  {
    what: 'calls a tool, and does not ask the model again',
    reply: (turn: Turn) => [toolCall(`t${turn.id}`, 'look', {}), toolResult(`t${turn.id}`, '{}')],
    log: [`${SILENT}its reply ended with a tool call. Ask the model once more, with the result of the tool`]
  },
  { what: "reads the AI SDK's textStream, whose request failed", reply: () => askSdk().textStream, log: [`${SILENT}${ENDED}`] },

  // What is no speech
  {
    what: "returns the AI SDK's result",
    reply: askSdk,
    log: failed(`${SPEAKS}what looks like a result of the AI SDK's streamText(): return result.textStream`)
  },
  {
    what: "yields the AI SDK's result",
    reply: async function * () { yield askSdk() },
    log: failed(`${SPEAKS}what looks like a result of the AI SDK's streamText(): yield * result.textStream`)
  },
  {
    what: "yields the AI SDK's textStream, without the star",
    reply: async function * () { yield askSdk().textStream },
    log: failed(`${SPEAKS}what looks like a stream: yield * stream`)
  },
  {
    what: "returns the AI SDK's fullStream",
    reply: () => askSdk().fullStream,
    log: failed(`${SPEAKS}what looks like a part of the AI SDK's fullStream: yield part.text where part.type is text-delta`)
  },
  {
    what: 'returns the stream of chat completions as it is',
    reply: async function * () { yield { object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'Hi' } }] } },
    log: failed(`${SPEAKS}what looks like a chunk of chat completions: yield chunk.choices[0]?.delta.content`)
  },
  {
    what: 'forgot stream: true',
    reply: async () => ({ object: 'chat.completion', choices: [{ message: { content: 'Hi' } }] }),
    log: failed(`${SPEAKS}what looks like a chat completion that does not stream: ` +
      'return completion.choices[0].message.content, or ask with stream: true')
  },
  {
    what: "returns the stream of OpenAI's Responses as it is",
    reply: async function * () { yield { type: 'response.created', response: {} } },
    log: failed(`${SPEAKS}what looks like an event of OpenAI's Responses: yield event.delta where event.type is response.output_text.delta`)
  },
  {
    what: "returns Anthropic's stream as it is",
    reply: async function * () { yield { type: 'message_start', message: {} } },
    log: failed(`${SPEAKS}what looks like an event of Anthropic's Messages: yield event.delta.text where event.delta?.type is text_delta`)
  },
  {
    what: "returns Gemini's stream as it is",
    reply: async function * () { yield { candidates: [] } },
    log: failed(`${SPEAKS}what looks like a chunk of Google's Gemini: yield chunk.text`)
  },
  {
    what: "returns LangChain's stream as it is",
    reply: async function * () { yield { lc_kwargs: {}, content: 'Hi' } },
    log: failed(`${SPEAKS}what looks like a message of LangChain: yield message.text`)
  },
  {
    what: 'returns a message',
    reply: () => ({ role: 'assistant', content: 'Hi' }),
    log: failed(`${SPEAKS}what looks like a message: return message.content`)
  },
  {
    what: 'yields a promise',
    reply: function * () { yield Promise.resolve('Hi') },
    log: failed(`${SPEAKS}what looks like a promise: await it`)
  },
  {
    what: 'returns bytes',
    reply: () => new TextEncoder().encode('Hi'),
    log: failed(`${SPEAKS}what looks like bytes: decode them, a stream by stream.pipeThrough(new TextDecoderStream())`)
  },
  {
    what: 'returns the response of fetch()',
    reply: async () => new Response('Hi'),
    log: failed(`${SPEAKS}what looks like a response of fetch(): return await response.text()`)
  },
  { what: 'returns a function', reply: () => askSdk, log: failed(`${SPEAKS}a function: call it`) },
  {
    what: 'yields an error',
    reply: function * () { yield new Error('secret') },
    log: failed(`${SPEAKS}what looks like an error: throw it`)
  },
  {
    what: 'writes an action by hand',
    reply: () => [{ action: 'end-call', say: 'Bye' }],
    log: failed(`${SPEAKS}an object with action end-call that endCall() did not build`)
  },
  { what: 'returns a number', reply: () => 42, log: failed(`${SPEAKS}a value of type number`) },

  // What is thrown
  { what: 'throws, in production', reply: () => { throw new Error('the diary is not open') }, log: failed(HIDDEN) },
  {
    what: 'throws, in development',
    reply: () => { throw new Error('the diary is not open') },
    log: failed('the diary is not open'),
    environment: 'development'
  },
  {
    what: 'throws what is no error, in development',
    reply: () => { throw 'the diary is not open' }, // eslint-disable-line no-throw-literal
    log: failed('the diary is not open'),
    environment: 'development'
  },
  {
    what: 'asks by a fetch() that fails, in development',
    reply: async () => { throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED 127.0.0.1:1') }) },
    log: failed('fetch failed: connect ECONNREFUSED 127.0.0.1:1'),
    environment: 'development'
  },
  {
    what: 'calls openAIAgent with the turn',
    reply: (turn: Turn) => openAIAgent(turn as never),
    log: failed(MAKES_ONE)
  },
  {
    what: 'is a failover of openAIAgent, not called',
    reply: failover([openAIAgent as never, scriptedAgent]) as never,
    log: [['agent gave no answer', MAKES_ONE]]
  },
  {
    what: 'runs what is no tool',
    reply: async (turn: Turn) => await runTool(turn, { name: 'look', execute () {} } as never, {}) as never,
    log: failed('runTool: the second argument must be made by tool(): runTool(turn, tool({ … }), args)')
  },

  // Models that are not there
  {
    what: 'asks a model that is not there',
    reply: openAIAgent({ baseURL: NOBODY }),
    log: failed(`${NO_SERVER}OPENAI_BASE_URL (option openai.baseURL) says where it is`)
  },
  {
    what: 'asks a deployment of Azure that is not there',
    reply: openAIAgent({ azure: { endpoint: 'http://127.0.0.1:1', apiKey: 'key' } }),
    log: failed(`${NO_SERVER}AZURE_OPENAI_ENDPOINT (option openai.azure.endpoint) says where it is`)
  },
  {
    what: 'asks two models, the first of which is not there',
    reply: failover([openAIAgent({ baseURL: NOBODY }), scriptedAgent]) as never,
    log: [['agent gave no answer', `${NO_SERVER}OPENAI_BASE_URL (option openai.baseURL) says where it is`]]
  }
]

for (const { what, reply, log, environment = 'production' } of ANSWERS) {
  t.test(`an agent that ${what}`, async t => {
    runIn(t, environment)
    const agent = function (this: unknown, turn: Turn) {
      return turn.reason === 'greeting' ? 'Hello.' : Reflect.apply(reply, this, [turn])
    } as Agent
    const { app, logs } = await build(t, agent)
    const call = await RetellCaller.dial(app)
    for (const words of ['Hi', 'Hello?']) await call.say(words)
    await call.hangUp()
    const lines = logs.filter(({ level }) => level >= 40).map(({ msg, err }) => err === undefined ? msg : [msg, (err as Error).message])
    t.strictSame(lines.slice(0, 1), log)
    // Failures are told each time, and a model that failed is left alone.
    if (typeof log[0] === 'string') t.equal(lines.length, 1, 'told once a call')
  })
}

/** An app that starts with a mistake. */
interface WrongStart {
  readonly what: string
  readonly agent: unknown
  /** Of the error with which it does not start. */
  readonly error: string
}

const NO_AGENT = 'fastify.agent must be a function (turn) => reply, got '

const STARTS: readonly WrongStart[] = [
  {
    what: 'openAIAgent, not called',
    agent: openAIAgent,
    error: `${NO_AGENT}openAIAgent itself, which makes one: app.decorate('agent', openAIAgent({ … }))`
  },
  {
    what: 'failover, not called',
    agent: failover,
    error: `${NO_AGENT}failover itself, which makes one: app.decorate('agent', failover([first, second]))`
  },
  { what: 'tool, not called', agent: tool, error: `${NO_AGENT}tool itself: app.decorate('agent', openAIAgent({ tools: [tool({ … })] }))` },
  { what: 'a tool', agent: look, error: `${NO_AGENT}a tool: app.decorate('agent', openAIAgent({ tools: [it] }))` },
  { what: 'a promise', agent: Promise.resolve(scriptedAgent), error: `${NO_AGENT}a promise: app.decorate('agent', await it)` },
  {
    what: 'a class',
    agent: class Desk {},
    error: `${NO_AGENT}a class. Hand the turns on to an instance of it: app.decorate('agent', turn => mine.reply(turn))`
  },
  {
    what: 'a generator',
    agent: (function * () {})(),
    error: `${NO_AGENT}a generator, which speaks once. Decorate its function, without calling it: ${HANDLER}`
  },
  {
    what: "the AI SDK's agent",
    agent: { generate () {}, stream () {} },
    error: `${NO_AGENT}what looks like an agent of another SDK. ` +
      "Ask it for each turn: app.decorate('agent', async turn => " +
      '(await agent.stream({ messages: turn.messages, abortSignal: turn.signal })).textStream)'
  },
  { what: 'an object', agent: {}, error: `${NO_AGENT}object: ${HANDLER}` },
  { what: 'undefined', agent: undefined, error: `${NO_AGENT}undefined: ${HANDLER}` }
]

for (const { what, agent, error } of STARTS) {
  t.test(`an agent that is ${what}`, async t => {
    const { app } = createApp(t)
    app.decorate('agent', agent as Agent)
    await app.register(voiceAgentPlugin, AT_ONCE)
    await t.rejects(Promise.resolve(app.ready()), { code: 'VOICE_AGENT_ERR_AGENT', message: error })
  })
}

t.test('tools that no model is given', async t => {
  const warnings = async (agent?: Agent) => {
    const { logs } = await build(t, agent, { openai: { tools: [look] } })
    return logs.filter(({ level, msg }) => level === 40 && msg.startsWith('openai')).map(({ msg }) => msg)
  }
  t.strictSame(await warnings(), [
    'openai.tools are not used: no model is asked. Set OPENAI_API_KEY (option openai.apiKey), ' +
    'or OPENAI_BASE_URL (option openai.baseURL) for a model of your own'
  ])
  t.strictSame(await warnings(() => 'Hi'), [
    "openai.tools are not used: the agent is the app's own. Give them to openAIAgent({ tools }), or run them by runTool()"
  ])
})
