import { getEventListeners, once } from 'node:events'
import { ReadableStream } from 'node:stream/web'
import { mock } from 'node:test'
import { setImmediate as settled } from 'node:timers/promises'
import { APIError } from 'openai'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import {
  endCall, filler, flush, pause, pressDigits, toolCall, toolResult, transferCall, uninterruptible,
  type Agent, type Call, type Reply, type Speech, type Turn
} from '../../../lib/contract/agent.js'
import { failover, type FailoverAgent, type FailoverOptions } from '../../../lib/agents/failover/failover.js'
import { openAIAgent } from '../../../lib/agents/openai/agent.js'
import { scriptedAgent } from '../../../lib/agents/scripted.js'
import { deferred, type LogLine } from '../../helpers/app.js'
import { fakeTurn, type FakeTurn } from '../../helpers/fake-turn.js'
import { hold, startScriptedModel } from '../../../lib/testing/scripted-model.js'

const FIRST_TOKEN_MS = 2_000
const COOLDOWN_MS = 30_000
const SECRET = 'my card number is 4111'

const app = { app: true } as unknown as FastifyInstance

/** One time an agent was asked. The test says what it says. */
interface Asking {
  readonly turn: Turn
  readonly self: unknown
  closed: number
  /** Resolves when whoever listens has had the time to react. */
  say (piece: unknown): Promise<void>
  fail (error: unknown): Promise<void>
  end (): Promise<void>
}

/** An agent that ignores its signal, and of which every asking is kept. */
function puppet () {
  const askings: Asking[] = []
  const agent: Agent = function (turn) {
    const steps: Array<{ settle (step: IteratorResult<unknown>): void, fail (error: unknown): void, step: Promise<IteratorResult<unknown>> }> = []
    const at = (index: number) => {
      while (steps.length <= index) {
        const { promise, resolve, reject } = deferred<IteratorResult<unknown>>()
        promise.catch(() => {})
        steps.push({ settle: resolve, fail: reject, step: promise })
      }
      return steps[index]!
    }
    let pulled = 0
    let pushed = 0
    const asking: Asking = {
      turn,
      self: this,
      closed: 0,
      say: async value => { at(pushed++).settle({ done: false, value }); await settled() },
      fail: async error => { at(pushed++).fail(error); await settled() },
      end: async () => { at(pushed++).settle({ done: true, value: undefined }); await settled() }
    }
    askings.push(asking)
    const iterator = {
      next: () => at(pulled++).step,
      return: async () => { asking.closed++; return { done: true, value: undefined } },
      [Symbol.asyncIterator]: () => iterator
    }
    return iterator as AsyncIterable<Speech>
  }
  return { agent, askings, get last () { return askings.at(-1)! } }
}

/** Clocks that stand still until the test says otherwise. */
function stopClocks (t: Test) {
  let now = 1_000
  const clock = mock.method(performance, 'now', () => now)
  mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  t.teardown(() => {
    clock.mock.restore()
    mock.timers.reset()
  })
  return {
    pass: async (ms: number) => {
      now += ms
      mock.timers.tick(ms)
      await settled()
    }
  }
}

function capture (level = 'trace') {
  const logs: LogLine[] = []
  const log = pino({ level }, { write: line => { logs.push(JSON.parse(line)) } }) as FastifyBaseLogger
  return { logs, log }
}

/** Two puppets behind a failover, or as many as asked for. */
function setup (t: Test, options: FailoverOptions = {}, count = 2) {
  const puppets = Array.from({ length: count }, puppet)
  const clock = stopClocks(t)
  const { logs, log } = capture()
  const model = failover(puppets.map(({ agent }) => agent), { firstTokenMs: FIRST_TOKEN_MS, cooldownMs: COOLDOWN_MS, ...options })
  const newTurn = (overrides: Partial<Turn> = {}) => fakeTurn({ log, ...overrides })
  const [a, b, c] = puppets as [ReturnType<typeof puppet>, ReturnType<typeof puppet>, ReturnType<typeof puppet>]
  return { a, b, c, model, clock, logs, newTurn }
}

/** Pulls a reply like a live turn does, at once, until it ends. */
function listen (model: FailoverAgent, turn: Turn) {
  const reply = model.call(app, turn)
  const heard: unknown[] = []
  const over = (async () => {
    for await (const piece of reply) heard.push(piece)
    return 'over'
  })()
  const failure = over.then(() => undefined, (error: unknown) => error)
  return { reply, heard, over, failure }
}

/** Has every puppet but the last fall sick: it is left alone from now on. */
async function sicken ({ a, b, model, newTurn }: ReturnType<typeof setup>, error: unknown = new Error('down')): Promise<void> {
  const line = listen(model, newTurn())
  await a.last.fail(error)
  await b.last.say('I am here')
  await b.last.end()
  await line.over
}

async function ask (model: FailoverAgent, turn: Turn): Promise<unknown[]> {
  const { heard, over } = listen(model, turn)
  await over
  return heard
}

function healed (logs: LogLine[]): boolean {
  return logs.some(({ msg }) => msg === 'agent is healthy again')
}

function listeners (turn: Turn): number {
  return getEventListeners(turn.signal, 'abort').length
}

// One of several

t.test('the first agent answers, and no other is asked', async t => {
  const { a, b, model, newTurn, logs } = setup(t)
  const turn = newTurn()
  const line = listen(model, turn)
  await a.last.say('One ')
  await a.last.say('two')
  await a.last.end()
  t.equal(await line.over, 'over')
  t.strictSame(line.heard, ['One ', 'two'])
  t.equal(b.askings.length, 0)
  t.equal(a.last.closed, 0)
  t.equal(a.last.turn.signal.aborted, false)
  t.equal(listeners(turn), 0)
  t.strictSame(logs, [])
})

t.test('a failover is an agent, and another agent can use it', async t => {
  const model: Agent = failover([scriptedAgent, scriptedAgent])
  const outer: Agent = async function * (turn) { yield * model.call(this, turn) as AsyncGenerator<Speech> }
  const heard = []
  for await (const piece of outer.call(app, fakeTurn()) as AsyncGenerator<Speech>) heard.push(piece)
  t.strictSame(heard, ['I am sorry, can you say that again?'])
})

t.test('failover works with every kind of reply', async t => {
  const stream = (...pieces: Speech[]) => new ReadableStream<Speech>({
    start (controller) {
      for (const piece of pieces) controller.enqueue(piece)
      controller.close()
    }
  })
  const replies: Array<[() => unknown, unknown[]]> = [
    [() => 'Hello', ['Hello']],
    [() => '', ['']],
    [() => undefined, []],
    [async () => 'Hello', ['Hello']],
    [async () => {}, []],
    [() => ['One ', 'two'], ['One ', 'two']],
    [async () => ['One ', 'two'], ['One ', 'two']],
    [function * () { yield 'One ' }, ['One ']],
    [async function * () { yield 'One ' }, ['One ']],
    [() => stream('One ', null, 'two'), ['One ', null, 'two']],
    [async () => stream('One '), ['One ']]
  ]
  const failures: Array<() => unknown> = [
    () => { throw new Error('down') },
    async () => { throw new Error('down') },
    function * () { throw new Error('down') },
    async function * () { yield ''; throw new Error('down') },
    () => new ReadableStream({ start (controller) { controller.error(new Error('down')) } }),
    () => 42,
    () => [42],
    async function * () { yield { action: 'sing' } }
  ]
  for (const [reply, heard] of replies) {
    t.strictSame(await ask(failover([reply as Agent, scriptedAgent]), fakeTurn(capture())), heard)
  }
  for (const fails of failures) {
    const heard = await ask(failover([fails as Agent, scriptedAgent]), fakeTurn(capture()))
    t.strictSame(heard.filter(piece => piece !== ''), ['I am sorry, can you say that again?'])
  }
})

t.test('an agent gets the turn, with the instance as this', async t => {
  const { a, b, model, newTurn } = setup(t)
  // A turn whose getters need the very turn, as a live one.
  class PrivateTurn {
    readonly #turn = newTurn({ id: 0, reason: 'reminder', call: { id: 'call_1' } as Call, transcript: [{ role: 'user', content: 'Hi' }] })
    get id () { return this.#turn.id }
    get reason () { return this.#turn.reason }
    get call () { return this.#turn.call }
    get transcript () { return this.#turn.transcript }
    get messages () { return this.#turn.messages }
    get signal () { return this.#turn.signal }
    get log () { return this.#turn.log }
  }
  const turn: Turn = new PrivateTurn()
  listen(model, turn)
  await a.last.fail(new Error('down'))
  for (const { last } of [a, b]) {
    t.equal(last.self, app)
    t.equal(last.turn.id, 0)
    t.equal(last.turn.reason, 'reminder')
    t.equal(last.turn.call, turn.call)
    t.equal(last.turn.transcript, turn.transcript)
    t.equal(last.turn.log, turn.log)
    t.strictSame(last.turn.messages, [{ role: 'user', content: 'Hi' }])
    t.not(last.turn.signal, turn.signal)
  }
})

t.test('messages that one agent adds do not reach the next', async t => {
  const { a, b, model, newTurn } = setup(t)
  const turn = newTurn()
  listen(model, turn)
  const { messages } = a.last.turn
  t.equal(a.last.turn.messages, messages)
  messages.push({ role: 'assistant', content: 'half a step' })
  Object.assign(messages[0]!, { content: 'changed' })
  await a.last.fail(new Error('down'))
  t.strictSame(b.last.turn.messages, [{ role: 'user', content: 'Hi' }])
  t.strictSame(turn.messages, [{ role: 'user', content: 'Hi' }])
})

t.test('messages that no agent reads are not converted', async t => {
  const { a, b, model, newTurn } = setup(t)
  const turn = Object.defineProperty(newTurn(), 'messages', { get () { throw new Error('converted') } })
  const line = listen(model, turn)
  await a.last.fail(new Error('down'))
  await b.last.say('Hello')
  t.strictSame(line.heard, ['Hello'])
})

// The answer is one agent's

t.test('an agent that fails before its first word is replaced at once', async t => {
  const { a, b, model, newTurn } = setup(t)
  const turn = newTurn()
  const line = listen(model, turn)
  await a.last.fail(new Error('down'))
  t.equal(a.last.turn.signal.aborted, true)
  t.equal(a.last.closed, 1)
  await b.last.say('Hello')
  await b.last.end()
  await line.over
  t.strictSame(line.heard, ['Hello'])
  t.equal(listeners(turn), 0)
})

t.test('an agent that is silent for too long is replaced, and its later words are dropped', async t => {
  const { a, b, model, clock, newTurn } = setup(t)
  const turn = newTurn()
  const line = listen(model, turn)
  await clock.pass(FIRST_TOKEN_MS - 1)
  t.equal(b.askings.length, 0)
  await clock.pass(1)
  t.equal(b.askings.length, 1)
  t.match(a.last.turn.signal.reason, { code: 'VOICE_AGENT_ERR_TURN_ABORTED', reason: 'deadline' })
  t.equal(a.last.closed, 1)
  await a.last.say('Too late')
  await b.last.say('Hello')
  await a.last.fail(new Error('later still'))
  await b.last.end()
  await line.over
  t.strictSame(line.heard, ['Hello'])
  t.equal(turn.signal.aborted, false)
  t.equal(listeners(turn), 0)
})

t.test('fillers, pauses and flushes are passed on and are not an answer', async t => {
  const { a, b, model, clock, newTurn } = setup(t, {}, 3)
  const line = listen(model, newTurn())
  for (const piece of [filler('Let me see.'), pause(100), flush(), '', null, undefined]) await a.last.say(piece)
  await a.last.fail(new Error('down'))
  await b.last.say(filler('Well.'))
  await clock.pass(FIRST_TOKEN_MS)
  t.strictSame(line.heard, [filler('Let me see.'), pause(100), flush(), '', null, undefined, filler('Well.')])
})

t.test('fillers do not extend an agent\'s deadline', async t => {
  const { a, b, model, clock, newTurn } = setup(t)
  listen(model, newTurn())
  await clock.pass(FIRST_TOKEN_MS - 1)
  await a.last.say(filler('Just a moment.'))
  await clock.pass(1)
  t.equal(b.askings.length, 1)
})

t.test('the deadline applies while a filler is being consumed', async t => {
  const { a, b, model, clock, newTurn } = setup(t)
  const reply = model.call(app, newTurn())
  const first = reply.next()
  await a.last.say(filler('Just a moment.'))
  await first
  await clock.pass(FIRST_TOKEN_MS)
  await a.last.say('Too late')
  const second = reply.next()
  await settled()
  await b.last.say('Hello')
  t.strictSame(await second, { done: false, value: 'Hello' })
})

for (const piece of ['Hello', ' ', endCall(), transferCall('+15550100'), pressDigits('1'), uninterruptible('Listen.'), toolCall('1', 'book', {}), toolResult('1', 'booked')]) {
  t.test(`after ${typeof piece === 'string' ? `a token (${piece})` : piece.action} no other agent is asked`, async t => {
    const { a, b, model, clock, newTurn, logs } = setup(t)
    const turn = newTurn()
    const line = listen(model, turn)
    await a.last.say(piece)
    await clock.pass(FIRST_TOKEN_MS * 10)
    const error = new Error('broken off')
    await a.last.fail(error)
    t.equal(await line.failure, error)
    t.strictSame(line.heard, [piece])
    t.equal(b.askings.length, 0)
    t.equal(a.last.turn.signal.aborted, true)
    t.equal(listeners(turn), 0)
    t.strictSame(logs, [])
  })
}

t.test('after the first word the turn checks what may be spoken', async t => {
  const { a, model, newTurn } = setup(t)
  const line = listen(model, newTurn())
  await a.last.say('Hello')
  await a.last.say(42)
  t.strictSame(line.heard, ['Hello', 42])
})

t.test('an agent that ends without a word has chosen silence', async t => {
  const { a, b, model, newTurn, logs } = setup(t)
  for (const pieces of [[], [''], [filler('Hm.')]]) {
    const line = listen(model, newTurn())
    for (const piece of pieces) await a.last.say(piece)
    await a.last.end()
    t.equal(await line.over, 'over')
    t.strictSame(line.heard, pieces)
  }
  t.equal(b.askings.length, 0)
  t.strictSame(logs, [])
})

t.test('the last agent has no deadline, and its error is the turn\'s', async t => {
  const { a, b, c, model, clock, newTurn } = setup(t, {}, 3)
  const turn = newTurn()
  const line = listen(model, turn)
  await a.last.fail(new Error('down'))
  await clock.pass(FIRST_TOKEN_MS)
  t.equal(b.last.turn.signal.aborted, true)
  await clock.pass(FIRST_TOKEN_MS * 10)
  t.equal(c.last.turn.signal.aborted, false)
  const error = new Error('the last one')
  await c.last.fail(error)
  t.equal(await line.failure, error)
  t.equal(listeners(turn), 0)
})

// Cancellation

t.test('an aborted turn stops the agent with its own reason, and no other is asked', async t => {
  const { a, b, model, newTurn, logs } = setup(t)
  for (const begun of [false, true]) {
    const turn = newTurn()
    const line = listen(model, turn)
    if (begun) await a.last.say('Hello')
    turn.abort('hang-up')
    t.equal(a.last.turn.signal.reason, turn.signal.reason)
    t.equal(await line.over, 'over')
    t.equal(a.last.closed, 1)
    await a.last.say('Too late')
    t.strictSame(line.heard, begun ? ['Hello'] : [])
    t.equal(listeners(turn), 0)
  }
  t.equal(b.askings.length, 0)
  t.strictSame(logs, [])
})

t.test('an error of an agent whose turn was aborted is not a failure', async t => {
  const { logs, log } = capture()
  let asked = 0
  const obedient: Agent = async function * ({ signal }) {
    asked++
    yield filler('Hm.')
    await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => reject(signal.reason)) })
  }
  const model = failover([obedient, scriptedAgent])
  for (const count of [1, 2]) {
    const turn = fakeTurn({ log })
    const line = listen(model, turn)
    await settled()
    turn.abort()
    t.equal(await line.over, 'over')
    t.equal(asked, count)
  }
  t.strictSame(logs, [])
})

t.test('a turn that is already aborted asks no agent', async t => {
  const { a, b, model, newTurn } = setup(t)
  const turn = newTurn()
  turn.abort()
  t.strictSame(await ask(model, turn), [])
  t.strictSame([...a.askings, ...b.askings], [])
})

t.test('a turn that is aborted while its agent is replaced asks no other', async t => {
  const { a, b, model, newTurn } = setup(t)
  // The failed agent's clean-up is the last thing that runs before the next is asked.
  const turn = newTurn()
  const line = listen(model, turn)
  a.last.turn.signal.addEventListener('abort', () => turn.abort())
  await a.last.fail(new Error('down'))
  t.equal(await line.over, 'over')
  t.equal(b.askings.length, 0)
  t.equal(listeners(turn), 0)
})

t.test('an agent that aborts its turn while it is being called is closed', async t => {
  const { logs, log } = capture()
  const turn = fakeTurn({ log })
  const cancelled = deferred<unknown>()
  const model = failover([() => {
    turn.abort('ended')
    return new ReadableStream<Speech>({ cancel: () => cancelled.resolve('cancelled') })
  }, scriptedAgent])
  t.strictSame(await ask(model, turn), [])
  t.equal(await cancelled.promise, 'cancelled')
  t.strictSame(logs, [])
})

t.test('a stream that resolves too late is cancelled, and a late rejection is ignored', async t => {
  const clock = stopClocks(t)
  for (const settle of ['resolve', 'reject'] as const) {
    const late = deferred<Reply>()
    const model = failover([() => late.promise as Reply, scriptedAgent], { firstTokenMs: FIRST_TOKEN_MS })
    const line = listen(model, fakeTurn(capture()))
    await clock.pass(FIRST_TOKEN_MS)
    t.equal(await line.over, 'over')
    const cancelled = deferred<unknown>()
    if (settle === 'reject') late.reject(new Error('too late'))
    else {
      late.resolve(new ReadableStream<Speech>({ cancel: () => cancelled.resolve('cancelled') }))
      t.equal(await cancelled.promise, 'cancelled')
    }
    await settled()
    t.strictSame(line.heard, ['I am sorry, can you say that again?'])
  }
})

t.test('an iterable that comes too late is closed unread', async t => {
  const clock = stopClocks(t)
  const late = deferred<Reply>()
  const model = failover([() => late.promise as Reply, scriptedAgent], { firstTokenMs: FIRST_TOKEN_MS })
  const line = listen(model, fakeTurn(capture()))
  await clock.pass(FIRST_TOKEN_MS)
  await line.over
  const calls: string[] = []
  const iterator = {
    next: () => { calls.push('next'); return { done: true, value: undefined } },
    return: () => { calls.push('return'); return { done: true, value: undefined } }
  } as const
  late.resolve({ [Symbol.iterator]: () => iterator })
  await settled()
  t.strictSame(calls, ['return'])
})

t.test('an abandoned reply stops its agent', async t => {
  const { a, b, model, newTurn, logs } = setup(t)
  for (const piece of [filler('Hm.'), 'Hello']) {
    const turn = newTurn()
    const reply = model.call(app, turn)
    const step = reply.next()
    await a.last.say(piece)
    await step
    t.equal(listeners(turn), 1)
    await reply.return()
    t.equal(a.last.closed, 1)
    t.match(a.last.turn.signal.reason, { name: 'AbortError' })
    t.equal(listeners(turn), 0)
  }
  t.equal(b.askings.length, 0)
  t.strictSame(logs, [])
})

t.test('an error of an agent\'s clean-up is ignored', async t => {
  const clock = stopClocks(t)
  const stuck = deferred()
  const first: Agent = async function * () {
    try {
      yield filler('Hm.')
      await stuck.promise
    } finally {
      throw new Error('clean-up') // eslint-disable-line no-unsafe-finally
    }
  }
  const line = listen(failover([first, scriptedAgent], { firstTokenMs: FIRST_TOKEN_MS }), fakeTurn(capture()))
  await settled()
  await clock.pass(FIRST_TOKEN_MS)
  stuck.resolve()
  t.equal(await line.over, 'over')
  t.strictSame(line.heard, [filler('Hm.'), 'I am sorry, can you say that again?'])
})

t.test('whichever comes first, token or deadline, only one agent is heard', async t => {
  const outcomes = new Set<string>()
  for (let hops = 0; hops < 20; hops++) {
    await t.test(`a deadline ${hops} microtasks after the token`, async t => {
      const { a, b, model, clock, newTurn } = setup(t)
      const line = listen(model, newTurn())
      const said = a.last.say('A')
      for (let hop = 0; hop < hops; hop++) await null
      const passed = clock.pass(FIRST_TOKEN_MS)
      await Promise.all([said, passed])
      const failedOver = b.askings.length > 0
      const speaker = failedOver ? b : a
      t.equal(a.last.turn.signal.aborted, failedOver)
      if (failedOver) await b.last.say('B')
      await speaker.last.end()
      t.equal(await line.over, 'over')
      t.strictSame(line.heard, [failedOver ? 'B' : 'A'])
      outcomes.add(String(line.heard))
    })
  }
  t.strictSame([...outcomes].sort(), ['A', 'B'])
})

t.test('whichever comes first, token or abort, the reply ends quietly', async t => {
  const outcomes = new Set<string>()
  for (let hops = 0; hops < 20; hops++) {
    await t.test(`an abort ${hops} microtasks after the token`, async t => {
      const { a, b, model, newTurn, logs } = setup(t)
      const turn = newTurn()
      const line = listen(model, turn)
      const said = a.last.say('A')
      for (let hop = 0; hop < hops; hop++) await null
      turn.abort()
      await said
      t.equal(await line.over, 'over')
      t.strictSame([a.last.closed, b.askings.length, listeners(turn)], [1, 0, 0])
      t.strictSame(logs, [])
      outcomes.add(String(line.heard))
    })
  }
  t.strictSame([...outcomes].sort(), ['', 'A'])
})

// Health

t.test('a failed agent is skipped until its cooldown is over', async t => {
  const stage = setup(t, { probe: false })
  const { a, b, model, clock, newTurn } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS - 1)
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [1, 2])
  await clock.pass(1)
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [2, 2])
})

t.test('without a probe the next turn asks the agent', async t => {
  const stage = setup(t, { probe: false })
  const { a, b, model, clock, newTurn, logs } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  await clock.pass(FIRST_TOKEN_MS)
  t.strictSame([a.askings.length, b.askings.length], [2, 2], 'it has a deadline')
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [2, 3], 'it is sick again')
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  await a.last.say('Hello')
  t.match(logs.at(-1), { level: 30, msg: 'agent is healthy again', agentIndex: 0 })
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [4, 3])
})

t.test('the only healthy agent has no deadline', async t => {
  const stage = setup(t)
  const { b, model, clock, newTurn } = stage
  await sicken(stage)
  const line = listen(model, newTurn())
  await clock.pass(FIRST_TOKEN_MS * 10)
  t.equal(b.last.turn.signal.aborted, false)
  await b.last.say('At last')
  t.strictSame(line.heard, ['At last'])
})

for (const [reason, begun, ms, next] of [
  ['deadline', false, FIRST_TOKEN_MS, 'a'], ['deadline', false, FIRST_TOKEN_MS - 1, 'b'], ['deadline', true, FIRST_TOKEN_MS, 'b'], ['superseded', false, FIRST_TOKEN_MS, 'b']
] as const) {
  const sick = next === 'a' ? 'is' : 'is not'
  t.test(`the only healthy agent ${sick} sick when after ${ms} ms the turn ends by ${reason} ${begun ? 'behind' : 'before'} its first word`, async t => {
    const stage = setup(t)
    const { a, b, model, newTurn } = stage
    await sicken(stage)
    const turn = newTurn()
    const line = listen(model, turn)
    await settled()
    if (begun) await b.last.say('So ')
    await stage.clock.pass(ms)
    turn.abort(reason)
    t.equal(await line.over, 'over')
    const before = { a: a.askings.length, b: b.askings.length }
    listen(model, newTurn())
    await settled()
    t.strictSame({ a: a.askings.length, b: b.askings.length }, { ...before, [next]: before[next] + 1 })
  })
}

t.test('when the only healthy agent fails, the failed ones are asked', async t => {
  const stage = setup(t)
  const { a, b, model, clock, newTurn } = stage
  await sicken(stage)
  const line = listen(model, newTurn())
  await b.last.fail(new Error('down as well'))
  t.equal(a.askings.length, 2)
  await clock.pass(FIRST_TOKEN_MS * 10)
  await a.last.say('Here I am')
  t.strictSame(line.heard, ['Here I am'])
})

t.test('when all have failed they are asked in order, and an answer closes the breaker', async t => {
  const { a, b, c, model, clock, newTurn, logs } = setup(t, {}, 3)
  const first = listen(model, newTurn())
  for (const { askings } of [a, b, c]) await askings[0]!.fail(new Error('down'))
  t.match(await first.failure, { message: 'down' })

  await clock.pass(COOLDOWN_MS)
  const second = listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length, c.askings.length], [2, 1, 1], 'nobody is probed')
  await clock.pass(FIRST_TOKEN_MS)
  await b.last.say('Hello')
  t.strictSame(second.heard, ['Hello'])
  t.match(logs.at(-1), { level: 30, msg: 'agent is healthy again', agentIndex: 1 })
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length, c.askings.length], [2, 3, 2], 'c is due for a probe, a is not')
})

t.test('a greeting does not close the breaker', async t => {
  const { a, b, model, newTurn, logs } = setup(t)
  const line = listen(model, newTurn())
  await a.last.fail(new Error('down'))
  await b.last.fail(new Error('down'))
  await line.failure
  const greeting = listen(model, newTurn({ reason: 'greeting' }))
  await a.last.say('How may I help you?')
  t.strictSame(greeting.heard, ['How may I help you?'])
  t.notOk(healed(logs))
})

t.test('chosen silence closes the breaker', async t => {
  const { a, b, model, newTurn, logs } = setup(t)
  const line = listen(model, newTurn())
  await a.last.fail(new Error('down'))
  await b.last.fail(new Error('down'))
  await line.failure
  listen(model, newTurn())
  await a.last.end()
  t.ok(healed(logs))
})

t.test('an answer to an older request proves nothing of an agent that had failed before', async t => {
  const stage = setup(t)
  const { a, b, model, clock, newTurn, logs } = stage
  await sicken(stage)
  listen(model, newTurn())
  await b.last.fail(new Error('down'))
  const old = a.last
  listen(model, newTurn())
  await clock.pass(FIRST_TOKEN_MS)
  t.equal(a.last.turn.signal.aborted, true)
  await old.say('Hello')
  t.notOk(healed(logs))
})

t.test('an answer to an older request proves nothing', async t => {
  const stage = setup(t)
  const { a, b, model, newTurn, logs } = stage
  const old = listen(model, newTurn())
  const oldAsking = a.last
  await sicken(stage)
  await oldAsking.say('Hello')
  t.strictSame(old.heard, ['Hello'])
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [2, 2])
  t.notOk(healed(logs))
})

t.test('a second failure does not shorten the cooldown', async t => {
  const stage = setup(t, { probe: false })
  const { a, model, clock, newTurn } = stage
  listen(model, newTurn())
  const old = a.last
  await sicken(stage, { headers: new Headers({ 'retry-after': '60' }) })
  await old.fail(new Error('down'))
  await clock.pass(59_999)
  listen(model, newTurn())
  t.equal(a.askings.length, 2)
  await clock.pass(1)
  listen(model, newTurn())
  t.equal(a.askings.length, 3)
})

t.test('an agent is not asked for as long as its server says', async t => {
  const headers = (init: Record<string, string>) => new APIError(429, undefined, 'slow down', new Headers(init))
  const hostile = Object.defineProperty(new Error('down'), 'headers', { get () { throw new Error('no headers') } })
  const cases: Array<[string, unknown, number]> = [
    ['seconds', headers({ 'retry-after': '60' }), 60_000],
    ['milliseconds', headers({ 'retry-after-ms': '45500' }), 45_500],
    ['both', headers({ 'retry-after-ms': '45500', 'retry-after': '46' }), 46_000],
    ['a date', headers({ 'retry-after': new Date(90_000).toUTCString() }), 90_000],
    ['less than the cooldown', headers({ 'retry-after': '1' }), COOLDOWN_MS],
    ['a past date', headers({ 'retry-after': new Date(-90_000).toUTCString() }), COOLDOWN_MS],
    ['too much', headers({ 'retry-after': '86400' }), 300_000],
    ['no number', headers({ 'retry-after': 'soon', 'retry-after-ms': 'soon' }), COOLDOWN_MS],
    ['a number below 0', headers({ 'retry-after': '-60' }), COOLDOWN_MS],
    ['nothing', headers({}), COOLDOWN_MS],
    ['no headers', new APIError(500, undefined, 'oops', undefined), COOLDOWN_MS],
    ['no error at all', undefined, COOLDOWN_MS],
    ['an error that cannot be read', hostile, COOLDOWN_MS]
  ]
  for (const [what, error, ms] of cases) {
    await t.test(what, async t => {
      const stage = setup(t, { probe: false })
      const { a, model, clock, newTurn, logs } = stage
      await sicken(stage, error)
      t.equal(logs[0]?.['cooldownMs'], ms)
      await clock.pass(ms - 1)
      listen(model, newTurn())
      t.equal(a.askings.length, 1)
      await clock.pass(1)
      listen(model, newTurn())
      t.equal(a.askings.length, 2)
    })
  }
})

t.test('a cooldown longer than 5 minutes is kept', async t => {
  const stage = setup(t, { cooldownMs: 600_000, probe: false })
  await sicken(stage, { headers: new Headers({ 'retry-after': '400' }) })
  t.equal(stage.logs[0]?.['cooldownMs'], 600_000)
})

t.test('a failure is a warning without content', async t => {
  const stage = setup(t)
  await sicken(stage, Object.assign(new TypeError(SECRET), { code: 'E_DOWN', status: 503 }))
  const [warning, whole] = stage.logs
  t.match(warning, {
    level: 40,
    msg: 'agent gave no answer',
    agentIndex: 0,
    agentName: 'agent',
    cooldownMs: COOLDOWN_MS,
    err: { type: 'TypeError', code: 'E_DOWN', status: 503 }
  })
  t.notMatch(JSON.stringify(warning), SECRET)
  t.match(whole, { level: 20, err: { message: SECRET } })
})

t.test('silence is logged as a failure with its duration', async t => {
  const { model, clock, newTurn, logs } = setup(t)
  listen(model, newTurn())
  await clock.pass(FIRST_TOKEN_MS)
  t.match(logs[0], { level: 40, err: { code: 'VOICE_AGENT_ERR_DEADLINE', message: /first-token deadline of 2000 ms/ } })
})

t.test('a model that refuses is replaced by another, and is not asked for as long as it says', async t => {
  const [first, second] = await Promise.all([startScriptedModel(), startScriptedModel()])
  t.teardown(() => Promise.all([first.close(), second.close()]))
  const { logs, log } = capture()
  const model = failover([first, second].map(({ url }) => openAIAgent({ apiKey: 'k', baseURL: url })))
  t.teardown(() => model.close())
  first.next({ status: 429, headers: { 'retry-after': '60' } })
  second.next(['Hello', ' there.'])
  t.strictSame(await ask(model, fakeTurn({ log })), ['Hello', ' there.'])
  t.match(logs[0], { level: 40, agentIndex: 0, cooldownMs: 60_000, err: { type: 'RateLimitError', status: 429 } })
})

t.test('the request to a silent model is cancelled', async t => {
  const [first, second] = await Promise.all([startScriptedModel(), startScriptedModel()])
  t.teardown(() => Promise.all([first.close(), second.close()]))
  const model = failover([first, second].map(({ url }) => openAIAgent({ apiKey: 'k', baseURL: url })), { firstTokenMs: 50 })
  t.teardown(() => model.close())
  const never = hold()
  first.next([never])
  second.next([never, 'Hello'])
  const cancelled = once(first.events, 'cancelled')
  const line = listen(model, fakeTurn(capture()))
  await cancelled
  never.release()
  await line.over
  t.strictSame(line.heard, ['Hello'])
})

// Probes

t.test('after its cooldown a failed agent is probed beside a turn, and healthy when it begins to answer', async t => {
  const stage = setup(t)
  const { a, b, model, clock, newTurn, logs } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  const turn = newTurn()
  const line = listen(model, turn)
  t.strictSame([a.askings.length, b.askings.length], [2, 2])
  const probe = a.last
  await probe.say(filler('Hm.'))
  await probe.say(null)
  t.equal(probe.turn.signal.aborted, false, 'a filler is no answer')
  await probe.say('Hi, this is a probe')
  t.equal(probe.closed, 1)
  t.equal(probe.turn.signal.aborted, true)
  await b.last.say('Hello')
  await b.last.end()
  await line.over
  t.strictSame(line.heard, ['Hello'])
  t.match(logs.at(-1), { level: 30, msg: 'agent is healthy again', agentIndex: 0 })

  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [3, 2])
})

t.test('a turn probes an agent once, even if others fail', async t => {
  const { a, b, c, model, clock, newTurn, logs } = setup(t, {}, 3)
  const line = listen(model, newTurn())
  await a.last.fail(new Error('down'))
  await b.last.say('Hello')
  await b.last.end()
  await line.over
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  await a.last.say('Hi')
  t.ok(healed(logs))
  await b.last.fail(new Error('down'))
  t.strictSame([a.askings.length, b.askings.length, c.askings.length], [2, 2, 1])
})

t.test('an agent whose probe ends without a word is healthy', async t => {
  const stage = setup(t)
  const { a, b, model, clock, newTurn } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  await a.last.end()
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [3, 2])
})

t.test('the probed agent is asked to answer in a call that cannot be controlled', async t => {
  const stage = setup(t)
  const { a, model, clock, newTurn, logs } = stage
  const facts = {
    id: 'call_1',
    provider: 'retell',
    from: '+15550100',
    to: '+15550101',
    direction: 'inbound',
    metadata: { tenant: 1 },
    variables: { name: 'Jo' },
    details: {}
  } as const
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  const turn = newTurn({ call: { ...facts, state: { cart: [] } } as unknown as Call, transcript: [{ role: 'user', content: SECRET }] })
  listen(model, turn)
  const { self, turn: probe } = a.last
  t.equal(self, app)
  t.equal(probe.reason, 'response')
  t.not(probe.id, turn.id)
  t.strictSame(probe.transcript, [{ role: 'user', content: 'Hello?' }])
  t.strictSame(probe.messages, [{ role: 'user', content: 'Hello?' }])
  t.match(probe.call, facts)
  t.equal(probe.call.details, turn.call.details)
  t.strictSame(probe.call.state, {})
  probe.log.info('asked')
  probe.call.log.info('asked')
  t.match(logs.slice(-2), [{ msg: 'asked', probe: true }, { msg: 'asked', probe: true }])
  const ended = { code: 'VOICE_AGENT_ERR_CALL_ENDED' }
  await t.rejects(probe.call.interject('Boo'), ended)
  await t.rejects(probe.call.end(), ended)
  await t.rejects(probe.call.transfer('+15550102'), ended)
  await t.rejects(probe.call.sendMetadata({}), ended)
  await t.rejects(probe.call.updateAgent({}), ended)
})

t.test('a probe outlives its turn, and runs once at a time', async t => {
  const stage = setup(t)
  const { a, model, clock, newTurn } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  const turn = newTurn()
  listen(model, turn)
  turn.abort()
  t.equal(a.last.turn.signal.aborted, false)
  listen(model, newTurn())
  listen(model, newTurn())
  t.equal(a.askings.length, 2)
})

t.test('an agent whose probe fails is skipped for another cooldown', async t => {
  const fails: Record<string, (stage: ReturnType<typeof setup>) => Promise<void>> = {
    'it throws': ({ a }) => a.last.fail(new Error(SECRET)),
    'it says what cannot be spoken': ({ a }) => a.last.say(42),
    'it is silent for too long': ({ clock }) => clock.pass(FIRST_TOKEN_MS)
  }
  for (const [what, fail] of Object.entries(fails)) {
    await t.test(what, async t => {
      const stage = setup(t)
      const { a, model, clock, newTurn, logs } = stage
      await sicken(stage)
      await clock.pass(COOLDOWN_MS)
      listen(model, newTurn())
      const probe = a.last
      await fail(stage)
      t.equal(probe.closed, 1)
      t.equal(probe.turn.signal.aborted, true)
      t.match(logs.at(-2), { level: 40, msg: 'agent gave no answer', agentIndex: 0, cooldownMs: COOLDOWN_MS })
      t.notMatch(JSON.stringify(logs.at(-2)), SECRET)
      await clock.pass(COOLDOWN_MS - 1)
      listen(model, newTurn())
      t.equal(a.askings.length, 2)
      await clock.pass(1)
      listen(model, newTurn())
      t.equal(a.askings.length, 3)
    })
  }
})

t.test('a probed agent that yields only fillers is stopped', async t => {
  const clock = stopClocks(t)
  const { log } = capture()
  let state = 'down'
  const babbler: Agent = async function * () {
    if (state === 'down') throw new Error('down')
    try {
      while (true) yield filler('Hm.')
    } finally {
      state = 'cut off'
    }
  }
  const model = failover([babbler, scriptedAgent], { firstTokenMs: FIRST_TOKEN_MS, cooldownMs: COOLDOWN_MS })
  await ask(model, fakeTurn({ log }))
  await clock.pass(COOLDOWN_MS)
  state = 'babbling'
  await ask(model, fakeTurn({ log }))
  await settled()
  t.equal(state, 'babbling')
  await clock.pass(FIRST_TOKEN_MS)
  await settled()
  t.equal(state, 'cut off')
})

t.test('a probe does not keep the process alive, and no timer is left', async t => {
  const stage = setup(t)
  const { a, model, clock, newTurn } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  mock.timers.reset()
  const made = mock.method(globalThis, 'setTimeout')
  const cleared = mock.method(globalThis, 'clearTimeout')
  t.teardown(() => {
    made.mock.restore()
    cleared.mock.restore()
  })
  const timers = () => made.mock.calls.map(({ result }) => result)
  const left = () => timers().filter(timer => !cleared.mock.calls.some(call => call.arguments[0] === timer)).length

  listen(model, newTurn())
  t.strictSame(timers().map(timer => timer?.hasRef()), [false])
  await a.last.say('Hi')
  t.equal(left(), 0)

  const ends: Array<(turn: FakeTurn, reply: AsyncGenerator<Speech>) => unknown> = [
    () => a.last.say('Hello'),
    () => a.last.end(),
    turn => turn.abort(),
    (_turn, reply) => Promise.all([reply.return(undefined), a.last.say(filler('Hm.'))]),
    // Last of all, since it is sick from then on.
    () => a.last.fail(new Error('down'))
  ]
  for (const end of ends) {
    const turn = newTurn()
    const { reply } = listen(model, turn)
    t.equal(left(), 1)
    await end(turn, reply)
    t.equal(left(), 0)
  }
})

t.test('the app\'s own probe decides', async t => {
  const probes: Array<{ agent: Agent, signal: AbortSignal, resolve (value: unknown): void, reject (error: unknown): void }> = []
  const stage = setup(t, {
    probe: (agent, signal) => {
      const { promise, resolve, reject } = deferred<unknown>()
      probes.push({ agent, signal, resolve, reject })
      return promise
    }
  })
  const { a, b, model, clock, newTurn } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  t.equal(probes.length, 1)
  t.equal(probes[0]?.agent, a.agent)
  probes[0]?.reject(new Error('still down'))
  await settled()
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  t.equal(probes.length, 2)
  t.equal(probes[1]?.signal.aborted, false)
  await clock.pass(FIRST_TOKEN_MS)
  t.match(probes[1]?.signal.reason, { reason: 'deadline' })
  probes[1]?.resolve('too late')
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  t.equal(probes.length, 3)
  probes[2]?.resolve('fine')
  await settled()
  t.equal(probes[2]?.signal.aborted, true)
  t.equal(a.askings.length, 1)
  const asked = b.askings.length
  listen(model, newTurn())
  t.strictSame([a.askings.length, b.askings.length], [2, asked])
})

t.test('an app\'s probe that throws at once has failed', async t => {
  const stage = setup(t, { probe: () => { throw new Error('no probe') } })
  const { a, b, model, clock, newTurn, logs } = stage
  await sicken(stage)
  await clock.pass(COOLDOWN_MS)
  listen(model, newTurn())
  await settled()
  t.match(logs.at(-2), { level: 40, agentIndex: 0 })
  t.strictSame([a.askings.length, b.askings.length], [1, 2])
})

// Closing

t.test('close() closes the agents that can be closed, and stops probes', async t => {
  const closed: string[] = []
  const closable = (name: string) => Object.assign((() => { throw new Error('down') }) as Agent, { close: async () => { closed.push(name) } })
  const { log } = capture()
  const { pass } = stopClocks(t)
  const probed = deferred<AbortSignal>()
  const model = failover([closable('a'), scriptedAgent, Object.assign(closable('c'), { close: 'no function' }), closable('d')], {
    cooldownMs: COOLDOWN_MS,
    probe: async (_agent, signal) => { probed.resolve(signal); await new Promise(() => {}) }
  })
  await ask(model, fakeTurn({ log }))
  await pass(COOLDOWN_MS)
  await ask(model, fakeTurn({ log }))
  const signal = await probed.promise
  t.equal(signal.aborted, false)
  await model.close()
  t.equal(signal.aborted, true)
  t.strictSame(closed, ['a', 'd'])
})

t.test('an agent whose close() rejects does not keep the others open', async t => {
  const last = deferred()
  const error = new Error('stuck')
  const broken = Object.assign((() => '') as Agent, { close: () => { throw error } })
  let closed = false
  const slow = Object.assign((() => '') as Agent, { close: async () => { await last.promise; closed = true } })
  const closing = failover([broken, slow]).close().catch((error: unknown) => error)
  await settled()
  last.resolve()
  t.equal(await closing, error)
  t.equal(closed, true)
})

// Options

t.test('fewer than two agents, or a value that is not an agent, are refused', async t => {
  const refused = { code: 'VOICE_AGENT_ERR_CONFIG', message: /failover: agents/ }
  for (const agents of [[], [scriptedAgent], [scriptedAgent, 'b'], [scriptedAgent, undefined], scriptedAgent, undefined]) {
    t.throws(() => failover(agents as Agent[]), refused)
  }
})

t.test('the list of agents may be changed afterwards', async t => {
  const agents = [scriptedAgent, scriptedAgent]
  const model = failover(agents)
  agents.length = 0
  t.strictSame(await ask(model, fakeTurn()), ['I am sorry, can you say that again?'])
})

t.test('the error names an option that is not accepted', async t => {
  for (const name of ['firstTokenMs', 'cooldownMs']) {
    for (const ms of [0, -1, NaN, Infinity, 2 ** 31, '5', null]) {
      t.throws(() => failover([scriptedAgent, scriptedAgent], { [name]: ms }), { code: 'VOICE_AGENT_ERR_CONFIG', message: new RegExp(`failover: ${name}`) })
    }
  }
  t.throws(() => failover([scriptedAgent, scriptedAgent], { probe: true as never }), { code: 'VOICE_AGENT_ERR_CONFIG', message: /failover: probe/ })
})

t.test('by default an agent has 2 s, and is skipped for 30 s after a failure', async t => {
  const clock = stopClocks(t)
  const { logs, log } = capture()
  const { agent, askings } = puppet()
  const model = failover([agent, scriptedAgent])
  const line = listen(model, fakeTurn({ log }))
  await clock.pass(1_999)
  t.strictSame(line.heard, [])
  await clock.pass(1)
  t.strictSame(line.heard, ['I am sorry, can you say that again?'])
  t.match(logs[0], { cooldownMs: 30_000 })
  await clock.pass(30_000)
  await ask(model, fakeTurn({ log, call: {} as Call }))
  t.equal(askings.length, 2)
})
