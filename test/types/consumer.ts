/**
 * A user's app, as the compiler sees it. It is compiled, never run: each `@ts-expect-error` says what must not compile.
 */
import { ReadableStream } from 'node:stream/web'
import Fastify from 'fastify'
import * as z from 'zod'
import voiceAgentPlugin, {
  endCall, endCallTool, envSchema, filler, flush, openAIAgent, pause, pressDigits, pressDigitsTool, runTool, scriptedAgent, tool,
  toolCall, ToolError, toolResult, transferCall, transferCallTool, TurnAbortedError, Type, uninterruptible, voiceAgentPlugin as named,
  type Agent, type ArgumentsOf, type Call, type Calls, type ChatMessage, type StandardSchema, type TObject, type Tool, type ToolOptions, type ToolOutcome, type Turn, type VoiceAgentOptions,
  type WebhookEvent
} from 'fastify-voice-agent'
import voiceAgentControl, { bearerCheck, securitySchemes, type ControlOptions } from 'fastify-voice-agent/control'
import { RetellCaller, startScriptedModel, type Finding, type Reply } from 'fastify-voice-agent/testing'

const app = Fastify()

// Agents of every kind

app.decorate('agent', turn => `You called ${turn.call.to ?? 'us'}`)
app.decorate('agent', async turn => {
  await Promise.resolve(turn.signal)
  return 'Yes'
})
app.decorate('agent', () => ['One ', 'two', pause(500), null, undefined])
app.decorate('agent', function * (turn) {
  // `this` is the app.
  this.log.info(turn.reason)
  yield 'Yes'
  yield endCall({ say: 'Bye' })
})
app.decorate('agent', async function * () {
  yield * [filler('Hm'), uninterruptible('This call is recorded.'), flush(), pressDigits('1#'), transferCall('+14155550100', { showCaller: true })]
  yield toolCall('1', 'look-up', { day: 'Sunday' })
  yield toolResult('1', 'closed', true)
})
app.decorate('agent', () => new ReadableStream<string>())
app.decorate('agent', async () => {})
app.decorate('agent', scriptedAgent)
app.decorate('agent', openAIAgent({ baseURL: 'http://127.0.0.1:11434/v1' }))

const agent: Agent = async function * (turn: Turn) {
  const messages: ChatMessage[] = turn.messages
  messages.unshift({ role: 'user', content: 'Hi' })
  if (turn.signal.reason instanceof TurnAbortedError && turn.signal.reason.reason === 'superseded') return
  for (const { role, content } of turn.transcript) yield `${role}: ${content}`
  turn.call.state['name'] = turn.call.metadata['name']
}
app.decorate('agent', agent)

// @ts-expect-error a number cannot be spoken
app.decorate('agent', () => 7)
// @ts-expect-error neither can an object
app.decorate('agent', () => ({ text: 'Hi' }))
// @ts-expect-error nor a number in a stream
app.decorate('agent', async function * () { yield 7 })
// @ts-expect-error an action has a name that is known
app.decorate('agent', function * () { yield { action: 'sing' } })
// @ts-expect-error and is made by its builder
app.decorate('agent', function * () { yield { action: 'end-call', say: 'Bye' } })
// A copy of one may be changed.
app.decorate('agent', function * () { yield { ...endCall({ say: 'Bye' }), say: 'Goodbye' } })
// @ts-expect-error an agent is given one turn
app.decorate('agent', (turn: Turn, more: string) => more)
// @ts-expect-error an agent is a function
app.decorate('agent', 'Hello')

export const wrongAgents: Agent[] = [
  // @ts-expect-error a turn is not to be changed
  turn => { turn.id = 1 },
  // @ts-expect-error nor what was said
  turn => turn.transcript.pop()?.content ?? '',
  // @ts-expect-error an id may be a number
  turn => turn.id.toUpperCase(),
  // @ts-expect-error who dialled may be unknown
  turn => turn.call.from.trim()
]

// Actions

// @ts-expect-error a destination is a text
transferCall(14155550100)
// @ts-expect-error so is a goodbye
endCall({ say: 7 })
// @ts-expect-error no such option
endCall({ text: 'Bye' })
// @ts-expect-error milliseconds are a number
pause('500')

// Tools

const order = tool({
  name: 'order',
  description: 'Orders cakes.',
  parameters: Type.Object({ cake: Type.Union([Type.Literal('apple'), Type.Literal('plum')]), count: Type.Integer(), note: Type.Optional(Type.String()) }),
  say: ({ cake }) => `One ${cake} cake.`,
  reuse: 'turn',
  async execute ({ cake, count, note }, { call, turn, log, signal, idempotencyKey }) {
    const which: 'apple' | 'plum' = cake
    log.info({ count: count.toFixed(), note: note?.length, call: call.id, turn: turn.id, idempotencyKey })
    signal.throwIfAborted()
    if (count > 9) throw new ToolError('not so many')
    // @ts-expect-error it may not be there
    note.trim()
    // @ts-expect-error it is a number
    count.trim()
    return { which }
  }
})
const delivery = tool({
  name: 'deliver',
  description: 'Delivers cakes.',
  parameters: z.object({ on: z.iso.date().transform(text => new Date(text)), floor: z.number().default(0), note: z.string().optional() }),
  say: ({ on }) => `On ${on.getDate()}.`,
  execute ({ on, floor, note }) {
    app.log.info({ at: on.getTime(), floor: floor.toFixed(), note: note?.length })
    // @ts-expect-error it was converted
    on.trim()
    // @ts-expect-error it may not be there
    note.trim()
  }
})
const inputSchema = { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const fromMcp = tool({
  name: 'weather',
  description: 'Tells the weather.',
  parameters: inputSchema,
  execute (args) {
    const city: unknown = args['city']
    // @ts-expect-error nothing is known of it
    args['city'].trim()
    return city
  }
})
const typed = tool<{ city: string }>({
  name: 'weather',
  description: 'Tells the weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
  filler: ({ city }) => `I am looking at ${city.trim()}.`,
  // @ts-expect-error no such member
  execute: ({ city, country }) => `${city.trim()} ${country}`
})
declare const ofAnyLibrary: StandardSchema<object, { size: number }>
const standard = tool({ name: 'a', description: 'A.', parameters: ofAnyLibrary, jsonSchema: z.toJSONSchema(z.object({ size: z.number() })), execute: ({ size }) => size.toFixed() })
/** A wrapper of the app's own. */
export function audited<T extends TObject> (options: ToolOptions<T>): Tool<ArgumentsOf<T>> {
  return tool({ ...options, execute: (args, context) => options.execute(args, context) })
}
// @ts-expect-error arguments are an object, in Zod as well
tool({ name: 'text', description: 'Text.', parameters: z.string(), execute: () => {} })
// @ts-expect-error and in JSON Schema there is a type
tool({ name: 'text', description: 'Text.', parameters: { properties: {} }, execute: () => {} })
export const tools: readonly Tool[] = [delivery, fromMcp, typed, standard, order, endCallTool(), pressDigitsTool({ name: 'press' }), transferCallTool({ destinations: { desk: '+14155550100', boss: { number: '+14155550101', description: 'when the caller is angry' } } })]
// @ts-expect-error a tool does something
tool({ name: 'nothing', description: 'Nothing.', parameters: Type.Object({}) })
// @ts-expect-error arguments are an object
tool({ name: 'text', description: 'Text.', parameters: Type.String(), execute: () => {} })
// @ts-expect-error there are two policies
tool({ name: 'a', description: 'A.', parameters: Type.Object({}), onSupersede: 'maybe', execute: () => {} })
// @ts-expect-error a number is no destination
transferCallTool({ destinations: { desk: 14155550100 } })
// @ts-expect-error somebody must be there
transferCallTool({})

export const own: Agent = async function * (turn) {
  const outcome: ToolOutcome = await runTool(turn, order, '{"cake":"plum","count":1}')
  yield outcome.action ?? outcome.content
  turn.call.record(toolCall('1', 'order', {}))
  // @ts-expect-error words are not recorded
  turn.call.record('word')
  turn.call.waitUntil(Promise.resolve())
}
app.register(voiceAgentPlugin, { openai: { tools, toolChoice: { name: 'order' }, maxSteps: 4, parallelToolCalls: false, speakable: false } })

// Calls

const calls: Calls = app.calls
const call: Call | undefined = calls.get('call_1')
for (const { id, provider } of calls) app.log.info({ id, provider, size: calls.size })
await call?.interject('One moment', { interruptible: true })
await call?.end({ say: 'Bye' })
await call?.transfer('+14155550100')
await call?.sendMetadata({ step: 2 })
await call?.updateAgent({ responsiveness: 0.5 })
// @ts-expect-error no such member
await call?.updateAgent({ volume: 2 })
for await (const { node, startedAt, provider } of calls.cluster.list()) app.log.info({ node, startedAt, provider })
await (await calls.cluster.get('call_1'))?.end({ say: 'Bye' })
app.log.info({ calls: await calls.cluster.size(), nodes: await calls.cluster.nodes() })
// @ts-expect-error what another node knows of a call is not all here
app.log.info((await calls.cluster.get('call_1'))?.state)
// @ts-expect-error calls come from providers alone
calls.add(call)

const control: ControlOptions = { token: ['old', 'new'], path: '/ops' }
app.register(voiceAgentControl, { ...control, prefix: '/internal' })
app.get('/ours', async (request): Promise<string> => bearerCheck('token')(request) ? securitySchemes.controlToken.scheme : '')
// @ts-expect-error a token is a text
app.register(voiceAgentControl, { token: 7 })

// Options

app.register(voiceAgentPlugin)
app.register(named, {})
app.register(voiceAgentPlugin, {
  retell: { path: '/retell', allowlist: ['100.20.5.228'], callDetailsTimeoutMs: 1_000 },
  millis: { path: '/millis', allowlist: '*', controlFrames: { endCall: streamId => ({ type: 'bye', streamId }) } },
  secret: 's3cret',
  trustedProxies: '10.0.0.0/8',
  openai: { apiKey: 'sk', model: 'gpt', temperature: 0.5, azure: { endpoint: 'https://x' } },
  fallback: (turn, error) => `${turn.reason} ${String(error)}`,
  messages: { leadingAssistant: true },
  prefix: '/v1',
  onCallStart: async call => { call.state['seen'] = true },
  onTranscript: (call, { partial, final, transcript, floor }) => call.log.trace({ partial, final, transcript, floor }),
  onTurnEnd: (turn, { outcome, firstFrameMs, durationMs, characters }) => turn.log.info({ outcome, firstFrameMs, durationMs, characters }),
  onCallEnd: (call, { code, turns, malformedFrames }) => call.log.info({ code, turns, malformedFrames })
})
app.register(voiceAgentPlugin, { retell: false, millis: false })

export const wrongOptions: VoiceAgentOptions[] = [
  // @ts-expect-error no such option
  { secrets: 'x' },
  // @ts-expect-error a provider is switched off by false, and on by nothing
  { retell: true },
  // @ts-expect-error milliseconds are a number
  { retell: { callDetailsTimeoutMs: '1s' } },
  // @ts-expect-error addresses are texts
  { millis: { allowlist: [127] } },
  // @ts-expect-error a fallback is a line
  { fallback: () => 7 },
  // @ts-expect-error a hook is a function
  { onCallEnd: 'log' }
]
// @ts-expect-error register checks options, too
app.register(voiceAgentPlugin, { retell: true })

export const variables: string[] = Object.keys(envSchema.properties)

// Webhooks

app.register(voiceAgentPlugin, {
  retell: { apiKey: ['key_new', 'key_old'], webhookPath: '/hooks/retell' },
  millis: { webhookSecret: 's3cret', webhookPath: '/hooks/millis' },
  onWebhook: async event => {
    if (event.provider === 'millis') return app.log.info({ words: event.chat?.length, seconds: event.call.duration, more: event.call['voip'] })
    if (event.event === 'call_analyzed') app.log.info({ id: event.callId, good: event.call.call_analysis?.call_successful, to: event.body.transfer_destination })
  },
  onInboundCall: ({ from }) => from === undefined ? undefined : { override_agent_id: 'agent_2', dynamic_variables: { visits: 3 }, metadata: { vip: true } },
  onPrefetch: async ({ metadata }) => ({ metadata: { ...metadata, seen: true } })
})
export function heard (event: WebhookEvent): string {
  // @ts-expect-error Retell has none
  if (event.provider === 'retell') return event.chat
  // @ts-expect-error nothing is sure to be there
  return event.call.session_id
}
export const wrongHooks: VoiceAgentOptions[] = [
  // @ts-expect-error Retell takes texts alone, and what can be one
  { onInboundCall: () => ({ dynamic_variables: { cart: { rolls: 3 } } }) },
  // @ts-expect-error no such member
  { onInboundCall: () => ({ overrideAgentId: 'agent_2' }) },
  // @ts-expect-error nor here
  { onPrefetch: () => ({ extraPrompt: 'Be brief.' }) },
  // @ts-expect-error no such event
  { onWebhook: event => { if (event.event === 'call_sung') throw new Error('no') } }
]

// Its tests

export async function converse (): Promise<readonly Finding[]> {
  const model = await startScriptedModel()
  model.next('Hello.', ['One ', 'two'])
  const call = await RetellCaller.dial(app, { callType: 'web_call' })
  const reply: Reply = await call.interrupt('no', { afterWords: 2 })
  // @ts-expect-error only the server's side of a reply writes it
  reply.id = 7
  return call.findings
}
