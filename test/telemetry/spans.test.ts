import { isSpanContextValid, SpanStatusCode, trace, type Attributes, type Span } from '@opentelemetry/api'
import { AlwaysOffSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace-node'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { toolCall, toolResult, type Speech, type Turn } from '../../lib/contract/agent.js'
import { failover } from '../../lib/agents/failover/failover.js'
import { openAIAgent } from '../../lib/agents/openai/agent.js'
import { tool, type ToolOptions } from '../../lib/tools/tool.js'
import { ToolError, TurnAbortedError } from '../../lib/contract/errors.js'
import { Telemetry, telemetryOf } from '../../lib/telemetry/telemetry.js'
import { startScriptedModel, STALL, usageChunk } from '../../lib/testing/scripted-model.js'
import { deferred } from '../helpers/app.js'
import { APOLOGY, openCall, tick } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { calling, openLine } from '../helpers/model-line.js'
import { useTelemetry, type SpanTree } from '../helpers/telemetry.js'

// What a tree is compared with

/** Stands for a value that differs from run to run. */
const VARIES = 'number'

function call (turns: number, children: SpanTree[], attributes = {}): SpanTree {
  return {
    name: 'call',
    kind: 'SERVER',
    attributes: {
      'gen_ai.conversation.id': 'call_1',
      'voice_agent.provider': 'retell',
      'voice_agent.call.close_code': 1000,
      'voice_agent.call.turns': turns,
      'voice_agent.call.reconnects': 0,
      'voice_agent.call.malformed_frames': 0,
      ...attributes
    },
    children
  }
}

/** @param times which of them there are, besides when the agent was called */
function turn (
  id: number, outcome: string, times: string[], figures: Record<string, number>, children: SpanTree[],
  { error, ...attributes }: { error?: string } & Record<string, unknown> = {}
): SpanTree {
  return {
    name: 'invoke_agent',
    kind: 'INTERNAL',
    attributes: {
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.conversation.id': 'call_1',
      'voice_agent.provider': 'retell',
      'voice_agent.turn.id': String(id),
      'voice_agent.turn.reason': id === 0 ? 'greeting' : 'response',
      'voice_agent.turn.outcome': outcome,
      ...Object.fromEntries(['agent', ...times].map(name => [`voice_agent.turn.time_to_${name}`, VARIES])),
      ...Object.fromEntries(Object.entries({
        tokens: VARIES, frames: VARIES, characters: 0, tool_calls: 0, send_buffer_peak: 0, ...figures
      }).map(([name, value]) => [`voice_agent.turn.${name}`, value])),
      ...attributes as Attributes
    },
    ...(error !== undefined && { error }),
    children
  }
}

const SPOKEN = ['first_token', 'first_frame', 'first_sentence', 'last_frame']

/** The first turn of a Retell call whose agent has no greeting. */
const silentGreeting = turn(0, 'completed', ['last_frame'], {}, [])

/** Of a request whose answer began. */
const BEGUN = { 'gen_ai.response.model': 'gpt-4.1-mini', 'gen_ai.response.time_to_first_chunk': VARIES }

function chat (attributes: object = { 'gen_ai.response.finish_reasons': ['stop'] }, error?: string): SpanTree {
  return {
    name: 'chat gpt-4.1-mini',
    kind: 'CLIENT',
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4.1-mini',
      'gen_ai.conversation.id': 'call_1',
      'server.address': '127.0.0.1',
      'server.port': VARIES,
      'gen_ai.request.stream': true,
      ...(error === undefined && BEGUN),
      ...attributes as Attributes
    },
    ...(error !== undefined && { error }),
    children: []
  }
}

function toolRun (name: string, children: SpanTree[] = [], attributes = {}, error?: string): SpanTree {
  return {
    name: `execute_tool ${name}`,
    kind: 'INTERNAL',
    attributes: { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': name, 'gen_ai.tool.type': 'function', ...attributes },
    ...(error !== undefined && { error }),
    children
  }
}

/** The span of a tool of the app's own agent. */
function ownTool (attributes: Attributes = {}, error?: string): SpanTree {
  return {
    name: 'execute_tool',
    kind: 'INTERNAL',
    attributes: { 'gen_ai.operation.name': 'execute_tool', ...attributes },
    ...(error !== undefined && { error }),
    children: []
  }
}

/** A span of the app's own. */
function own (name: string): SpanTree {
  return { name, kind: 'INTERNAL', attributes: {}, children: [] }
}

function ownSpan (name: string): void {
  trace.getTracer('app').startSpan(name).end()
}

function make (
  name: string, execute: ToolOptions<ReturnType<typeof Type.Object>>['execute'],
  more: Partial<ToolOptions<ReturnType<typeof Type.Object>>> = {}
) {
  return tool({ name, description: 'Does.', parameters: Type.Object({}), filler: '', execute, ...more })
}

t.test('a plain turn has spans of its call, itself and its model request', async t => {
  const { trees } = useTelemetry(t)
  const { server, hear, line } = await openLine(t, 'retell', [], { agent: { temperature: 0.5, maxTokens: 100 } })
  server.next({ steps: ['We open', ' at nine.', usageChunk(20, 10)] })
  await hear(1, 'When do you open?')
  line.hangUp(1000)
  t.strictSame(trees(), [call(2, [
    silentGreeting,
    turn(1, 'completed', SPOKEN, { characters: 16 }, [
      chat({
        'gen_ai.request.temperature': 0.5,
        'gen_ai.request.max_tokens': 100,
        'gen_ai.response.finish_reasons': ['stop'],
        'gen_ai.usage.input_tokens': 20,
        'gen_ai.usage.output_tokens': 10
      })
    ], { 'gen_ai.response.model': 'scripted', 'gen_ai.usage.input_tokens': 20, 'gen_ai.usage.output_tokens': 10 })
  ])])
})

t.test('spans that a tool makes are the tool span\'s children', async t => {
  const { trees } = useTelemetry(t)
  const look = make('look', async () => {
    await tick()
    ownSpan('query')
    return 'free'
  }, { sideEffects: false })
  const book = make('book', () => { throw new ToolError('taken') })
  const broken = make('broken', () => { throw new RangeError('secret') })
  const { server, hear, line } = await openLine(t, 'retell', [look, book, broken])
  server.next(calling('look({})', 'book({})', 'broken({})', 'unknown({})', 'look(7)'), 'Done.')
  await hear(1, 'Book it')
  line.hangUp(1000)
  const asked = chat({ 'gen_ai.response.finish_reasons': ['tool_calls'] })
  t.strictSame(trees(), [call(2, [
    silentGreeting,
    turn(1, 'completed', SPOKEN, { characters: 5, tool_calls: 5 }, [
      asked,
      toolRun('look', [own('query')]),
      toolRun('book', [], { 'error.type': 'ToolError' }, ''),
      toolRun('broken', [], { 'error.type': 'RangeError' }, ''),
      chat()
    ])
  ])])
})

t.test('a superseded turn cancels its request, and its tool runs on', async t => {
  const { trees } = useTelemetry(t)
  const done = deferred()
  const running = deferred()
  const book = make('book', async () => {
    running.resolve()
    await done.promise
    ownSpan('booked')
    return 'Done'
  })
  const { server, ask, hear, asked, line } = await openLine(t, 'retell', [book])
  server.next(calling('book({})'), 'It is booked.', ['We open', STALL], 'At nine.')
  ask(1, 'Book it')
  await running.promise
  await hear(2, 'Hello?')
  done.resolve()
  ask(3, 'When?')
  await asked(3)
  while (!line.frames.some(({ response_id: id, content }) => id === 3 && content !== '')) await tick()
  await hear(4, 'When?')
  line.hangUp(1000)
  t.strictSame(trees(), [call(5, [
    silentGreeting,
    turn(1, 'superseded', ['first_token'], { tool_calls: 1 }, [
      chat({ 'gen_ai.response.finish_reasons': ['tool_calls'] }),
      toolRun('book', [own('booked')])
    ]),
    turn(2, 'completed', SPOKEN, { characters: 13 }, [chat()]),
    turn(
      3, 'superseded', ['first_token', 'first_frame', 'last_frame'], { characters: 7 }, [chat({ 'voice_agent.abort_reason': 'superseded' })]
    ),
    turn(4, 'completed', SPOKEN, { characters: 8 }, [chat()])
  ])])
})

t.test('after a deadline with a failover, the slow model and the one that answered have spans', async t => {
  const { trees } = useTelemetry(t)
  const [first, second] = await Promise.all([startScriptedModel(), startScriptedModel()])
  const models = [first, second].map(({ url }) => openAIAgent({ baseURL: url, greeting: '' }))
  const both = failover(models, { firstTokenMs: 50, probe: false })
  t.teardown(() => Promise.all([both.close(), first.close(), second.close()]))
  const line = openCall(t, 'retell', turn => both.call({} as never, turn), { deadlines: { firstTokenMs: 200 } })
  line.receive(retell.details())
  await line.completed(0)
  first.next([STALL])
  second.next('We open at nine.', [STALL])
  line.receive(retell.request(1, 'When?'))
  await line.completed(1)
  line.receive(retell.request(2, 'When?'))
  await line.completed(2)
  line.hangUp(1000)
  t.strictSame(trees(), [call(3, [
    silentGreeting,
    turn(1, 'completed', SPOKEN, { characters: 16 }, [chat({ ...BEGUN, 'error.type': 'deadline' }, ''), chat()]),
    turn(
      2, 'deadline', SPOKEN.slice(1), { characters: APOLOGY.length }, [chat({ ...BEGUN, 'error.type': 'deadline' }, '')],
      { error: '', 'error.type': 'VOICE_AGENT_ERR_DEADLINE' }
    )
  ])])
})

t.test('spans of the app\'s own agent are its turn\'s children, also while it is stopped', async t => {
  const { trees } = useTelemetry(t)
  const stopped = deferred()
  async function * agent ({ id, signal }: Turn): AsyncGenerator<Speech> {
    ownSpan(`asked ${id}`)
    signal.addEventListener('abort', () => ownSpan('told to stop'))
    try {
      yield toolCall('tool_1', 'look_up', {})
      await tick()
      ownSpan(`looked up ${id}`)
      yield toolCall('tool_2', 'book', {})
      yield toolResult('tool_1', 'free')
      yield toolResult('tool_2', 'taken', false)
      yield toolResult('tool_2', 'again')
      yield toolCall('tool_3', 'pay', {})
      yield 'Yes. '
      await tick()
      yield 'Done.'
    } finally {
      ownSpan('closed')
      stopped.resolve()
    }
  }
  const line = openCall(t, 'retell', turn => turn.id === 0 ? '' : agent(turn), {
    hooks: {
      onCallStart: () => ownSpan('onCallStart'), onTurnEnd: ({ id }) => ownSpan(`onTurnEnd ${id}`), onCallEnd: () => ownSpan('onCallEnd')
    }
  })
  line.receive(retell.details(), retell.request(1, 'Book'))
  while (!line.frames.some(({ content }) => content === 'Yes. ')) await tick()
  line.hangUp(1000)
  await stopped.promise
  await tick()
  t.strictSame(trees(), [call(2, [
    own('onCallStart'),
    { ...silentGreeting, children: [own('onTurnEnd 0')] },
    turn(1, 'hang-up', SPOKEN, { characters: 5, tool_calls: 3 }, [
      own('asked 1'),
      ownTool(),
      own('looked up 1'),
      ownTool({ 'error.type': '_OTHER' }, ''),
      ownTool(),
      own('told to stop'),
      own('onTurnEnd 1'),
      own('closed')
    ]),
    own('onCallEnd')
  ])])
})

t.test('tools that are cancelled, too slow or answered from the ledger are shown as such', async t => {
  const { trees } = useTelemetry(t)
  const running = deferred()
  const never = new Promise<string>(() => {})
  const look = make('look', async (_args, { signal }) => {
    running.resolve()
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }, { sideEffects: false })
  const slow = make('slow', () => never, { timeoutMs: 50 })
  const book = make('book', () => 'Booked')
  const { server, ask, hear, line } = await openLine(t, 'retell', [look, slow, book])
  server.next(calling('look({})'), calling('slow({})', 'book({})', 'book({})'), 'Done.', { status: 429 })
  ask(1, 'Look')
  await running.promise
  await hear(2, 'Book')
  await hear(3, 'Again')
  line.hangUp(1000)
  const calls = chat({ 'gen_ai.response.finish_reasons': ['tool_calls'] })
  t.strictSame(trees(), [call(4, [
    silentGreeting,
    turn(1, 'superseded', ['first_token'], { tool_calls: 1 }, [calls, toolRun('look', [], { 'voice_agent.abort_reason': 'superseded' })]),
    turn(2, 'completed', SPOKEN, { characters: 5, tool_calls: 3 }, [
      calls, toolRun('slow', [], { 'error.type': 'VOICE_AGENT_ERR_DEADLINE' }, ''), toolRun('book'), chat()
    ]),
    turn(
      3, 'error', SPOKEN.slice(1), { characters: APOLOGY.length }, [chat({ 'error.type': 'RateLimitError' }, '')],
      { error: '', 'error.type': 'RateLimitError' }
    )
  ])])
})

t.test('spans hold speech if the operator opts in', async t => {
  const { spans } = useTelemetry(t)
  const book = make('book', () => 'Tuesday')
  const shows = (text: string): string => text.replaceAll('Ann', '***')
  const { server, hear, line } = await openLine(t, 'retell', [book], {
    telemetry: new Telemetry(shows),
    agent: { instructions: 'Help Ann.' },
    wrap: model => async function * (turn) {
      if (turn.id === 2) {
        yield toolCall('tool_1', 'find_Ann', { name: 'Ann' })
        yield toolResult('tool_1', 'Ann is out')
        throw new Error('no Ann')
      }
      yield * model(turn)
    }
  })
  server.next({ steps: ['Well, Ann.', ...calling('book({})').steps], finishReason: 'tool_calls' }, 'Bye, Ann.')
  await hear(1, 'I am Ann')
  await hear(2, 'And?')
  line.hangUp(1000)
  const shown = spans.map(({ attributes, status }) => [
    Object.entries(attributes).filter(([key]) => /messages|instructions|arguments|result$|tool\.name|call\.id/.test(key)).map(([key, value]) => [key.replace('gen_ai.', ''), /^[[{]/.test(value as string) ? JSON.parse(value as string) : value]),
    status.message
  ])
  const text = (role: string, content: string, more = {}) => ({ role, parts: [{ type: 'text', content }], ...more })
  const none: unknown[] = []
  const callPart = { type: 'tool_call', id: 'call_book_0', name: 'book', arguments: '{}' }
  t.strictSame(shown, [
    [none, undefined],
    [[['input.messages', none], ['output.messages', none]], undefined],
    [[['input.messages', [text('user', 'I am ***')]], ['output.messages', [text('assistant', 'Well, ***. Bye, ***.')]]], undefined],
    [[
      ['system_instructions', [{ type: 'text', content: 'Help ***.' }]],
      ['input.messages', [text('user', 'I am ***')]],
      ['output.messages', [{ role: 'assistant', parts: [{ type: 'text', content: 'Well, ***.' }, callPart], finish_reason: 'tool_calls' }]]
    ], undefined],
    [[['tool.name', 'book'], ['tool.call.id', 'call_book_0'], ['tool.call.arguments', {}], ['tool.call.result', 'Tuesday']], undefined],
    [[
      ['system_instructions', [{ type: 'text', content: 'Help ***.' }]],
      ['input.messages', [
        text('user', 'I am ***'), { role: 'assistant', parts: [{ type: 'text', content: 'Well, ***.' }, callPart] },
        { role: 'tool', parts: [{ type: 'tool_call_response', id: 'call_book_0', response: 'Tuesday' }] }
      ]],
      ['output.messages', [text('assistant', 'Bye, ***.', { finish_reason: 'stop' })]]
    ], undefined],
    [[['input.messages', [text('user', 'And?')]], ['output.messages', [text('assistant', APOLOGY)]]], 'no ***'],
    [
      [['tool.name', 'find_***'], ['tool.call.id', 'tool_1'], ['tool.call.arguments', { name: '***' }], ['tool.call.result', '*** is out']],
      undefined
    ]
  ])
})

t.test('a tool call without words and a truncated answer are shown as such', async t => {
  const { spans } = useTelemetry(t)
  const { server, hear, ask, said, line } = await openLine(
    t, 'retell', [make('book', () => 'Tuesday')], { telemetry: new Telemetry(text => text) }
  )
  server.next(calling('book({})'), 'Done.', ['We ', STALL])
  await hear(1, 'Book')
  ask(2, 'When?')
  while (said(2) === '') await tick()
  line.hangUp(1000)
  await tick()
  const [asked, told, cut] = spans.filter(({ name }) => name.startsWith('chat')).map(({ attributes }) => attributes)
  const called = { role: 'assistant', parts: [{ type: 'tool_call', id: 'call_book_0', name: 'book', arguments: '{}' }] }
  t.match(JSON.parse(asked!['gen_ai.output.messages'] as string), [called])
  t.match(JSON.parse(told!['gen_ai.input.messages'] as string), [{ role: 'user' }, called, { role: 'tool' }])
  t.match(
    JSON.parse(cut!['gen_ai.output.messages'] as string), [{ role: 'assistant', parts: [{ content: 'We ' }], finish_reason: '_OTHER' }]
  )
})

t.test('any value that an agent throws has a type, and a message if the operator opts in', async t => {
  const { spans } = useTelemetry(t)
  const nameless = new (class extends Error {})('nameless')
  const odd = Object.assign(new Error('odd'), { code: 'ECONNRESET' })
  const trap = new Proxy(new Error('trap'), { get () { throw new Error('caught') } })
  const thrown = [new RangeError('range'), 'a text', nameless, odd, trap, new TurnAbortedError('deadline')]
  const line = openCall(t, 'retell', ({ id }) => {
    if (id !== 0) throw thrown[Number(id) - 1]
    return ''
  }, { telemetry: new Telemetry(text => text) })
  line.receive(retell.details())
  for (const id of thrown.keys()) {
    line.receive(retell.request(id + 1, 'Hi'))
    await line.completed(id + 1)
  }
  line.hangUp(1000)
  t.strictSame(spans.slice(2).map(({ attributes, status }) => [attributes['error.type'], status.message]), [
    ['RangeError', 'range'], ['_OTHER', 'a text'], ['_OTHER', 'nameless'], ['Error', 'odd'], ['_OTHER', ''], [
      'deadline', 'The turn was aborted: deadline'
    ]
  ])
})

t.test('spans inside a call that is not sampled are not sampled either', async t => {
  const { spans } = useTelemetry(t, { sampler: new ParentBasedSampler({ root: new AlwaysOffSampler() }) })
  let active: Span | undefined
  const { server, hear, line } = await openLine(t, 'retell', [], {
    wrap: model => async function * (turn) {
      active = trace.getActiveSpan()
      yield * model(turn)
    }
  })
  server.next('Yes.')
  await hear(1, 'Hello?')
  line.hangUp(1000)
  t.strictSame(spans, [])
  t.notOk(active!.isRecording(), 'it is told so')
  t.ok(isSpanContextValid(active!.spanContext()))
})

t.test('without an SDK nothing is recorded', async t => {
  const { server, hear, line } = await openLine(t, 'retell', [])
  server.next('Yes.')
  await hear(1, 'Hello?')
  t.equal(line.call.telemetry, undefined)
  t.equal(telemetryOf(line.call), undefined)
})

t.test('a call has its last id, and a call that never began has no span', async t => {
  const { trees } = useTelemetry(t)
  const line = openCall(t, 'millis', () => 'Hello.')
  line.receive(millis.start(0))
  line.hangUp(1001)
  openCall(t, 'retell', () => '').hangUp(1006)
  t.match(trees(), [{
    attributes: { 'gen_ai.conversation.id': 'ses_1', 'voice_agent.call.close_code': 1001 },
    children: [{ attributes: { 'gen_ai.conversation.id': 'ses_1' } }]
  }])
  t.equal(trees().length, 1)
})

t.test('a turn that is superseded while onCallStart runs has a span', async t => {
  const { trees } = useTelemetry(t)
  const looked = deferred()
  const line = openCall(t, 'retell', () => 'Hello.', { hooks: { onCallStart: () => looked.promise } })
  line.receive(retell.details(), retell.request(1, 'Hi'))
  looked.resolve()
  await line.completed(1)
  line.hangUp(1000)
  t.match(trees(), [{
    children: [{ attributes: { 'voice_agent.turn.outcome': 'superseded' } }, { attributes: { 'voice_agent.turn.outcome': 'completed' } }]
  }])
})

t.test('an SDK that throws delays nothing, and calls and turns still end', async t => {
  for (const fails of ['onStart', 'onEnd'] as const) {
    useTelemetry(t, { [fails]: () => { throw new Error('full') } })
    const book = make('book', () => 'Booked')
    const ended = deferred()
    const { server, ask, hear, said, line } = await openLine(t, 'retell', [book], { hooks: { onCallEnd: () => { ended.resolve() } } })
    server.next(['We ', STALL], calling('book({})'), 'Done.')
    ask(1, 'When?')
    while (said(1) === '') await tick()
    t.equal(await hear(2, 'Book'), 'Done.')
    line.hangUp(1000)
    await ended.promise
  }
})

t.test('any value that a tool or an agent throws is a failure, also undefined and another turn\'s abort', async t => {
  const { spans } = useTelemetry(t)
  const rejects = make('rejects', () => Promise.reject()) // eslint-disable-line prefer-promise-reject-errors
  const { server, hear, line } = await openLine(t, 'retell', [rejects], {
    wrap: model => turn => {
      if (turn.id === 2) throw undefined // eslint-disable-line no-throw-literal
      if (turn.id === 3) throw new TurnAbortedError('superseded')
      return model(turn)
    }
  })
  server.next(calling('rejects({})'), 'Sorry.')
  for (const id of [1, 2, 3]) await hear(id, 'Hi')
  line.hangUp(1000)
  const failed = spans.filter(({ status }) => status.code === SpanStatusCode.ERROR)
  t.strictSame(
    failed.map(({ name, attributes }) => [name, attributes['error.type']]),
    [['execute_tool rejects', '_OTHER'], ['invoke_agent', '_OTHER'], ['invoke_agent', 'superseded']]
  )
})

t.test('an abandoned answer is not a failure', async t => {
  const { trees } = useTelemetry(t)
  const { server, hear, line } = await openLine(t, 'retell', [], {
    wrap: model => {
      const both = failover([model, model])
      return async function * (turn) {
        for await (const piece of both.call({} as never, turn)) {
          yield piece
          if (turn.id === 1) return
        }
      }
    }
  })
  server.next(['Yes. ', STALL])
  await hear(1, 'Hi')
  line.hangUp(1000)
  t.match(trees(), [{
    children: [
      {}, { attributes: { 'voice_agent.turn.outcome': 'completed' }, children: [{ attributes: { 'voice_agent.abort_reason': 'abandoned' } }] }
    ]
  }])
})

t.test('values that a model\'s server invents are neither labels nor attributes', async t => {
  const { spans, metrics } = useTelemetry(t)
  const { server, hear, line } = await openLine(t, 'retell', [])
  server.next(
    { steps: ['Yes.', { chunk: { model: 'call +15550100', choices: [] } }], finishReason: 'Ann said so' as never },
    { status: 400, body: { error: { message: 'no', code: 'VOICE_AGENT_ERR_+15550100' } } }
  )
  await hear(1, 'Hi')
  await hear(2, 'Hi')
  line.hangUp(1000)
  t.notMatch(
    JSON.stringify([spans.map(({ attributes }) => attributes), await metrics(), line.logs.filter(({ level }) => level >= 30)]),
    /15550100|Ann/
  )
  t.match(spans.find(({ name }) => name.startsWith('chat'))!.attributes['gen_ai.response.finish_reasons'], ['_OTHER'])
})

t.test('spans of a hook and of a goodbye belong to their call, also from another context\'s timer', async t => {
  const { trees } = useTelemetry(t)
  const line = openCall(t, 'retell', () => '', {
    limits: { maxTurnsPerCall: 1, goodbye: () => { ownSpan('goodbye'); return 'Bye.' } },
    hooks: { onTranscript: () => { ownSpan('onTranscript') } }
  })
  line.receive(retell.details(), retell.update('Hi'), retell.request(1, 'Hi'))
  await tick()
  line.hangUp(1000)
  t.match(
    trees(),
    [{ name: 'call', children: [{ name: 'invoke_agent' }, { name: 'goodbye' }, { name: 'invoke_agent' }, { name: 'onTranscript' }] }]
  )
})
