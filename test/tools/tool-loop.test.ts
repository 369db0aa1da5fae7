/**
 * The OpenAI agent with tools: what is asked, what is run, what is said, over both providers and a model on the loopback.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import type { Speech, ToolAction, Turn } from '../../lib/contract/agent.js'
import { endCallTool, pressDigitsTool } from '../../lib/tools/call-tools.js'
import { failover } from '../../lib/agents/failover/failover.js'
import { openAIAgent, type OpenAIAgentOptions } from '../../lib/agents/openai/agent.js'
import { runTool } from '../../lib/tools/run-tool.js'
import { tool, type ToolContext, type ToolOptions } from '../../lib/tools/tool.js'
import { ToolError } from '../../lib/contract/errors.js'
import { deferred } from '../helpers/app.js'
import { APOLOGY, openCall, tick, toMillis, toRetell } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'
import { fakeTurn } from '../helpers/fake-turn.js'
import { calling, messagesOf, openLine, wordsOf } from '../helpers/model-line.js'
import { failures, hold, startScriptedModel, STALL, toolCallChunk, type Hold, type Script } from '../../lib/testing/scripted-model.js'
import { messageFaults } from '../helpers/valid-messages.js'

const PROVIDERS = ['retell', 'millis'] as const

const Day = Type.Object({ day: Type.String() })

/** One run of a tool, in the test's hands. */
interface Run extends ReturnType<typeof deferred<unknown>> {
  readonly args: unknown
  readonly context: ToolContext
}

/** A tool of which the test decides what comes of each run, and when. */
function heldTool (options: Partial<ToolOptions<typeof Day>> = {}) {
  const runs: Run[] = []
  let wake = (): void => {}
  const held = tool({
    name: 'book',
    description: 'Books a day.',
    parameters: Day,
    filler: '',
    execute (args, context) {
      const run = { ...deferred<unknown>(), args, context }
      runs.push(run)
      wake()
      return run.promise
    },
    ...options
  })
  const began = async (count: number): Promise<Run> => {
    while (runs.length < count) await new Promise<void>(resolve => { wake = resolve })
    return runs[count - 1]!
  }
  return { tool: held, runs, began }
}

const TUESDAY = 'book({"day":"tue"})'

async function say (agent: (turn: Turn) => AsyncIterable<Speech>, turn: Turn = fakeTurn()): Promise<Speech[]> {
  const pieces: Speech[] = []
  for await (const piece of agent(turn)) pieces.push(piece)
  return pieces
}

async function openModel (t: Test, options: OpenAIAgentOptions) {
  const server = await startScriptedModel()
  t.teardown(() => server.close())
  const agent = openAIAgent({ baseURL: server.url, instructions: '', ...options })
  t.teardown(() => agent.close())
  return { server, agent }
}

const lookUp = (execute: ToolOptions<typeof Day>['execute'] = ({ day }) => `free on ${day}`, more: Partial<ToolOptions<typeof Day>> = {}) =>
  tool({ name: 'look', description: 'Looks a day up.', parameters: Day, sideEffects: false, filler: '', execute, ...more })

// What is asked, and in what order things happen

t.test('the model gets the tools, and no tool members if there are none', async t => {
  const book = heldTool({ strict: true, say: { parameter: 'message' } }).tool
  const { server, agent } = await openModel(t, { tools: [lookUp(), book], parallelToolCalls: false, toolChoice: { name: 'look' } })
  await say(agent)
  t.match(server.requests[0]!.body, { tool_choice: { type: 'function', function: { name: 'look' } }, parallel_tool_calls: false })
  t.strictSame(server.requests[0]!.body['tools'], [
    {
      type: 'function',
      function: {
        name: 'look',
        description: 'Looks a day up.',
        parameters: { type: 'object', properties: { day: { type: 'string' } }, required: ['day'] }
      }
    },
    {
      type: 'function',
      function: {
        name: 'book',
        description: 'Books a day.',
        strict: true,
        parameters: {
          type: 'object',
          additionalProperties: false,
          properties: {
            message: {
              type: 'string', description: 'Spoken to the caller while this runs: one short sentence, in the language of the call.'
            },
            day: { type: 'string' }
          },
          required: ['message', 'day']
        }
      }
    }
  ])
  const plain = await openModel(t, {})
  await say(plain.agent)
  t.strictSame(Object.keys(plain.server.requests[0]!.body).sort(), ['messages', 'model', 'stream'])
})

t.test('on Retell the holding line, the call, its result and the answer follow one another under one id', async t => {
  const { tool: book, began } = heldTool({ say: ({ day }) => `I am booking ${day}.` })
  const { server, line, ask } = await openLine(t, 'retell', [book])
  server.next(calling(TUESDAY), ['It is ', 'booked.'])
  ask(1, 'Tuesday')
  const run = await began(1)
  const before = [
    toRetell.speech(1, 'I am booking tue. '),
    { response_type: 'tool_call_invocation', tool_call_id: 'call_book_0', name: 'book', arguments: '{"day":"tue"}' }
  ]
  t.strictSame(line.frames, before)
  run.resolve({ at: 9 })
  await line.completed(1)
  t.strictSame(line.frames, [
    ...before,
    { response_type: 'tool_call_result', tool_call_id: 'call_book_0', content: '{"at":9}', successful: true },
    toRetell.speech(1, 'It is '),
    ...line.frames.slice(4)
  ])
  t.equal(wordsOf(line.frames, 1), 'I am booking tue. It is booked.')
  t.strictSame(messagesOf(server.requests[1]!), [
    { role: 'user', content: 'Tuesday' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_book_0', type: 'function', function: { name: 'book', arguments: '{"day":"tue"}' } }]
    },
    { role: 'tool', tool_call_id: 'call_book_0', content: '{"at":9}' }
  ])
})

t.test('on Millis the holding line is spoken at once, and so are the model\'s own words', async t => {
  const { tool: book, began } = heldTool({ say: 'Let me see.' })
  const { server, line, ask, said } = await openLine(t, 'millis', [book])
  server.next(calling(TUESDAY), ['Done.'], { steps: ['I will', ...calling('book({"day":"wed"})').steps] }, ['Done.'])
  ask(1, 'Tuesday')
  ;(await began(1)).resolve('ok')
  await line.completed(1)
  t.strictSame(
    line.frames.splice(0), [toMillis.speech(1, 'Let me see. ', { flush: true }), toMillis.speech(1, 'Done.'), toMillis.complete(1)]
  )
  ask(2, 'Wednesday')
  ;(await began(2)).resolve('ok')
  await line.completed(2)
  t.strictSame(line.frames, [toMillis.speech(2, 'I will'), toMillis.speech(2, '', { flush: true }), ...line.frames.slice(2)])
  t.equal(said(2), 'I will Done.')
})

t.test('a spoken parameter is spoken, and is not an argument', async t => {
  const { tool: book, began } = heldTool({ say: { parameter: 'message' } })
  const { server, line, ask, said } = await openLine(t, 'retell', [book])
  server.next(calling('book({"message":"One second, please.","day":"tue"})'), ['Done.'])
  ask(1, 'Tuesday')
  const run = await began(1)
  t.strictSame(run.args, { day: 'tue' })
  run.resolve('ok')
  await line.completed(1)
  t.equal(said(1), 'One second, please. Done.')
})

t.test('a line function that fails is logged, and the tool runs', async t => {
  const { tool: book, began } = heldTool({ say: () => { throw new Error('Noor') } })
  const { server, line, ask, said } = await openLine(t, 'retell', [book])
  server.next(calling(TUESDAY), ['Done.'])
  ask(1, 'Tuesday')
  ;(await began(1)).resolve('ok')
  await line.completed(1)
  t.equal(said(1), 'Done.')
  t.match(line.complaints, [{ level: 50, msg: 'the line of tool book function failed' }])
  t.notMatch(JSON.stringify(line.complaints), /Noor/)
})

t.test('several tools run at the same time, one line is spoken for all, and results keep the order of the calls', async t => {
  const book = heldTool()
  const look = heldTool({ name: 'look', say: 'I am looking.' })
  const call = heldTool({ name: 'call', say: 'I am calling.' })
  const { server, line, ask, said } = await openLine(t, 'retell', [book.tool, look.tool, call.tool])
  server.next(calling(TUESDAY, 'look({"day":"wed"})', 'call({"day":"thu"})'), ['Done.'])
  ask(1, 'Tuesday')
  ;(await call.began(1)).resolve('C')
  ;(await look.began(1)).resolve('B')
  await line.wrote(frame => frame['content'] === 'B')
  ;(await book.began(1)).resolve('A')
  await line.completed(1)
  t.equal(said(1), 'I am looking. Done.')
  t.strictSame(
    line.frames.filter(frame => frame['tool_call_id']).map(frame => frame['content'] ?? frame['name']),
    ['book', 'look', 'call', 'C', 'B', 'A']
  )
  t.strictSame(messagesOf(server.requests[1]!).slice(2).map(({ content }) => content), ['A', 'B', 'C'])
})

t.test('the same call twice in one answer runs once, and is answered twice', async t => {
  const { tool: book, runs, began } = heldTool()
  const { server, line, ask } = await openLine(t, 'retell', [book])
  server.next(calling(TUESDAY, 'book({ "day": "tue", "made_up": 1 })'), ['Done.'])
  ask(1, 'Tuesday')
  ;(await began(1)).resolve('booked')
  await line.completed(1)
  t.equal(runs.length, 1)
  t.strictSame(
    messagesOf(server.requests[1]!).slice(2).map(({ content }) => content),
    ['booked', 'booked\n(Run only once: this is the same call as before.)']
  )
  t.strictSame(messageFaults(messagesOf(server.requests[1]!)), [])
})

t.test('ids that a server repeats or leaves out are replaced', async t => {
  const look = lookUp()
  const { server, line, ask } = await openLine(t, 'retell', [look])
  const noIds: Script = { steps: [toolCallChunk({ index: 0, id: '', function: { name: 'look', arguments: '{"day":"thu"}' } })] }
  server.next(calling('look({"day":"tue"})'), calling('look({"day":"wed"})'), ['Done.'], calling('look({"day":"tue"})'), noIds, ['Done.'])
  ask(1, 'Tuesday')
  await line.completed(1)
  ask(2, 'Tuesday', 'Done.', 'Again')
  await line.completed(2)
  const ids = line.frames.filter(frame => frame['response_type'] === 'tool_call_invocation').map(frame => frame['tool_call_id'])
  t.equal(new Set(ids).size, 4)
  for (const request of server.requests) t.strictSame(messageFaults(messagesOf(request)), [])
})

for (const [id, name] of [
  ['functions.look:0', 'look'], ['functions.look:0', 'functions.look'], [`functions.${'x'.repeat(40)}:12`, 'look<|channel|>commentary'],
  ['call.1', ' look']
] as const) {
  t.test(`a tool that is called as ${name} runs, and the id ${id} comes back`, async t => {
    const { server, agent } = await openModel(t, { tools: [lookUp()] })
    server.next({ steps: [toolCallChunk({ index: 0, id, type: 'function', function: { name, arguments: '{"day":"tue"}' } })] }, ['Done.'])
    await say(agent)
    const [, call, result] = messagesOf(server.requests[1]!)
    t.match(call, { tool_calls: [{ id, function: { name: 'look' } }] })
    t.match(result, { role: 'tool', tool_call_id: id })
    t.notMatch(result, { content: /error/ })
  })
}

t.test('the model server\'s own members come back to it', async t => {
  const { server, agent } = await openModel(t, { tools: [lookUp()] })
  const chunk = {
    index: 0,
    id: 'call_1',
    type: 'function' as const,
    function: { name: 'look', arguments: '{"day":"tue"}' },
    extra_content: { google: { thought_signature: 'abc' } }
  }
  server.next({ steps: [toolCallChunk(chunk)] }, ['Done.'])
  await say(agent)
  t.match(messagesOf(server.requests[1]!)[1], { tool_calls: [{ id: 'call_1', extra_content: { google: { thought_signature: 'abc' } } }] })
})

t.test('for wrong, invalid, truncated or invented calls the model gets an error, and nothing runs', async t => {
  const { tool: book, runs } = heldTool()
  const noted = tool({
    name: 'note',
    description: 'Notes.',
    parameters: Type.Object({ text: Type.Optional(Type.String()) }),
    execute: () => { runs.push(undefined!) }
  })
  const { server, line, ask, said } = await openLine(t, 'retell', [book, noted])
  server.next(
    calling('book({"day":5})', 'book({"day":)', 'brew({"cups":2})'),
    { ...calling('note()'), finishReason: 'length' },
    ['Sorry.'])
  ask(1, 'Tuesday')
  await line.completed(1)
  t.strictSame(runs, [])
  const errors = messagesOf(server.requests[2]!).filter(({ role }) => role === 'tool').map(({ content }) => JSON.parse(String(content)).error)
  t.strictSame(errors, [
    'the arguments do not fit: /day: Expected string',
    'the arguments are not a JSON object',
    'there is no such tool; there are: book, note',
    'the arguments are not a JSON object'
  ])
  t.strictSame(messageFaults(messagesOf(server.requests[2]!)), [])
  t.equal(said(1), 'Sorry.')
  t.strictSame(
    line.frames.filter(frame => frame['response_type'] === 'tool_call_result').map(({ successful }) => successful),
    [false, false, false, false]
  )
  // What is recorded is JSON, whatever the model wrote.
  for (const frame of line.frames) if (frame['arguments'] !== undefined) JSON.parse(frame['arguments'])
})

t.test('a tool call of a model without tools counts as no answer', async t => {
  const { server, agent } = await openModel(t, {})
  server.next(calling(TUESDAY))
  await t.rejects(say(agent), { code: 'VOICE_AGENT_ERR_MODEL' })
})

t.test('a forced choice applies to the first step; in the last one no tool may be called', async t => {
  const { server, agent } = await openModel(t, { tools: [lookUp()], toolChoice: 'required', maxSteps: 3 })
  server.next(calling('look({"day":"tue"})'), calling('look({"day":"wed"})'), ['Done.'])
  t.strictSame((await say(agent)).at(-1), 'Done.')
  t.strictSame(server.requests.map(({ body }) => body['tool_choice']), ['required', undefined, 'none'])
  const never = await openModel(t, { tools: [lookUp()], toolChoice: 'none' })
  await say(never.agent)
  t.equal(never.server.requests[0]!.body['tool_choice'], 'none')
})

t.test('a model that never stops calling tools is stopped, and the caller hears the fallback', async t => {
  let runs = 0
  const { server, line, ask, said } = await openLine(t, 'retell', [lookUp(() => { runs++ })])
  server.handler = () => calling('look({"day":"tue"})')
  ask(1, 'Tuesday')
  await line.completed(1)
  t.equal(server.requests.length, 6)
  t.equal(runs, 5)
  t.equal(said(1), APOLOGY)
  t.match(line.complaints, [{ err: { code: 'VOICE_AGENT_ERR_MODEL' }, msg: 'agent failed' }])
  // Also where it said something itself.
  server.handler = () => ({ steps: ['Well, ', ...calling('look({"day":"tue"})').steps] })
  ask(2, 'Tuesday')
  await line.completed(2)
  t.equal(said(2), `Well, Well, Well, Well, Well, Well, ${APOLOGY}`)
})

t.test('the fallback is spoken if the model is silent after its tools, even if it had announced them', async t => {
  const { server, line, ask, said } = await openLine(t, 'retell', [lookUp()])
  server.next(calling('look({"day":"tue"})'), [], { steps: ['It is free. ', ...calling('look({"day":"tue"})').steps] }, [])
  ask(1, 'Tuesday')
  await line.completed(1)
  t.equal(said(1), APOLOGY)
  ask(2, 'Tuesday')
  await line.completed(2)
  t.equal(said(2), `It is free. ${APOLOGY}`)
})

t.test('the fallback is spoken if the model fails after its tools, and the tools do not run again', async t => {
  const { tool: book, runs, began } = heldTool()
  const { server, line, ask, said } = await openLine(t, 'retell', [book])
  server.next(calling(TUESDAY), failures.serverError, calling(TUESDAY), ['Booked.'])
  ask(1, 'Tuesday')
  ;(await began(1)).resolve('booked')
  await line.completed(1)
  t.equal(said(1), APOLOGY)
  ask(2, 'Tuesday', APOLOGY, 'Well?')
  await line.completed(2)
  t.equal(said(2), 'Booked.')
  t.equal(runs.length, 1)
  t.strictSame(messagesOf(server.requests[2]!).map(({ role, content }) => [role, content]), [
    ['user', 'Tuesday'], ['assistant', null], ['tool', 'booked'], ['user', 'Well?']
  ])
})

// The end of a call, and what a provider cannot do

t.test('the model hangs up after a goodbye, once the other tools are done', async t => {
  for (const provider of PROVIDERS) {
    const { tool: book, began } = heldTool()
    const { server, line, ask } = await openLine(t, provider, [book, endCallTool()])
    server.next(calling('end_call({"message":"Goodbye!"})', TUESDAY))
    ask(1, 'Tuesday, and bye')
    ;(await began(1)).resolve('ok')
    await line.completed(1)
    if (provider === 'retell') {
      t.strictSame(
        line.frames.at(-1), toRetell.complete(1, 'Goodbye!', { end_call: true, no_interruption_allowed: true })
      )
    } else {
      line.receive(millis.played(1))
      t.strictSame(line.frames, [toMillis.complete(1, 'Goodbye!'), toMillis.endCall(1)])
    }
    t.equal(server.requests.length, 1)
  }
})

t.test('of two actions in one answer the first is carried out, and the other revoked', async t => {
  const { server, line, ask } = await openLine(t, 'retell', [endCallTool(), pressDigitsTool()])
  server.next(calling('press_digits({"digits":"1"})', 'end_call({"message":"Goodbye!"})'), ['Well?'])
  ask(1, 'For sales press 1')
  await line.completed(1)
  t.strictSame(line.frames.at(-1), toRetell.complete(1, '', { digit_to_press: '1' }))
  ask(2, 'For sales press 1', 'Sales, hello?')
  await line.completed(2)
  t.match(
    messagesOf(server.requests[1]!).filter(({ role }) => role === 'tool').map(({ content }) => content),
    [/^Requested/, '{"error":"not done: another action ends the turn"}']
  )
})

t.test('an end that the caller interrupted did not happen, and the model learns that', async t => {
  const { server, line, ask } = await openLine(t, 'retell', [endCallTool()])
  server.next(calling('end_call({"message":"Goodbye!"})'), ['Sure.'])
  ask(1, 'Bye')
  await line.completed(1)
  ask(2, 'Bye', 'Good', 'Wait, one more thing')
  await line.completed(2)
  t.strictSame(messagesOf(server.requests[1]!).map(({ role, content }) => [role, content]), [
    ['user', 'Bye'],
    ['assistant', null],
    ['tool', 'Requested. It takes place once you were heard to the end; if the caller speaks first it does not.'],
    ['assistant', 'Good'],
    ['user', 'Wait, one more thing']
  ])
})

t.test('digits are pressed on Retell; on Millis the model learns that it cannot, and goes on', async t => {
  const pressing = calling('press_digits({"digits":"1"})')
  const onRetell = await openLine(t, 'retell', [pressDigitsTool()])
  onRetell.server.next(pressing)
  onRetell.ask(1, 'For sales press 1')
  await onRetell.line.completed(1)
  t.strictSame(onRetell.line.frames.at(-1), toRetell.complete(1, '', { digit_to_press: '1' }))

  const onMillis = await openLine(t, 'millis', [pressDigitsTool()])
  onMillis.server.next(pressing, ['Can you press it?'], ['Well?'])
  onMillis.ask(1, 'For sales press 1')
  await onMillis.line.completed(1)
  t.equal(onMillis.said(1), 'Can you press it?')
  onMillis.ask(2, 'For sales press 1', 'Can you press it?', 'No')
  await onMillis.line.completed(2)
  for (const { body } of onMillis.server.requests.slice(1)) {
    t.match(
      body.messages[2], { role: 'tool', content: '{"error":"not done: not possible in this call"}' }
    )
  }
})

// No dead air

t.test('a slow tool gets one filler, which is not history, and after its timeout the model goes on', async t => {
  const clock = useClock(t)
  for (const provider of PROVIDERS) {
    const { tool: book, began } = heldTool({ filler: 'Still working on it.', fillerMs: 2_000, timeoutMs: 9_000 })
    const { server, line, ask, said } = await openLine(t, provider, [book], { deadlines: { firstTokenMs: 5_000, tokenGapMs: 3_000 } })
    server.next(calling(TUESDAY), ['It takes longer than usual.'], ['Well?'])
    ask(1, 'Tuesday')
    const { context: { signal } } = await began(1)
    await clock.pass(1_999)
    t.equal(said(1), '')
    await clock.pass(1)
    t.equal(said(1), 'Still working on it. ')
    await clock.pass(6_999)
    t.notOk(signal.aborted)
    await clock.pass(1)
    await line.completed(1)
    t.match(signal.reason, { name: 'DeadlineError', deadline: 'tool', ms: 9_000 })
    t.equal(said(1), 'Still working on it. It takes longer than usual.')
    const result = '{"error":"no result within 9000 ms: whether it took effect is not known"}'
    t.match(server.requests[1]!.body.messages[2], { role: 'tool', content: result })
    ask(2, 'Tuesday', said(1), 'Hm')
    await line.completed(2)
    t.strictSame(
      messagesOf(server.requests[2]!).map(({ content }) => content), ['Tuesday', null, result, 'It takes longer than usual.', 'Hm']
    )
  }
})

t.test('the filler waits for the estimated end of the words before it', async t => {
  const clock = useClock(t)
  const { tool: book, began } = heldTool({ filler: ({ day }) => `Still at ${day}.`, say: 'I am looking into that.' })
  const { server, line, ask, said } = await openLine(t, 'retell', [book])
  server.next(calling(TUESDAY), ['Done.'])
  ask(1, 'Tuesday')
  const run = await began(1)
  await clock.pass(2_000 + 23 * 65 - 1)
  t.equal(said(1), 'I am looking into that. ')
  await clock.pass(1)
  t.equal(said(1), 'I am looking into that. Still at tue. ')
  run.resolve('ok')
  await line.completed(1)
  t.equal(clock.left(), 1, 'that of the spare connection to the model')
})

t.test('a tool has a default filler, and none if its own is empty or fails', async t => {
  const clock = useClock(t)
  const own = {
    execute: () => new Promise(() => {}), timeoutMs: 4_000, description: 'Waits.', parameters: Type.Object({}), sideEffects: false
  }
  for (const [filler, line] of [[undefined, 'One moment, please. '], ['', ''], [() => { throw new Error('Noor') }, '']] as const) {
    const waiting = tool({ ...own, name: 'wait', ...(filler !== undefined && { filler }) })
    const call = await openLine(t, 'retell', [waiting])
    call.server.next(calling('wait({})'), ['Done.'])
    call.ask(1, 'Tuesday')
    await call.line.wrote(frame => frame['response_type'] === 'tool_call_invocation')
    await tick()
    await clock.pass(2_000)
    t.equal(call.said(1), line)
    await clock.pass(2_000)
    await call.line.completed(1)
  }
})

// Races: whatever moment the caller chooses, nothing is done twice and nothing that was done is lost

/** A moment in the answer to a request that ends in one run of `book`. */
interface Moment {
  /** What the model does in the first turn; it waits for `held`. */
  scripts (held: Hold): Script[]
  /** What the test waits for before the caller speaks again. */
  reached (line: Awaited<ReturnType<typeof openLine>>, began: (count: number) => Promise<Run>): Promise<unknown>
  /** Has the tool begun by then? */
  begun: boolean
  /** And come to its end? */
  done?: boolean
}

const moments: Record<string, Moment> = {
  'before the model answers': {
    scripts: held => [{ before: held, steps: [] }],
    reached: ({ server }) => once(server.events, 'request'),
    begun: false
  },
  'while the model speaks ahead of its call': {
    scripts: held => [{ steps: ['Let me ', held, ...calling(TUESDAY).steps] }],
    reached: ({ line, said }) => line.wrote(() => said(1) === 'Let me '),
    begun: false
  },
  'while the model writes its call': {
    scripts: held => [{
      steps: [
        'Hm ', toolCallChunk({ index: 0, id: 'call_a', function: { name: 'book', arguments: '{"day":' } }), 'so ', held,
        toolCallChunk({ index: 0, function: { arguments: '"tue"}' } })
      ]
    }],
    reached: ({ line, said }) => line.wrote(() => said(1) === 'Hm so '),
    begun: false
  },
  'when the call is written and the answer is not at its end': {
    scripts: held => [{ steps: [...calling(TUESDAY).steps, 'now ', held] }],
    reached: ({ line, said }) => line.wrote(() => said(1) === 'now '),
    begun: false
  },
  'while the tool runs': {
    scripts: () => [calling(TUESDAY)],
    reached: (_line, began) => began(1),
    begun: true
  },
  'when the tool is done and the model has not answered': {
    scripts: held => [calling(TUESDAY), { before: held, steps: [] }],
    reached: async ({ server }, began) => {
      ;(await began(1)).resolve('booked')
      while (server.requests.length < 2) await once(server.events, 'request')
    },
    begun: true,
    done: true
  },
  'while the model speaks about it': {
    scripts: held => [calling(TUESDAY), ['It is ', held, 'booked.']],
    reached: async ({ line, said }, began) => {
      ;(await began(1)).resolve('booked')
      await line.wrote(() => said(1).endsWith('It is '))
    },
    begun: true,
    done: true
  },
  'when all was said': {
    scripts: () => [calling(TUESDAY), ['It is booked.']],
    reached: async ({ line }, began) => {
      ;(await began(1)).resolve('booked')
      await line.completed(1)
    },
    begun: true,
    done: true
  }
}

for (const provider of PROVIDERS) {
  for (const onSupersede of ['finish', 'cancel'] as const) {
    for (const [when, { scripts, reached, begun, done = false }] of Object.entries(moments)) {
      t.test(`${provider}, ${onSupersede}: superseded ${when}, and asked for the same again, the tool runs once`, async t => {
        const { tool: book, runs, began } = heldTool({ onSupersede, say: 'Booking. ' })
        const call = await openLine(t, provider, [book])
        const { server, line, ask, said } = call
        const held = hold()
        t.teardown(() => held.release())
        server.next(...scripts(held))
        ask(1, 'Tuesday')
        await reached(call, began)
        const saidBefore = said(1)
        const cancelled = server.requests.length === 0 || done || begun ? undefined : once(server.events, 'cancelled')
        t.equal(runs.length, begun ? 1 : 0)

        server.next(calling(TUESDAY), ['Tuesday it is.'])
        ask(2, 'Tuesday please')
        await cancelled
        held.release()
        if (begun && !done) {
          const { context: { signal }, resolve } = runs[0]!
          t.equal(signal.aborted, onSupersede === 'cancel')
          // The model has asked for it again, and waits.
          await line.wrote(() => said(2) === 'Booking. ')
          await tick()
          // A tool that was told to stop and did its work all the same has done it.
          resolve('booked')
        } else if (!begun) {
          (await began(1)).resolve('booked')
        }
        await line.completed(2)

        t.equal(runs.length, 1)
        t.equal(said(1), saidBefore, 'not a word more of the older turn')
        t.equal(said(2), 'Booking. Tuesday it is.')
        for (const request of server.requests) t.strictSame(messageFaults(messagesOf(request)), [])
        const last = messagesOf(server.requests.at(-1)!)
        t.match(String(last.at(-1)!.content), /^booked/)
        // What was done is in it from then on.
        server.next(['Yes.'])
        ask(3, 'Tuesday please', 'Booking. Tuesday it is.', 'Sure?')
        await line.completed(3)
        const later = messagesOf(server.requests.at(-1)!)
        t.strictSame(messageFaults(later), [])
        const results = later.filter(({ role }) => role === 'tool').map(({ content }) => String(content))
        t.equal(results.length, begun ? 2 : 1)
        for (const result of results) t.match(result, /^booked/)
        t.strictSame(
          later.filter(({ role, content }) => role !== 'tool' && content !== null).map(({ content }) => content),
          ['Tuesday please', 'Tuesday it is.', 'Sure?']
        )
      })
    }

    t.test(`${provider}, ${onSupersede}: a look-up that was superseded while it ran is as good as none`, async t => {
      const { tool: look, runs, began } = heldTool({ name: 'look', sideEffects: false, onSupersede })
      const { server, line, ask, said } = await openLine(t, provider, [look])
      server.next(calling('look({"day":"tue"})'), calling('look({"day":"tue"})'), ['It is free.'])
      ask(1, 'Tuesday')
      const first = await began(1)
      ask(2, 'Tuesday please')
      if (onSupersede === 'cancel') {
        t.ok(first.context.signal.aborted)
        ;(await began(2)).resolve('free')
        first.resolve('too late')
      } else {
        first.resolve('free')
      }
      await line.completed(2)
      t.equal(runs.length, onSupersede === 'cancel' ? 2 : 1)
      t.equal(said(2), 'It is free.')
      t.equal(messagesOf(server.requests.at(-1)!).at(-1)!.content, 'free')
    })
  }

  t.test(`${provider}: a tool that failed may run again`, async t => {
    const { tool: book, runs, began } = heldTool()
    const { server, line, ask, said } = await openLine(t, provider, [book])
    server.next(calling(TUESDAY), ['It did not work.'], calling(TUESDAY), ['Booked.'])
    ask(1, 'Tuesday')
    ;(await began(1)).reject(provider === 'retell' ? new ToolError('the diary is closed') : new Error('connection lost'))
    await line.completed(1)
    t.equal(
      messagesOf(server.requests[1]!).at(-1)!.content,
      provider === 'retell' ? '{"error":"the diary is closed"}' : '{"error":"the tool failed"}'
    )
    ask(2, 'Tuesday', 'It did not work.', 'Again')
    ;(await began(2)).resolve('booked')
    await line.completed(2)
    t.equal(said(2), 'Booked.')
    // Whoever answers for that key would go on refusing.
    t.equal(runs[0]!.context.idempotencyKey === runs[1]!.context.idempotencyKey, provider === 'millis')
  })

  t.test(`${provider}: a connection that breaks while a tool runs loses nothing`, async t => {
    const { tool: book, runs, began } = heldTool()
    const call = await openLine(t, provider, [book], { reconnectGraceMs: 60_000 })
    const { server, line, ask } = call
    server.next(calling(TUESDAY))
    ask(1, 'Tuesday')
    const run = await began(1)
    line.hangUp(1006)
    t.notOk(run.context.signal.aborted)
    run.resolve('booked')
    await tick()
    const session = provider === 'millis' ? 'ses_1' : 'call_1'
    const again = openCall(
      t, provider, turn => { throw new Error(`turn ${turn.id} was asked of another agent`) },
      { calls: line.calls, id: session, reconnectGraceMs: 60_000 }
    )
    if (provider === 'millis') again.receive(millis.start(7))
    server.next(calling(TUESDAY), ['It is booked.'])
    again.receive(provider === 'retell' ? retell.request(2, 'Tuesday', 'Hm?') : millis.request(8, 'Tuesday', 'Hm?'))
    await again.completed(provider === 'retell' ? 2 : 8)
    t.equal(runs.length, 1)
    for (const request of server.requests) t.strictSame(messageFaults(messagesOf(request)), [])
    t.match(messagesOf(server.requests[1]!).filter(({ role }) => role === 'tool').map(({ content }) => content), ['booked'])
  })

  t.test(`${provider}: a caller who hangs up does not stop what is being done, and the app waits for it`, async t => {
    const { tool: book, began } = heldTool()
    const { server, line, ask } = await openLine(t, provider, [book])
    server.next(calling(TUESDAY))
    ask(1, 'Tuesday')
    const run = await began(1)
    line.hangUp(1000)
    t.notOk(run.context.signal.aborted)
    let settled = false
    const closing = line.hooks.settled().then(() => { settled = true })
    await tick()
    t.notOk(settled)
    run.resolve('booked')
    await closing
  })
}

t.test('a deadline of the turn stops a look-up, and the model is not asked again', async t => {
  const clock = useClock(t)
  const { tool: look, began } = heldTool({ name: 'look', sideEffects: false, timeoutMs: 60_000 })
  const { server, line, ask, said } = await openLine(t, 'retell', [look], { deadlines: { turnMs: 20_000 } })
  server.next(calling('look({"day":"tue"})'))
  ask(1, 'Tuesday')
  const { context: { signal } } = await began(1)
  await clock.pass(20_000)
  await line.completed(1)
  t.match(signal.reason, { name: 'AbortError', reason: 'deadline' })
  t.equal(said(1), APOLOGY)
  t.equal(server.requests.length, 1)
})

t.test('from the first tool call on no second model is asked', async t => {
  const clock = useClock(t)
  const { tool: book, runs, began } = heldTool()
  const { server, agent } = await openModel(t, { tools: [book] })
  const second = await openModel(t, { tools: [book] })
  const both = failover([agent, second.agent], { firstTokenMs: 1_000 })
  const line = openCall(t, 'retell', turn => both.call(undefined as never, turn))
  line.receive(retell.details())
  await line.completed(0)
  server.next(calling(TUESDAY), failures.serverError)
  line.receive(retell.request(1, 'Tuesday'))
  const run = await began(1)
  await clock.pass(5_000)
  run.resolve('booked')
  await line.completed(1)
  t.equal(wordsOf(line.frames, 1), APOLOGY)
  t.equal(runs.length, 1)
  t.equal(second.server.requests.length, 0)
})

t.test('a probe runs no tool', async t => {
  const clock = useClock(t)
  const { tool: book, runs } = heldTool()
  const { server, agent } = await openModel(t, { tools: [book] })
  const both = failover([agent, () => 'From the second.'], { firstTokenMs: 1_000, cooldownMs: 10_000 })
  const line = openCall(t, 'retell', turn => both.call(undefined as never, turn))
  line.receive(retell.details())
  await line.completed(0)
  server.next(failures.serverError, calling(TUESDAY))
  line.receive(retell.request(1, 'Tuesday'))
  await line.completed(1)
  await clock.pass(10_000)
  line.receive(retell.request(2, 'Tuesday'))
  await line.completed(2)
  while (!line.logs.some(({ msg }) => msg === 'agent is healthy again')) await tick()
  t.equal(server.requests.length, 2)
  t.strictSame(runs, [])
})

t.test('a probe runs no tool of an agent that uses runTool', async t => {
  const clock = useClock(t)
  const { tool: book, runs } = heldTool()
  const refusals: unknown[] = []
  let isBroken = true
  const own = async function * (turn: Turn) {
    if (isBroken) throw new Error('broken')
    yield runTool(turn, book, { day: 'tue' }).then(({ content }) => content, error => {
      refusals.push(error.code)
      return 'Hm.'
    })
  }
  const both = failover([own, () => 'From the second.'], { firstTokenMs: 1_000, cooldownMs: 10_000 })
  const line = openCall(t, 'retell', turn => both.call(undefined as never, turn))
  line.receive(retell.details(), retell.request(1, 'Tuesday'))
  await line.completed(1)
  isBroken = false
  await clock.pass(10_000)
  line.receive(retell.request(2, 'Tuesday'))
  await line.completed(2)
  while (!line.logs.some(({ msg }) => msg === 'agent is healthy again')) await tick()
  t.strictSame(refusals, ['VOICE_AGENT_ERR_CALL_ENDED'])
  t.strictSame(runs, [])
})

t.test('a turn that is superseded while its filler or last words wait says no more', async t => {
  const clock = useClock(t)
  const { tool: book, began } = heldTool({ filler: 'Still at it.' })
  const { server, agent } = await openModel(t, { tools: [book, endCallTool()] })
  server.next(calling(TUESDAY), calling('end_call({"message":"Bye."})'), ['One more thing.'])
  const waiting = agent(fakeTurn())
  const filled = (async () => {
    for await (const piece of waiting) if (typeof piece !== 'string' && piece.action === 'filler') return piece
    return undefined
  })()
  const { context: { signal } } = await began(1)
  await clock.pass(2_000)
  t.match(await filled, { text: 'Still at it.' })
  t.notOk(signal.aborted, 'what is done is done')

  const turn = fakeTurn()
  const actions: string[] = []
  for await (const piece of agent(turn)) {
    if (typeof piece === 'string') continue
    actions.push(piece.action)
    if (piece.action === 'end-call') turn.abort()
  }
  t.equal(actions.at(-1), 'end-call')
  t.equal(server.requests.length, 2)
})

t.test('tool calls are recorded even if a wrapping agent drops the actions', async t => {
  const { server, agent } = await openModel(t, { tools: [lookUp()] })
  const line = openCall(t, 'retell', async function * (turn) {
    for await (const piece of agent(turn)) if (typeof piece === 'string') yield piece
  })
  line.receive(retell.details())
  await line.completed(0)
  server.next(calling('look({"day":"tue"})'), ['It is free.'], ['Yes.'])
  line.receive(retell.request(1, 'Tuesday'))
  await line.completed(1)
  line.receive(retell.request(2, 'Tuesday', 'It is free.', 'Really?'))
  await line.completed(2)
  t.strictSame(messagesOf(server.requests[2]!).map(({ content }) => content), ['Tuesday', null, 'free on tue', 'It is free.', 'Really?'])
})

t.test('a wrapping agent that goes on after an abort runs no tool', async t => {
  const { tool: book, runs } = heldTool()
  const { server, agent } = await openModel(t, { tools: [book] })
  server.next(calling(TUESDAY))
  const turn = fakeTurn()
  let calls = 0
  for await (const piece of agent(turn)) {
    if (typeof piece === 'string' || piece.action !== 'tool-call') continue
    calls++
    turn.abort()
  }
  t.equal(calls, 1)
  t.strictSame(runs, [])
})

t.test('an error of call.record() ends the answer', async t => {
  const { server, agent } = await openModel(t, { tools: [lookUp()] })
  for (const broken of ['tool-call', 'tool-result']) {
    server.next(calling('look({"day":"tue"})'))
    const record = ({ action }: ToolAction): boolean => {
      if (action === broken) throw new Error('no such call')
      return true
    }
    const call = { record, waitUntil: () => {}, countTokens: () => {} } as unknown as Turn['call']
    await t.rejects(say(agent, fakeTurn({ call })), { message: 'no such call' })
  }
})

t.test('options that are not accepted stop the start', async t => {
  const look = lookUp()
  for (const [options, message] of [
    [{ tools: [look, look] }, 'option openai.tools has two that are named look: give one of them another name'],
    [{ tools: [{ ...look }] }, 'option openai.tools must be a list of what tool() makes'],
    [{ tools: look as never }, 'option openai.tools must be a list of what tool() makes'],
    [{ tools: [look], toolChoice: { name: 'book' } }, 'option openai.toolChoice must be auto, required, none, or { name } of a tool'],
    [{ tools: [look], toolChoice: null as never }, 'option openai.toolChoice must be auto, required, none, or { name } of a tool'],
    [{ tools: [look], maxSteps: 1 }, 'option openai.maxSteps must be a whole number, 2 or more']
  ] as Array<[OpenAIAgentOptions, string]>) {
    t.throws(() => openAIAgent({ apiKey: 'sk-test', ...options }), { code: 'VOICE_AGENT_ERR_CONFIG', message })
  }
})

t.test('a recorded call that never began is recorded as cancelled', async t => {
  const { tool: book, runs } = heldTool()
  const { server, line, ask } = await openLine(t, 'retell', [book])
  server.next(calling(TUESDAY, 'book({"day":"wed"})'), ['Fine.'])
  // The first frame fills what the provider takes, so that nothing more is asked of the agent.
  line.bufferedAmount = 1024 * 1024
  ask(1, 'Tuesday')
  await line.wrote(frame => frame['response_type'] === 'tool_call_invocation')
  ask(2, 'Wait')
  line.take()
  await line.completed(2)
  t.strictSame(runs, [])
  t.strictSame(line.frames.filter(frame => frame['tool_call_id']).map(frame => frame['content']), [undefined, '{"error":"cancelled"}'])
  server.next(['Yes?'])
  ask(3, 'Wait', 'Fine.', 'Well?')
  await line.completed(3)
  t.strictSame(messagesOf(server.requests[2]!).map(({ content }) => content), ['Wait', null, '{"error":"cancelled"}', 'Fine.', 'Well?'])
})

// Keeps a model that stalls from being taken for one that answers nothing.
t.test('a turn that is aborted while the model writes a call ends without an error', async t => {
  const { tool: book, runs } = heldTool()
  const { server, agent } = await openModel(t, { tools: [book] })
  server.next({ steps: [...calling(TUESDAY).steps, 'Hm', STALL] })
  const turn = fakeTurn()
  const pieces: unknown[] = []
  for await (const piece of agent(turn)) {
    pieces.push(piece)
    if (piece === 'Hm') turn.abort()
  }
  t.strictSame(pieces.filter(piece => typeof piece === 'string'), ['Hm'])
  t.strictSame(runs, [])
})
