/**
 * Answers that deviate from what OpenAI's server streams, over real connections. Words and tool calls are those that the server meant.
 */
import { once } from 'node:events'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { APIError } from 'openai'
import type { Action, Turn } from '../../../lib/contract/agent.js'
import { openAIAgent, type OpenAIAgentOptions } from '../../../lib/agents/openai/agent.js'
import { CUT, hold, RESET, STALL, startScriptedModel, type Step } from '../../../lib/testing/scripted-model.js'
import { tool } from '../../../lib/tools/tool.js'
import { installClock } from '../../helpers/clock.js'
import { fakeTurn } from '../../helpers/fake-turn.js'

async function setup (t: Test, options: OpenAIAgentOptions = {}) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const ran: unknown[] = []
  const find = tool({
    name: 'find',
    description: 'Finds a city.',
    parameters: Type.Object({ city: Type.Optional(Type.String()) }),
    sideEffects: false,
    execute: ({ city }) => { ran.push(city ?? 'any') }
  })
  const agent = openAIAgent({ baseURL: server.url, tools: [find], ...options })
  t.teardown(() => agent.close())
  return {
    server,
    ran,
    /** Scripts the bytes of an answer. */
    stream: (...steps: Array<string | Exclude<Step, string>>) => server.next({
      steps: steps.map(step => typeof step === 'string' ? { raw: step } : step), role: false, finishReason: null, done: false
    }),
    async ask (turn: Turn = fakeTurn()) {
      let said = ''
      const actions: string[] = []
      try {
        for await (const piece of agent(turn)) {
          if (typeof piece === 'string') said += piece
          else actions.push((piece as Action).action)
        }
      } catch (error) {
        return { said, actions, error: error as Error & { cause?: unknown } }
      }
      return { said, actions, error: undefined }
    }
  }
}

const event = (data: unknown): string => `data: ${JSON.stringify(data)}\n\n`
const chunk = (delta: object, reason: string | null = null, more: object = {}): string => event({ choices: [{ index: 0, delta, finish_reason: reason }], ...more })
const say = (content: unknown): string => chunk({ content })
const call = (name: string | undefined, args: unknown, id?: string): string => chunk({ tool_calls: [{ index: 0, id, function: { name, arguments: args } }] })
const STOP = chunk({}, 'stop')
const CALLS = chunk({}, 'tool_calls')
const DONE = 'data: [DONE]\n\n'

// The end

for (const [name, steps] of [
  ['stays open', [STOP, DONE, STALL]],
  ['is reset', [STOP, DONE, RESET]],
  ['is cut before its last chunk', [STOP, DONE, CUT]],
  ['is cut behind finish_reason', [STOP, CUT]],
  ['is reset behind finish_reason', [STOP, RESET]],
  ['goes on with an error behind finish_reason', [STOP, event({ error: { message: 'late' } }), STALL]],
  ['goes on with garbage behind finish_reason', [STOP, 'data: {"bye\n\n', STALL]],
  ['goes on with words behind [DONE]', [STOP, DONE, say('No!'), STALL]],
  ['has no finish_reason', [DONE, STALL]],
  ['has its [DONE] with other blanks', ['data:  [DONE] \n\n', STALL]],
  ['has its [DONE] as JSON', ['data: "[DONE]"\n\n', STALL]],
  ['has its [DONE] in lower case', ['data:[done]\n\n', STALL]],
  ['has no blank line behind its [DONE]', ['data: [DONE]']],
  ['has no blank line behind its last chunk', [STOP.trimEnd()]],
  ['is cut within its last chunk, though the response ends well', [STOP, 'data: {"choi']]
] as Array<[string, Array<string | Exclude<Step, string>>]>) {
  t.test(`an answer is whole when its response ${name}`, async t => {
    const { stream, ask } = await setup(t)
    stream(say('We open at nine.'), ...steps)
    t.match(await ask(), { said: 'We open at nine.', error: undefined })
  })

  t.test(`a tool that was called runs when the response ${name}`, async t => {
    const { server, stream, ask, ran } = await setup(t)
    stream(call('find', '{"city":"Kiel"}', 'a'), ...steps.map(step => step === STOP ? CALLS : step))
    server.next('Done.')
    t.match(await ask(), { said: 'Done.', error: undefined })
    t.strictSame(ran, ['Kiel'])
  })
}

t.test('behind finish_reason a response that stays open is waited for briefly, also with heartbeats', async t => {
  const { stream, ask, server } = await setup(t)
  const clock = installClock(t, ['setTimeout', 'clearTimeout'])
  stream(say('We open at nine.'), STOP, ': ping\n\n', STALL)
  const state = { isOver: false }
  const answer = ask().finally(() => { state.isOver = true })
  while (!state.isOver) {
    clock.tick(50)
    await nextLoopTurn()
  }
  t.match(await answer, { said: 'We open at nine.', error: undefined })
  const cancelled = once(server.events, 'cancelled')
  clock.tick(500)
  await cancelled
})

t.test('the figures of tokens that follow finish_reason are reported', async t => {
  const { stream, ask } = await setup(t)
  const late = hold()
  stream(say('Yes.'), STOP, late, event({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } }), DONE)
  late.release()
  t.match(await ask(), { said: 'Yes.', actions: ['usage'] })
})

for (const [place, more] of [
  ['as OpenAI does', { choices: [], usage: { prompt_tokens: 20, completion_tokens: 10 } }],
  ['in x_groq', { choices: [{ delta: {}, finish_reason: 'stop' }], x_groq: { usage: { prompt_tokens: 20, completion_tokens: 10 } } }],
  ['in the choice', { choices: [{ delta: {}, finish_reason: 'stop', usage: { prompt_tokens: 20, completion_tokens: 10 } }] }],
  ['by other names', { choices: [], usage: { input_tokens: 20, output_tokens: 10 } }]
] as const) {
  t.test(`the tokens of an answer are known where its server tells them ${place}`, async t => {
    const server = await startScriptedModel()
    t.teardown(() => server.close())
    const agent = openAIAgent({ baseURL: server.url })
    t.teardown(() => agent.close())
    server.next({ steps: ['Yes.', { chunk: more }] })
    const actions: unknown[] = []
    for await (const piece of agent(fakeTurn())) if (typeof piece !== 'string') actions.push(piece)
    t.match(actions, [{ action: 'usage', inputTokens: 20, outputTokens: 10 }])
  })
}

t.test('a finish_reason in each chunk ends nothing', async t => {
  const { server, stream, ask, ran } = await setup(t)
  for (const more of [chunk({ content: 'nine.' }, 'stop'), say('nine.')]) {
    stream(chunk({ content: 'We ' }, 'stop'), chunk({ content: 'open at ' }, 'stop'), more, say(''), DONE)
    t.match(await ask(), { said: 'We open at nine.', error: undefined })
  }
  stream(say('Yes, '), say('we '), chunk({ content: '' }, 'stop'), say('open.'), DONE)
  t.match(await ask(), { said: 'Yes, we open.', error: undefined })

  stream(call('find', '{"city":', 'a'), CALLS, call(undefined, '"Kiel"}'), DONE)
  server.next('Done.')
  t.match(await ask(), { said: 'Done.' })
  t.strictSame(ran, ['Kiel'])
})

t.test('a turn that is aborted behind finish_reason ends quietly', async t => {
  const { stream, ask } = await setup(t)
  const turn = fakeTurn()
  stream(say('Yes.'), STOP, STALL)
  const answer = ask({ ...turn, call: { ...turn.call, countTokens: () => { turn.abort() } } })
  t.match(await answer, { error: undefined })
})

t.test('a connection that breaks within an answer is a failure', async t => {
  const { stream, ask } = await setup(t)
  stream(say('We open '), CUT)
  t.match(await ask(), { said: 'We open ', error: { code: 'UND_ERR_SOCKET' } })
})

// Words

const thinking = { type: 'thinking', thinking: [{ type: 'text', text: '12 * 12 is 144.' }] }

for (const [name, body, said] of [
  ['content is a list of parts', say([thinking, { type: 'text', text: '1' }]) + chunk({ content: '44' }, 'stop') + DONE, '144'],
  ['content is a list of several parts', say([{ type: 'text', text: 'One ' }, thinking, { type: 'text', text: 'two' }, null, { type: 'text' }]) + STOP + DONE, 'One two'],
  ['events are one line end apart', (say('We ') + say('open.') + STOP + DONE).replaceAll('\n\n', '\n'), 'We open.'],
  ['lines end in CR', (say('We ') + say('open.') + STOP + DONE).replaceAll('\n', '\r'), 'We open.'],
  ['the server pings', 'data: ping\n\n' + say('We ') + 'data: keep-alive\n\n' + say('open.') + STOP + DONE, 'We open.'],
  ['the answer does not stream', JSON.stringify({ object: 'chat.completion', choices: [{ message: { content: 'We open.' }, finish_reason: 'stop' }] }), 'We open.'],
  ['the answer does not stream, and is written in lines', JSON.stringify({ choices: [{ message: { content: 'We open.' }, finish_reason: 'stop' }] }, null, 2), 'We open.'],
  ['the answer is one event', event({ choices: [{ message: { content: 'We open.' }, finish_reason: 'stop' }] }) + DONE, 'We open.'],
  ['the whole message comes once more at the end', say('We ') + say('open.') + event({ choices: [{ message: { content: 'We open.' }, finish_reason: 'stop' }] }) + DONE, 'We open.'],
  ['chunks are lines of JSON', (say('We ') + say('open.') + STOP).replaceAll(/data: |\n\n/g, text => text === '\n\n' ? '\n' : ''), 'We open.'],
  ['chunks are in lists', `data: [${JSON.stringify({ choices: [{ delta: { content: 'We open.' } }] })}]\n\n` + STOP + DONE, 'We open.'],
  ['every chunk has an empty list of tool calls', chunk({ content: 'We ', tool_calls: [] }) + chunk({ content: 'open.', tool_calls: [] }) + STOP + DONE, 'We open.'],
  ['finish_reason is the text null', chunk({ content: 'We ' }, 'null') + chunk({ content: 'open.' }, 'null') + STOP + DONE, 'We open.']
] as const) {
  t.test(`the words are heard when ${name}`, async t => {
    const { stream, ask } = await setup(t)
    stream(body)
    t.match(await ask(), { said, error: undefined })
  })
}

for (const [name, ahead] of [
  ['words', say('Sure.')],
  ['words and the same call in pieces', say('Sure.') + chunk({ tool_calls: [{ index: 0, id: 'call_1', function: { name: 'find', arguments: '{"city":"Kiel"}' } }] })],
  ['the same call in pieces', chunk({ tool_calls: [{ index: 0, id: 'call_1', function: { name: 'find', arguments: '{"city":"Kiel"}' } }] })]
] as const) {
  t.test(`a call in the whole message behind ${name} runs once`, async t => {
    const { stream, ask, ran } = await setup(t)
    const message = { content: 'Sure.', tool_calls: [{ id: 'call_1', function: { name: 'find', arguments: '{"city":"Kiel"}' } }] }
    stream(ahead + event({ choices: [{ message, finish_reason: 'tool_calls' }] }) + DONE)
    stream(say(' Yes.') + STOP + DONE)
    t.match(await ask(), { said: name.startsWith('words') ? 'Sure. Yes.' : ' Yes.', error: undefined })
    t.strictSame(ran, ['Kiel'])
  })
}

t.test('a completion that does not stream may call tools', async t => {
  const { server, stream, ask, ran } = await setup(t)
  stream(JSON.stringify({ choices: [{ message: { content: null, tool_calls: [{ id: 'a', type: 'function', function: { name: 'find', arguments: '{"city":"Kiel"}' } }] }, finish_reason: 'tool_calls' }] }))
  server.next('Done.')
  t.match(await ask(), { said: 'Done.' })
  t.strictSame(ran, ['Kiel'])
})

// Tool calls that are none

for (const [name, calls] of [['an empty list', []], ['null', null], ['an empty call', [{}]], ['a call without a name', [{ index: 0, id: 'a', function: { arguments: '{}' } }]]] as const) {
  t.test(`${name} in each chunk is no tool call`, async t => {
    const { stream, ask, ran } = await setup(t)
    stream(chunk({ content: 'We open **', tool_calls: calls }), chunk({ content: 'nine', tool_calls: calls }), chunk({ content: '** sharp.', tool_calls: calls }), STOP, DONE)
    t.strictSame(await ask(), { said: 'We open nine sharp.', actions: [], error: undefined })
    t.strictSame(ran, [])

    stream(chunk({ reasoning_content: 'hm', tool_calls: calls }), STOP, DONE)
    t.match(await ask(), { said: '', actions: [], error: { message: 'The model answered nothing' } })
  })
}

// Failures

for (const reason of ['error', 'abort', 'network_error', 'insufficient_system_resource', 'something else']) {
  t.test(`half an answer that ends in the finish_reason ${reason} is a failure`, async t => {
    const { stream, ask } = await setup(t)
    stream(say('We open '), chunk({}, reason), DONE)
    const name = reason === 'something else' ? 'other' : reason
    t.match(await ask(), { said: 'We open ', error: { code: 'VOICE_AGENT_ERR_MODEL', message: `The model broke off its answer, with the finish_reason ${name}` } })
  })
}

t.test('an error behind a finish_reason that is a failure is its cause', async t => {
  const { stream, ask } = await setup(t)
  stream(say('We open '), chunk({}, 'error'), event({ error: { message: 'down', code: 'E5' } }))
  t.match(await ask(), { said: 'We open ', error: { cause: { code: 'E5' } } })
})

for (const [reason, message] of [['SAFETY', 'The model was stopped by its content filter'], ['sensitive', 'The model was stopped by its content filter'], ['MAX_TOKENS', 'The model answered nothing within its token limit']]) {
  t.test(`the finish_reason ${reason} is known`, async t => {
    const { stream, ask } = await setup(t)
    stream(chunk({}, reason!), DONE)
    t.match(await ask(), { said: '', error: { message } })
  })
}

for (const [name, frame, message] of [
  ['an error event', 'event: error\ndata: {"message":"Overloaded"}\n\n', 'Overloaded'],
  ['an error field', 'error: {"code":500,"message":"Overloaded"}\n\n', 'Overloaded'],
  ['a list', event([{ error: { message: 'Overloaded' } }]), 'Overloaded'],
  ['a list of errors', event({ errors: [{ message: 'Overloaded' }] }), '[{"message":"Overloaded"}]'],
  ['bare JSON', '{"error":{"message":"Overloaded"}}\n', 'Overloaded'],
  ['text', event({ error: 'Overloaded' }), 'Overloaded'],
  ['a line of text', 'data: Error: Overloaded\n\n', 'Error: Overloaded'],
  ['an object of the kind error', event({ object: 'error', message: 'Overloaded', choices: [] }), 'Overloaded'],
  ['a detail', event({ detail: 'Overloaded' }), 'Overloaded'],
  ['a message', event({ code: 503, message: 'Overloaded' }), 'Overloaded'],
  ['a member of its choice', event({ choices: [{ delta: {}, finish_reason: 'error', error: { message: 'Overloaded' } }] }), 'Overloaded']
] as const) {
  t.test(`an error in mid-stream may be ${name}`, async t => {
    const { stream, ask } = await setup(t)
    stream(say('We open '), frame, STALL)
    const { said, error } = await ask()
    t.equal(said, 'We open ')
    t.type(error, APIError)
    t.match(error, { message })
  })
}

t.test('an error that the end of the response completes is a failure', async t => {
  const { stream, ask } = await setup(t)
  stream(say('We open '), '{\n"error": {"message": "Overloaded"}\n}\n')
  t.match(await ask(), { said: 'We open ', error: { message: 'Overloaded' } })
  stream(event({ choices: [] }), say('We open ') + 'data: {"error":{"message":"Overloaded"}}')
  t.match(await ask(), { said: 'We open ', error: { message: 'Overloaded' } })
})

// No stream

for (const [name, type, body, message] of [
  ['a page', 'text/html; charset=utf-8', '<!doctype html>\n{\n{"a":1}\n', 'HTTP 200 with text/html and no stream of events'],
  ['an error', 'application/json', '{"error":{"message":"quota exceeded","code":429}}', 'HTTP 200 with application/json and no stream of events, but the error code 429'],
  ['an error without a code', 'application/json', '{"error":{"message":"quota exceeded","type":"rate_limit"}}', 'HTTP 200 with application/json and no stream of events, but the error code rate_limit'],
  ['an error with a code that is a text', 'a b', '{"error":{"message":"x","code":"I said so"}}', 'HTTP 200 with unknown and no stream of events'],
  ['compressed bytes', 'text/event-stream', Buffer.from([0x1f, 0x8b, 8, 0, 0]).toString('latin1'), 'HTTP 200 with text/event-stream and no stream of events'],
  ['nothing', 'text/event-stream', '', 'HTTP 200 with text/event-stream and no stream of events'],
  ['broken JSON', 'application/json', '{"error":', 'HTTP 200 with application/json and no stream of events']
] as const) {
  t.test(`a 200 that is ${name} is a failure that names status, type and code`, async t => {
    const { server, ask } = await setup(t)
    server.next({ status: 200, headers: { 'content-type': type }, body })
    t.match(await ask(), { said: '', error: { code: 'VOICE_AGENT_ERR_MODEL', message: `The model answered ${message}` } })
  })
}

t.test('a filter that answers 200 and no stream is the filter', async t => {
  const { server, ask } = await setup(t)
  server.next({ status: 200, body: { error: { message: 'x', code: 'content_filter' } } })
  t.match(await ask(), { error: { message: 'The model was stopped by its content filter' } })
})
