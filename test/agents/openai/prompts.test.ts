/**
 * How much of a conversation a model is sent, and what happens where that is too much.
 */
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import type { Call, ChatMessage } from '../../../lib/contract/agent.js'
import { Prompts, type PromptMessage } from '../../../lib/agents/openai/prompts.js'
import { STALL, type ModelRequest, type Refusal, type Script } from '../../../lib/testing/scripted-model.js'
import { tool, type Tool } from '../../../lib/tools/tool.js'
import { APOLOGY } from '../../helpers/call.js'
import { calling, openLine } from '../../helpers/model-line.js'
import { scaledRuns } from '../../helpers/runs.js'
import { messageFaults, type WireMessage } from '../../helpers/valid-messages.js'

const finding = (result: unknown): Tool => tool({ name: 'find', description: 'Finds.', parameters: Type.Object({}), filler: '', sideEffects: false, execute: () => result })
const FIND = 'find({})'
const note = (all: number, shown: number): string => `\n(Cut off here: the result has ${all} characters, and only the first ${shown} are shown.)`
const refusal = (message: string, more: { status?: number, code?: string } = {}): Refusal => ({
  status: more.status ?? 400, body: { error: { message, type: 'invalid_request_error', param: 'messages', code: more.code ?? null } }
})

function promptsOf (more: Partial<ConstructorParameters<typeof Prompts>[0]> = {}): Prompts {
  return new Prompts({ instructions: '', model: 'a', maxResultCharacters: Infinity, maxHistoryCharacters: Infinity, ...more })
}

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })
const called = (id: string, args = '{}'): ChatMessage => ({ role: 'assistant', content: null, tool_calls: [{ id, type: 'function', function: { name: 'find', arguments: args } }] })
const result = (id: string, content: string): ChatMessage => ({ role: 'tool', tool_call_id: id, content })
const newCall = (): Call => ({}) as Call

function contents (messages: readonly PromptMessage[]): unknown[] {
  return messages.map(({ content }) => content)
}

function resultsOf ({ body }: ModelRequest): unknown[] {
  return body.messages.filter(({ role }) => role === 'tool').map(({ content }) => content)
}

// Results

t.test('a long result is cut, and the model is told, in this turn and in later ones; the call keeps it whole', async t => {
  const { server, hear, line } = await openLine(t, 'retell', [finding('x'.repeat(60_000))])
  server.next(calling(FIND), 'Found.')
  await hear(1, 'Find it')
  await hear(2, 'Find it', 'Found.', 'Thanks')
  t.strictSame(server.requests.map(resultsOf), [[], ['x'.repeat(50_000) + note(60_000, 50_000)], ['x'.repeat(50_000) + note(60_000, 50_000)]])
  t.equal(line.frames.find(frame => frame['response_type'] === 'tool_call_result')?.['content'].length, 60_000)
})

t.test('the option says how long a result may be, and no character is cut in two', async t => {
  const { server, hear } = await openLine(t, 'retell', [finding('abc👋def')], { agent: { maxResultCharacters: 4 } })
  server.next(calling(FIND), 'Found.')
  await hear(1, 'Find it')
  t.strictSame(resultsOf(server.requests[1]!), ['abc' + note(8, 3)])
  const { server: other, hear: hearOther } = await openLine(t, 'retell', [finding('abc👋def')], { agent: { maxResultCharacters: 8 } })
  other.next(calling(FIND), 'Found.')
  await hearOther(1, 'Find it')
  t.strictSame(resultsOf(other.requests[1]!), ['abc👋def'])
})

// The history

t.test('the oldest turns are left out whole, their tool calls with them, and the system prompt stays', async t => {
  const messages = [user('1234'), called('a', '{"a":1}'), result('a', '12345'), assistant('12'), user('123'), assistant('1234'), user('12')]
  const written = (maxHistoryCharacters: number) => contents(promptsOf({ maxHistoryCharacters, instructions: 'Be brief.' }).write(newCall(), messages))
  const all = ['Be brief.', '1234', null, '12345', '12', '123', '1234', '12']
  t.strictSame(written(27), all)
  t.strictSame(written(26), ['Be brief.', ...all.slice(5)])
  t.strictSame(written(9), ['Be brief.', ...all.slice(5)])
  t.strictSame(written(8), ['Be brief.', '12'])
  t.strictSame(written(1), ['Be brief.', '12'], 'the last turn stays')
  const leading = [assistant('Hello'), user('Hi')]
  t.strictSame(contents(promptsOf({ maxHistoryCharacters: 7 }).write(newCall(), leading)), ['Hello', 'Hi'])
  t.strictSame(contents(promptsOf({ maxHistoryCharacters: 6 }).write(newCall(), leading)), ['Hi'])
})

t.test('the history that an agent sends is as long as its option says', async t => {
  const { hear, last } = await openLine(t, 'retell', [], { agent: { maxHistoryCharacters: 20 } })
  await hear(1, 'One?')
  await hear(2, 'One?', 'You said: One?', 'Two?')
  t.strictSame(last().map(({ content }) => content), ['Two?'])
  await hear(3, 'One?', 'Yes.', 'Two?', 'Yes.', 'Three?')
  t.strictSame(last().map(({ content }) => content), ['Two?', 'Yes.', 'Three?'])
})

t.test('whatever is left out, what is sent is valid, a tail of the conversation, and begins with a turn', async t => {
  const turn = fc.record({ words: fc.string({ minLength: 1, maxLength: 9 }), results: fc.array(fc.string({ minLength: 1, maxLength: 30 }), { maxLength: 3 }), answer: fc.string({ minLength: 1, maxLength: 9 }) })
  fc.assert(fc.property(fc.array(turn, { minLength: 1 }), fc.nat(60), fc.integer({ min: 1, max: 20 }), fc.boolean(), (turns, maxHistoryCharacters, maxResultCharacters, inTools) => {
    let id = 0
    const messages = turns.flatMap(({ words, results, answer }, index) => {
      const tools = results.flatMap(content => [called(`c${++id}`), result(`c${id}`, `r${content}`)])
      const isLast = index === turns.length - 1
      return [user(`u${words}`), ...tools, ...(isLast ? [] : [assistant(`a${answer}`)]), ...(isLast && inTools ? [called('last'), result('last', 'r')] : [])]
    })
    const written = promptsOf({ maxHistoryCharacters, maxResultCharacters }).write(newCall(), messages)
    t.strictSame(messageFaults(written as WireMessage[]), [])
    t.equal(written[0]?.role, 'user')
    const tail = messages.slice(messages.length - written.length)
    t.strictSame(written.map(message => message.role === 'tool' ? message.tool_call_id : message.content), tail.map(message => message.role === 'tool' ? message.tool_call_id : message.content))
    const size = written.reduce((sum, message) => sum + (message.content?.length ?? 2), 0)
    t.ok(size <= maxHistoryCharacters || written.filter(({ role }) => role === 'user').length === 1)
  }), { numRuns: scaledRuns(400) })
})

// Refused

/** A server whose model takes so many characters. */
function narrow (most: number, then: Script = 'It is found.'): (request: ModelRequest) => Script {
  return ({ body }) => JSON.stringify(body.messages).length <= most ? then : refusal('The request is refused.', { code: 'context_length_exceeded' })
}

t.test('a request that is too long for the model is sent once more with less, and the call goes on with as much', async t => {
  const { server, hear } = await openLine(t, 'retell', [])
  server.handler = narrow(600)
  const words = ['a'.repeat(200), 'b'.repeat(200), 'c'.repeat(200)]
  t.equal(await hear(1, words[0]!, words[1]!, words[2]!), 'It is found.')
  t.strictSame(server.requests.map(({ body }) => body.messages.length), [3, 1])
  t.equal(await hear(2, words[0]!, words[1]!, words[2]!, 'It is found.', 'Thanks'), 'It is found.')
  t.strictSame(server.requests.map(({ body }) => body.messages.length), [3, 1, 3], 'and is not refused again')
})

t.test('a tool\'s result that a model refuses is cut, and neither this turn nor a later one fails', async t => {
  for (const code of ['context_length_exceeded', 'invalid_request']) {
    const { server, hear } = await openLine(t, 'retell', [finding('x'.repeat(40_000))])
    server.handler = ({ body }) => JSON.stringify(body.messages).length < 10_000 ? 'It is found.' : refusal('No.', { code })
    server.next(calling(FIND))
    t.equal(await hear(1, 'Find it'), 'It is found.')
    t.strictSame(resultsOf(server.requests.at(-1)!), ['x'.repeat(4_000) + note(40_000, 4_000)])
    const before = server.requests.length
    t.equal(await hear(2, 'Find it', 'It is found.', 'Thanks'), 'It is found.')
    t.equal(server.requests.length, before + 1)
  }
})

t.test('what servers say of a request that is too long is understood', async t => {
  const words = [user('a'.repeat(100)), assistant('b'), user('c')]
  const isSentAgain = async (error: object): Promise<boolean> => {
    const prompts = promptsOf()
    const call = newCall()
    const prompt = prompts.write(call, words)
    let count = 0
    await prompts.send(call, words, prompt, async () => {
      if (++count === 1) throw Object.assign(new Error(), error)
    }).catch(() => {})
    return count === 2
  }
  for (const message of [
    'This model\'s maximum context length is 4096 tokens. However, you requested 5000 tokens',
    'the request exceeds the available context size, try increasing it',
    'prompt is too long: 210000 tokens > 200000 maximum',
    'Prompt contains 40000 tokens, too large for model with 32768 maximum context length',
    'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
    'This model\'s maximum prompt length is 131072 but the request contains 140000 tokens.',
    'Please reduce the length of the messages: the input is longer than the model\'s context window',
    'Too many tokens in the request'
  ]) {
    t.equal(await isSentAgain({ status: 400, message }), true, message)
    t.equal(await isSentAgain({ status: 422, message }), true, message)
    t.equal(await isSentAgain({ status: 429, message }), false, message)
  }
  t.equal(await isSentAgain({ status: 413, message: '' }), true)
  t.equal(await isSentAgain({ status: 400, code: 'context_length_exceeded' }), true)
  for (const message of ['Invalid value for temperature', 'The model does not exist', 'Messages must alternate', '']) t.equal(await isSentAgain({ status: 400, message }), false, message)
  t.equal(await isSentAgain({ message: 'The model\'s server cannot be reached' }), false)
})

t.test('where less is refused as well, the first refusal is the error, and a later turn is asked whole', async t => {
  const { server, hear, line } = await openLine(t, 'retell', [])
  server.next(refusal('Too long: context length', { code: 'first' }), refusal('No.', { code: 'second' }))
  t.equal(await hear(1, 'One?', 'a'.repeat(100), 'Two?'), APOLOGY)
  t.match(line.complaints.at(-1), { err: { status: 400, code: 'first' } })
  t.equal(await hear(2, 'One?', 'a'.repeat(100), 'Two?', APOLOGY, 'Three?'), 'You said: Two? Three?')
  t.equal(server.requests.at(-1)?.body.messages.length, 3)
})

t.test('where there is nothing to leave out, and where a filter stopped the request, it is not sent again', async t => {
  const { server, hear } = await openLine(t, 'retell', [finding('x')])
  server.next(refusal('Too long: context length'))
  t.equal(await hear(1, 'Hi'), APOLOGY)
  server.next(calling(FIND), refusal('No.'))
  t.equal(await hear(2, 'Hi'), APOLOGY)
  t.equal(server.requests.length, 3)

  const { server: filtering, hear: hearFiltering } = await openLine(t, 'retell', [finding('x'.repeat(9_000))])
  filtering.next(calling(FIND), refusal('Filtered.', { code: 'content_filter' }))
  t.equal(await hearFiltering(1, 'Hi'), APOLOGY)
  t.equal(filtering.requests.length, 2)
})

t.test('a turn that is superseded while less is asked ends, and the refusal is not heard', async t => {
  const { server, ask, asked, hear, line } = await openLine(t, 'retell', [])
  server.next(refusal('Too long: context length'), [STALL])
  ask(1, 'a'.repeat(100), 'b', 'Two?')
  await asked(2)
  t.equal(await hear(2, 'a'.repeat(100), 'b', 'Three?'), 'You said: Three?')
  t.strictSame(line.complaints, [])
})

t.test('each refusal leaves out more, and one call does not shorten another', async t => {
  const words: ChatMessage[] = Array.from({ length: 40 }, (_, i) => i % 2 === 0 ? user('x'.repeat(10)) : assistant('y'.repeat(10))).slice(0, 39)
  const prompts = promptsOf({ instructions: 'Be brief, whatever the caller asks.' })
  const [call, other] = [newCall(), newCall()]
  const lengths: number[] = []
  const refuseOnce = async (t: Test): Promise<void> => {
    const prompt = prompts.write(call, words)
    let isFirst = true
    const taken = await prompts.send(call, words, prompt, async prompt => {
      lengths.push(prompt.length)
      if (isFirst) {
        isFirst = false
        throw Object.assign(new Error(), { status: 413 })
      }
      return prompt
    })
    t.strictSame(prompts.write(call, words), taken)
  }
  await refuseOnce(t)
  await refuseOnce(t)
  t.strictSame(lengths, [40, 20, 20, 10])
  t.equal(prompts.write(other, words).length, 40)
})
