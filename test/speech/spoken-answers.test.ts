/**
 * The OpenAI agent and the speech filter: what of an answer is said, in what order, and what the model is told of it.
 */
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import type { Speech, Turn } from '../../lib/contract/agent.js'
import { builtInAgent } from '../../lib/agents/built-in.js'
import { failover } from '../../lib/agents/failover/failover.js'
import { openAIAgent, type OpenAIAgentOptions } from '../../lib/agents/openai/agent.js'
import { tool, type ToolOptions } from '../../lib/tools/tool.js'
import { failures, hold, startScriptedModel, STALL, toolCallChunk, type Script } from '../../lib/testing/scripted-model.js'
import { fakeTurn } from '../helpers/fake-turn.js'
import { calling, messagesOf } from '../helpers/model-line.js'

const look = (options: Partial<ToolOptions<ReturnType<typeof Type.Object>>> = {}) =>
  tool({ name: 'look', description: 'Looks.', parameters: Type.Object({}), sideEffects: false, filler: '', execute: () => 'free', ...options })

async function setup (t: Test, options: OpenAIAgentOptions = {}, ...scripts: Script[]) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  server.next(...scripts)
  const agent = openAIAgent({ baseURL: server.url, instructions: '', ...options })
  t.teardown(() => agent.close())
  return { server, agent }
}

/** What is said, and in place of each other action its name. How words come together over the network is left open. */
async function hear (agent: (turn: Turn) => AsyncIterable<Speech>, turn: Turn = fakeTurn(), said: string[] = []): Promise<string[]> {
  let isSpeaking = false
  for await (const piece of agent(turn)) {
    if (typeof piece === 'string' && isSpeaking) said.push(said.pop() + piece)
    else if (typeof piece === 'string') said.push(piece)
    else if (piece?.action === 'filler') said.push(`(${piece.text})`)
    else if (piece?.action === 'tool-call') said.push(`(${piece.name})`)
    isSpeaking = typeof piece === 'string'
  }
  return said
}

/** Reads on until all this is said. */
async function hearUntil (answer: AsyncGenerator<Speech>, words: string): Promise<void> {
  let said = ''
  while (said !== words) said += String((await answer.next()).value)
}

t.test('markdown, emoji and addresses are not spoken', async t => {
  const { agent } = await setup(t, {}, ['**Hel', 'lo** ', '👋', ' see', ' [our', ' site](', 'https://example.com/a', ').'])
  t.strictSame(await hear(agent), ['Hello see our site.'])
})

t.test('without the filter an answer is spoken as written', async t => {
  const { agent } = await setup(t, { speakable: false, tools: [look({ say: { parameter: 'message' } })] }, ['**Hello**', ' 👋'], calling('look({"message":"*Hm*"})'), ['_so_'])
  t.strictSame(await hear(agent), ['**Hello** 👋'])
  t.strictSame(await hear(agent), ['(*Hm*)', '(look)', '_so_'])
})

t.test('the plugin\'s agent has the option', async t => {
  const { server } = await setup(t, {}, ['*Hi*'], ['*Hi*'])
  const env = { OPENAI_API_KEY: '', OPENAI_BASE_URL: server.url, AZURE_OPENAI_ENDPOINT: '', AZURE_OPENAI_API_KEY: '' }
  for (const [options, said] of [[{}, ['Hi']], [{ speakable: false }, ['*Hi*']]] as const) {
    const agent = await builtInAgent(env, options) as ReturnType<typeof openAIAgent>
    t.strictSame(await hear(agent), said)
    await agent.close()
  }
})

t.test('the app\'s greeting is spoken unchanged', async t => {
  const { agent } = await setup(t, { greeting: '*Hi*' })
  t.strictSame(await hear(agent, fakeTurn({ reason: 'greeting' })), ['*Hi*'])
})

t.test('an answer without speakable text counts as no answer', async t => {
  const { agent } = await setup(t, {}, ['👍'], [' 👍🏽', '\n```', '\n'])
  const said: string[] = []
  for (const turn of [fakeTurn(), fakeTurn()]) {
    await t.rejects(hear(agent, turn, said), { code: 'VOICE_AGENT_ERR_MODEL', message: /answered nothing$/ })
  }
  t.strictSame(said, [])
})

t.test('and then another model is asked', async t => {
  const first = await setup(t, {}, ['👍'])
  const second = await setup(t, {}, ['**Yes**'])
  t.strictSame(await hear(turn => failover([first.agent, second.agent]).call({} as never, turn)), ['Yes'])
})

t.test('held text is spoken when the answer ends', async t => {
  const { agent } = await setup(t, {}, ['Press ', '*'], ['['])
  t.strictSame(await hear(agent), ['Press *'])
  t.strictSame(await hear(agent), ['['])
})

t.test('held text is spoken before a tool call, while the model still writes the call', async t => {
  const more = hold()
  const { agent } = await setup(t, { tools: [look()] }, {
    steps: ['So ', '[', toolCallChunk({ index: 0, id: 'call_1', type: 'function', function: { name: 'look', arguments: '{' } }), more, toolCallChunk({ index: 0, function: { arguments: '}' } })],
    finishReason: 'tool_calls'
  }, ['Yes'])
  const answer = agent(fakeTurn())
  await hearUntil(answer, 'So [')
  more.release()
  t.strictSame(await hear(() => answer), ['(look)', 'Yes'])
})

t.test('an answer is not joined to the one before it', async t => {
  const { agent } = await setup(t, { tools: [look()] }, { steps: ['So [a', ...calling('look({})').steps], finishReason: 'tool_calls' }, ['](https://example.com) b'], ['- c'])
  t.strictSame(await hear(agent), ['So [a', '(look)', '](example.com) b'])
  t.strictSame(await hear(agent), ['c'])
})

t.test('the model gets the spoken text', async t => {
  const { server, agent } = await setup(t, { tools: [look()] }, { steps: ['**Let me', ' look**.🔍', ...calling('look({})').steps], finishReason: 'tool_calls' },
    { steps: ['🔍', ...calling('look({})').steps], finishReason: 'tool_calls' }, ['Yes'])
  t.strictSame(await hear(agent), ['Let me look.', '(look)', '(look)', 'Yes'])
  t.match(messagesOf(server.requests[1]!)[1], { role: 'assistant', content: 'Let me look.' })
  t.match(messagesOf(server.requests[2]!)[3], { role: 'assistant', content: null })
})

t.test('a line of the model is filtered, and a line of the app is not', async t => {
  const tools = [look({ say: { parameter: 'message' } }), look({ name: 'other', say: '*As it is*' })]
  const { agent } = await setup(t, { tools }, calling('look({"message":"**One** moment 🙂"})'), ['Yes'], calling('look({"message":"🙂"})', 'other({})'), ['Yes'])
  t.strictSame(await hear(agent), ['(One moment )', '(look)', 'Yes'])
  t.strictSame(await hear(agent), ['(*As it is*)', '(look)', '(other)', 'Yes'])
})

t.test('an aborted turn says nothing more', async t => {
  const { agent } = await setup(t, {}, ['One ', '[', STALL])
  const turn = fakeTurn()
  const answer = agent(turn)
  await hearUntil(answer, 'One ')
  const next = answer.next()
  turn.abort()
  t.same(await next, { done: true, value: undefined })
})

t.test('a turn that is aborted with its last word says nothing more', async t => {
  const { agent } = await setup(t, {}, { steps: ['One ', '['], finishReason: 'content_filter' })
  const turn = fakeTurn()
  const answer = agent(turn)
  await hearUntil(answer, 'One [')
  turn.abort()
  t.same(await answer.next(), { done: true, value: undefined })
})

t.test('a model that fails before its first speakable word counts as silent', async t => {
  const { agent } = await setup(t, {}, failures.errorMidStream, { steps: ['👍 [', { chunk: { error: { message: 'no' } } }] }, ['Yes'])
  const said: string[] = []
  await t.rejects(hear(agent, fakeTurn(), said))
  t.strictSame(said, ['One '])
  said.length = 0
  await t.rejects(hear(agent, fakeTurn(), said))
  t.strictSame(said, [])
})

// What is no speech at all

const BOOKED = '<tool_call>{"name":"look","arguments":{}}</tool_call>'

t.test('reasoning and tool calls in the text are neither spoken nor sent to the model again', async t => {
  const { server, agent } = await setup(t, { tools: [look()] }, { steps: ['<thi', 'nk>Hm.</think>', 'Sure. look()', ...calling('look({})').steps], finishReason: 'tool_calls' }, ['Yes'])
  t.strictSame(await hear(agent), ['Sure. ', '(look)', 'Yes'])
  t.match(messagesOf(server.requests[1]!)[1], { role: 'assistant', content: 'Sure. ' })
})

t.test('an answer of nothing else counts as no answer, and another model is asked', async t => {
  const { agent } = await setup(t, {}, ['<think>', 'They want', ' hours.'], ['<think>They want hours.</think>\n'])
  await t.rejects(hear(agent), { code: 'VOICE_AGENT_ERR_MODEL', message: /answered nothing$/ })
  const second = await setup(t, {}, ['Yes'])
  t.strictSame(await hear(turn => failover([agent, second.agent]).call({} as never, turn)), ['Yes'])
})

t.test('the figures of cut text are reported once an answer', async t => {
  const { agent } = await setup(t, {}, ['<think>Hm</think>Yes'])
  const actions: Speech[] = []
  for await (const piece of agent(fakeTurn())) if (typeof piece === 'object') actions.push(piece)
  t.match(actions, [{ action: 'unspoken', characters: 17, kinds: ['reasoning'] }])
})

t.test('a tool call in the text runs if the app allows it, and otherwise counts as no answer', async t => {
  const { server, agent } = await setup(t, { tools: [look()], runsTextCalls: true }, ['Sure. ', BOOKED, BOOKED], ['Yes'], [BOOKED], ['Yes'])
  t.strictSame(await hear(agent), ['Sure. ', '(look)', '(look)', 'Yes'])
  t.match(messagesOf(server.requests[1]!).slice(1), [{ content: 'Sure. ', tool_calls: [{ function: { name: 'look' } }, {}] }, { role: 'tool' }, { role: 'tool' }])
  t.strictSame(await hear(agent), ['(look)', 'Yes'])
  const other = await setup(t, { tools: [look()] }, [BOOKED])
  await t.rejects(hear(other.agent), { message: /answered nothing$/ })
})

t.test('a call in the text of no tool of ours is left out, and not run', async t => {
  const other = '<tool_call>{"name": "cancel", "arguments": {}}</tool_call>'
  const { agent } = await setup(t, { tools: [look()], runsTextCalls: true }, ['Sure.', other])
  t.strictSame(await hear(agent), ['Sure.'])
})

t.test('a call in the text is not run where the model may call no tools, and the words beside it are the answer', async t => {
  const never = await setup(t, { tools: [look()], runsTextCalls: true, toolChoice: 'none' }, ['Sure. ', BOOKED])
  t.strictSame(await hear(never.agent), ['Sure. '])
  const { agent } = await setup(t, { tools: [look()], runsTextCalls: true, maxSteps: 2 }, [BOOKED], ['It is free. ', BOOKED])
  t.strictSame(await hear(agent), ['(look)', 'It is free. '])
})

t.test('a tool call that the server parsed does not run again from the text', async t => {
  const { agent } = await setup(t, { tools: [look()], runsTextCalls: true }, { steps: [BOOKED, ...calling('look({})').steps], finishReason: 'tool_calls' }, ['Yes'])
  t.strictSame(await hear(agent), ['(look)', 'Yes'])
})

t.test('an answer that begins inside the reasoning is cut up to its end mark', async t => {
  const { agent } = await setup(t, { startsInReasoning: true }, ['They want', ' hours.</th', 'ink>\n\nWe open at nine.'])
  t.strictSame(await hear(agent), ['We open at nine.'])
})
