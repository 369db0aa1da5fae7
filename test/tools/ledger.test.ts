import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import pino from 'pino'
import t from 'tap'
import fc from 'fast-check'
import { Type, type TObject } from '@sinclair/typebox'
import type { FastifyBaseLogger } from 'fastify'
import { endCall, filler, pressDigits, transferCall, type Call } from '../../lib/contract/agent.js'
import { DeadlineError, ToolError, TurnAbortedError } from '../../lib/contract/errors.js'
import { Ledger, ledgerOf } from '../../lib/tools/ledger.js'
import { failed, unfinished, type ToolOutcome } from '../../lib/tools/tool-outcome.js'
import { tool, type Tool, type ToolContext, type ToolOptions } from '../../lib/tools/tool.js'
import { deferred, type LogLine } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { useClock } from '../helpers/clock.js'
import { fakeTurn, type FakeTurn } from '../helpers/fake-turn.js'
import { scaledRuns } from '../helpers/runs.js'

const SECRET = 'my card number is 4111'
const ONCE = '\n(Run only once: this is the same call as before.)'
const TOLD_BEFORE = '\n(Not run again: this was done earlier in the call.)'
const CANCELLED = { content: '{"error":"cancelled"}', successful: false }
const CANCELLED_UNKNOWN = { content: '{"error":"cancelled: whether it took effect is not known"}', successful: false }
const FAILED = { content: '{"error":"the tool failed"}', successful: false }

const DONE = { content: 'done', successful: true }

const Parameters = Type.Object({ n: Type.Optional(Type.Number()) })

/** One run of a tool. The test says what comes of it. */
interface Run {
  readonly args: unknown
  readonly context: ToolContext
  /** Each resolves when whoever waits has had the time to react. */
  succeed (returned?: unknown): Promise<void>
  fail (error: unknown): Promise<void>
}

/** A tool of which every run is kept. It never looks at its signal. */
function puppet (options: Partial<ToolOptions<typeof Parameters>> = {}) {
  const runs: Run[] = []
  const made = tool({
    name: 'book',
    description: 'Books.',
    parameters: Parameters,
    ...options,
    execute (args, context) {
      const { promise, resolve, reject } = deferred<unknown>()
      runs.push({
        args,
        context,
        succeed: async returned => { resolve(returned); await tick() },
        fail: async error => { reject(error); await tick() }
      })
      return promise
    }
  })
  return { made, runs, get last () { return runs.at(-1)! } }
}

function setup (options: Partial<ToolOptions<typeof Parameters>> = {}, facts: Partial<Pick<Call, 'id' | 'provider'>> = {}) {
  const logs: LogLine[] = []
  const log = pino({ level: 'trace' }, { write: line => { logs.push(JSON.parse(line)) } }) as FastifyBaseLogger
  const work: Array<Promise<unknown>> = []
  const call = { id: 'call_1', provider: 'retell', completedTurns: 0, waitUntil: (promise: Promise<unknown>) => { work.push(promise) }, ...facts }
  const ledger = new Ledger()
  const book = puppet(options)
  const newTurn = () => fakeTurn({ call: call as Partial<Call> as Call, log })
  const ask = (turn: FakeTurn, args: Record<string, unknown> = {}, made: Tool = book.made) => ledger.settle(made, args, turn, 'call_1')
  /** A turn came to its end by itself. */
  const complete = () => { call.completedTurns++ }
  return { book, ledger, logs, work, newTurn, ask, complete }
}

/** What comes of a tool that throws a ToolError. */
function refused (why: string): ToolOutcome {
  return { ...failed(why), refused: true }
}

/** A result with a note behind it. */
function noted (content: string, note: string): ToolOutcome {
  return { content: content + note, successful: true }
}

/** A tool that is done as soon as it has begun. */
function atOnce (execute: () => unknown, options: Partial<ToolOptions<TObject>> = {}): Tool {
  return tool({ name: 'at_once', description: 'Does.', parameters: Type.Object({}), ...options, execute })
}

/** Is nothing known of it yet? */
async function isPending (outcome: Promise<ToolOutcome>): Promise<boolean> {
  return await Promise.race([outcome, tick().then(() => 'pending')]) === 'pending'
}

function listeners ({ signal }: FakeTurn): number {
  return getEventListeners(signal, 'abort').length
}

// What a tool is given

t.test('a tool runs at once, with its arguments, call, turn and log', async t => {
  const { book, logs, newTurn, ask } = setup()
  const turn = newTurn()
  const outcome = ask(turn, { n: 1 })
  t.equal(book.runs.length, 1)
  const { args, context } = book.last
  t.strictSame(args, { n: 1 })
  t.equal(context.turn, turn)
  t.equal(context.call, turn.call)
  t.equal(context.signal.aborted, false)
  context.log.info('running')
  t.match(logs, [{ tool: 'book', msg: 'running' }])
  await book.last.succeed('done')
  t.strictSame(await outcome, { content: 'done', successful: true })
})

t.test('each call has one ledger of its own', async t => {
  const call = {} as Call
  t.equal(ledgerOf(call), ledgerOf(call))
  t.not(ledgerOf(call), ledgerOf({} as Call))
})

// What a model is told

for (const [what, returned, content] of [
  ['a text', 'Table 4', 'Table 4'],
  ['an object', { table: 4, at: new Date(0) }, '{"table":4,"at":"1970-01-01T00:00:00.000Z"}'],
  ['a list', [1, 'two'], '[1,"two"]'],
  ['zero', 0, '0'],
  ['false', false, 'false'],
  ['null', null, 'null'],
  ['nothing', undefined, 'Done.'],
  ['an empty text', '', 'Done.'],
  ['a blank text', ' \n\t', 'Done.'],
  ['what is no JSON by its own account', { toJSON: () => undefined }, 'Done.'],
  ['an action that does not end the turn', filler('Hm'), '{"action":"filler","text":"Hm"}'],
  ['an action with something missing', { ...endCall(), say: undefined }, '{"action":"end-call"}'],
  ['what looks like an action', { action: 'end-call', say: 'Bye' }, '{"action":"end-call","say":"Bye"}']
] as Array<[what: string, returned: unknown, content: string]>) {
  t.test(`a tool that returns ${what} is done`, async t => {
    const { logs, newTurn, ask } = setup()
    t.strictSame(await ask(newTurn(), {}, atOnce(() => returned)), { content, successful: true })
    t.strictSame(await ask(newTurn(), {}, atOnce(async () => returned, { name: 'later' })), { content, successful: true })
    t.strictSame(logs, [])
  })
}

t.test('a tool whose result cannot be written as JSON counts as done, and does not run again', async t => {
  const circular: Record<string, unknown> = { SECRET }
  circular['itself'] = circular
  for (const returned of [10n, { n: 10n }, circular, { toJSON: () => { throw new Error(SECRET) } }]) {
    const { logs, newTurn, ask } = setup()
    let runs = 0
    const made = atOnce(() => { runs++; return returned })
    const turn = newTurn()
    t.strictSame(await ask(turn, {}, made), { content: 'Done.', successful: true })
    t.strictSame(await ask(turn, {}, made), noted('Done.', ONCE))
    t.equal(runs, 1)
    t.match(logs.filter(({ level }) => level >= 30), [{ level: 50, tool: 'at_once', msg: 'a tool\'s result cannot be written as JSON' }])
    t.notMatch(JSON.stringify(logs.filter(({ level }) => level >= 30)), SECRET)
  }
})

for (const action of [endCall({ say: 'Bye' }), transferCall('+14155550100'), pressDigits('1')]) {
  t.test(`${action.action} is passed on, and the model learns that it is requested`, async t => {
    const { newTurn, ask } = setup()
    const outcome = await ask(newTurn(), {}, atOnce(() => action))
    t.strictSame(outcome.action, action)
    t.equal(outcome.successful, true)
    t.match(outcome.content, /^Requested\. It takes place once you were heard to the end/)
    t.notMatch(outcome.content, /4155550100|Bye/)
  })
}

t.test('an action that the caller interrupted is passed on again when it is requested again', async t => {
  let runs = 0
  for (const sideEffects of [true, false]) {
    const { newTurn, ask } = setup()
    const made = atOnce(() => { runs++; return endCall() }, { sideEffects })
    const first = newTurn()
    await ask(first, {}, made)
    first.abort('interrupted')
    t.strictSame((await ask(newTurn(), {}, made)).action, endCall())
  }
  t.equal(runs, 2)
})

t.test('the message of a ToolError reaches the model, and no log', async t => {
  const { logs, newTurn, ask } = setup()
  class Declined extends ToolError {}
  for (const execute of [() => { throw new ToolError('The card was "declined".') }, async () => { throw new Declined('The card was "declined".') }]) {
    t.strictSame(await ask(newTurn(), {}, atOnce(execute)), { content: '{"error":"The card was \\"declined\\"."}', successful: false, refused: true })
  }
  t.strictSame(logs, [])
})

t.test('the message of any other error reaches neither the model nor a log above debug', async t => {
  const { logs, newTurn, ask } = setup()
  const cause = new Error('down', { cause: SECRET })
  for (const thrown of [new Error(SECRET), new TypeError(SECRET, { cause }), SECRET, { message: SECRET }, null, undefined, Object.assign(new Error(SECRET), { code: SECRET })]) {
    t.strictSame(await ask(newTurn(), {}, atOnce(() => { throw thrown })), FAILED)
    t.strictSame(await ask(newTurn(), {}, atOnce(async () => { throw thrown })), FAILED)
  }
  const seen = logs.filter(({ level }) => level >= 30)
  t.equal(seen.length, 14)
  for (const line of seen) t.match(line, { level: 50, tool: 'at_once', msg: 'a tool failed' })
  // A time or a process id may hold these digits.
  t.notMatch(JSON.stringify(seen.map(({ time, pid, ...line }) => line)), '4111')
})

t.test('a failed outcome states if the tool may have taken effect', async t => {
  const [look, book] = [{ sideEffects: false }, { sideEffects: true }] as [Tool, Tool]
  t.strictSame(failed('so'), { content: '{"error":"so"}', successful: false })
  t.strictSame(unfinished(look, new TurnAbortedError('superseded')), CANCELLED)
  t.strictSame(unfinished(book, new TurnAbortedError('superseded')), CANCELLED_UNKNOWN)
  t.strictSame(unfinished(look, new DeadlineError('tool', 50)), { content: '{"error":"no result within 50 ms"}', successful: false })
  t.strictSame(unfinished(book, new DeadlineError('tool', 50)), { content: '{"error":"no result within 50 ms: whether it took effect is not known"}', successful: false })
})

// At the same time

t.test('a tool that is requested twice at the same time runs once, and the model learns that', async t => {
  for (const sideEffects of [true, false]) {
    const { book, newTurn, ask } = setup({ sideEffects })
    const turn = newTurn()
    const outcomes = [ask(turn, { n: 1 }), ask(turn, { n: 1 }), tick().then(() => ask(turn, { n: 1 }))]
    await tick()
    t.equal(book.runs.length, 1)
    await book.last.succeed('done')
    t.strictSame(await Promise.all(outcomes), [DONE, noted('done', ONCE), noted('done', ONCE)])
  }
})

t.test('two requests at the same time share a failure', async t => {
  const { book, newTurn, ask } = setup()
  const turn = newTurn()
  const outcomes = [ask(turn), ask(turn)]
  await book.last.fail(new ToolError('full'))
  t.strictSame(await Promise.all(outcomes), Array(2).fill(refused('full')))
  t.equal(book.runs.length, 1)
})

t.test('other arguments and other tools run at the same time', async t => {
  const { book, newTurn, ask } = setup()
  const other = puppet({ name: 'book_1' })
  const turn = newTurn()
  const outcomes = [ask(turn, { n: 1 }), ask(turn, { n: 2 }), ask(turn), ask(turn, { n: 1 }, other.made)]
  t.strictSame(book.runs.map(({ args }) => args), [{ n: 1 }, { n: 2 }, {}])
  t.equal(other.runs.length, 1)
  for (const [index, run] of [...book.runs, ...other.runs].entries()) await run.succeed(index)
  t.strictSame((await Promise.all(outcomes)).map(({ content }) => content), ['0', '1', '2', '3'])
})

t.test('the order of members does not distinguish arguments, the order of a list does', async t => {
  let runs = 0
  const { newTurn, ask } = setup()
  const made = atOnce(() => ++runs)
  const same = ['{"a":{"x":1,"y":[{"p":1,"q":2}]},"b":null,"10":1,"9":2}', '{"9":2,"b":null,"10":1,"a":{"y":[{"q":2,"p":1}],"x":1}}']
  const other = ['{"a":{"x":1,"y":[{"p":1},{"q":2}]}}', '{"a":{"x":1,"y":[{"q":2},{"p":1}]}}', '{"a":"{}"}', '{"a":{}}', '{"a":[]}', '{"a":null}', '{}']
  for (const args of [...same, ...other]) await ask(newTurn(), JSON.parse(args), made)
  t.equal(runs, 1 + other.length)
})

// Results that stand

t.test('a result is reused for the whole call, and later turns learn that the tool did not run again', async t => {
  const { book, newTurn, ask, complete } = setup()
  const first = newTurn()
  const outcome = ask(first)
  await book.last.succeed('Table 4')
  t.strictSame(await outcome, { content: 'Table 4', successful: true })
  t.strictSame(await ask(first), noted('Table 4', ONCE))
  complete()
  const second = newTurn()
  t.strictSame(await ask(second), noted('Table 4', TOLD_BEFORE))
  t.strictSame(await ask(second), noted('Table 4', ONCE))
  t.equal(book.runs.length, 1)
})

t.test('a result that its own turn could not pass on is new to a later turn', async t => {
  for (const options of [{}, { reuse: 'turn' as const }, { sideEffects: false }, { sideEffects: false, reuse: 'call' as const }]) {
    const { book, newTurn, ask } = setup(options)
    const first = newTurn()
    const outcome = ask(first)
    await book.last.succeed('Table 4')
    await outcome
    first.abort()
    const second = newTurn()
    t.strictSame(await ask(second), { content: 'Table 4', successful: true })
    second.abort()
    t.strictSame(await ask(newTurn()), { content: 'Table 4', successful: true }, 'also after another')
    t.equal(book.runs.length, 1)
  }
})

t.test('a tool with reuse per turn runs again once a turn has passed on its first result', async t => {
  for (const sideEffects of [true, false]) {
    const { book, newTurn, ask, complete } = setup({ sideEffects, reuse: 'turn' })
    const outcomes = [ask(newTurn())]
    await book.last.succeed('one')
    complete()
    outcomes.push(ask(newTurn()))
    await book.last.succeed('two')
    t.strictSame((await Promise.all(outcomes)).map(({ content }) => content), ['one', 'two'])
    t.equal(book.runs.length, 2)
  }
})

t.test('a tool with reuse per turn runs again in one turn if the model has the first result', async t => {
  const { book, newTurn, ask } = setup({ reuse: 'turn' })
  const turn = newTurn()
  const outcomes = [ask(turn)]
  await book.last.succeed('one')
  await outcomes[0]
  outcomes.push(ask(turn))
  await book.last.succeed('two')
  t.strictSame((await Promise.all(outcomes)).map(({ content }) => content), ['one', 'two'])
})

t.test('a completed turn has passed on a result, even if it did not request it', async t => {
  for (const sideEffects of [true, false]) {
    const { book, newTurn, ask, complete } = setup({ sideEffects, reuse: 'turn' })
    const first = newTurn()
    const outcomes = [ask(first)]
    await book.last.succeed('one')
    await outcomes[0]
    first.abort()
    // Another turn reads the result among its messages.
    complete()
    outcomes.push(ask(newTurn()))
    t.equal(book.runs.length, 2)
    await book.last.succeed('two')
    t.strictSame((await Promise.all(outcomes)).map(({ content }) => content), ['one', 'two'])
  }
})

t.test('a tool that ran in a turn that neither completed nor aborted does not run again', async t => {
  const { book, newTurn, ask, complete } = setup({ reuse: 'turn' })
  const outcome = ask(newTurn())
  await book.last.succeed('one')
  await outcome
  // Its model failed, and the caller heard an apology.
  t.strictSame(await ask(newTurn()), { content: 'one', successful: true })
  t.equal(book.runs.length, 1)
  complete()
  ask(newTurn())
  t.equal(book.runs.length, 2)
})

t.test('a turn that completed before the result has not passed it on', async t => {
  const { book, newTurn, ask, complete } = setup({ reuse: 'turn' })
  const first = newTurn()
  const outcome = ask(first)
  first.abort()
  complete()
  await book.last.succeed('one')
  await outcome
  t.strictSame(await ask(newTurn()), { content: 'one', successful: true })
  complete()
  ask(newTurn())
  t.equal(book.runs.length, 2)
})

t.test('a result that is requested again is reused until a later turn completes', async t => {
  const { book, newTurn, ask, complete } = setup()
  const outcome = ask(newTurn())
  await book.last.succeed('one')
  await outcome
  complete()
  const second = newTurn()
  t.strictSame(await ask(second), noted('one', TOLD_BEFORE))
  second.abort()
  t.strictSame(await ask(newTurn()), { content: 'one', successful: true }, 'nobody was told that it was not done again')
  complete()
  t.strictSame(await ask(newTurn()), noted('one', TOLD_BEFORE))
})

t.test('a look-up with reuse per call is reused for the call', async t => {
  const { book, newTurn, ask, complete } = setup({ sideEffects: false, reuse: 'call' })
  const outcome = ask(newTurn())
  await book.last.succeed('free')
  await outcome
  complete()
  await ask(newTurn(), {}, atOnce(() => 'booked'))
  t.match(await ask(newTurn()), { content: `free${TOLD_BEFORE}`, successful: true })
  t.equal(book.runs.length, 1)
})

t.test('a look-up is stale once a tool with side effects has begun or ended', async t => {
  const deeds = { before: 'run', after: 'run', around: 'run again', between: 'run again', unended: 'run again', behind: 'run again', failing: 'run again' }
  for (const [when, expected] of Object.entries(deeds)) {
    const { book: look, newTurn, ask } = setup({ name: 'look', sideEffects: false })
    const deed = puppet({ name: 'deed' })
    const first = newTurn()
    const asked: Array<Promise<unknown>> = []
    if (when === 'before' || when === 'around') asked.push(ask(first, {}, deed.made))
    if (when === 'before') await deed.last.succeed()
    asked.push(ask(first))
    if (when === 'between' || when === 'unended') asked.push(ask(first, {}, deed.made))
    await look.last.succeed('free')
    if (when === 'around') await deed.last.succeed()
    if (when === 'behind' || when === 'failing') asked.push(ask(first, {}, deed.made))
    if (when === 'behind') await deed.last.succeed()
    if (when === 'failing') await deed.last.fail(new Error('down'))
    if (when === 'between') await deed.last.succeed()
    first.abort()

    const outcome = ask(newTurn())
    t.equal(look.runs.length, expected === 'run' ? 1 : 2, when)
    if (look.runs.length === 2) await look.last.succeed('taken')
    t.match(await outcome, { content: look.runs.length === 2 ? 'taken' : 'free' })
    if (when === 'unended') await deed.last.succeed()
    await Promise.all(asked)
  }
})

t.test('another look-up makes no look-up stale', async t => {
  const { book: look, newTurn, ask } = setup({ sideEffects: false })
  const other = atOnce(() => 'seen', { sideEffects: false })
  const [first, second] = [newTurn(), newTurn()]
  const outcome = ask(first, { n: 1 })
  await ask(first, {}, other)
  await look.last.succeed('free')
  await outcome
  first.abort()
  await ask(second, {}, other)
  t.match(await Promise.race([ask(second, { n: 1 }), tick()]), { content: 'free' })
  t.equal(look.runs.length, 1)
})

t.test('a failed tool may run again, in the same turn and in later ones', async t => {
  for (const options of [{}, { reuse: 'turn' as const }, { sideEffects: false }, { sideEffects: false, reuse: 'call' as const }]) {
    const { book, newTurn, ask } = setup(options)
    const turn = newTurn()
    const outcomes = [ask(turn)]
    await book.last.fail(new Error('down'))
    outcomes.push(ask(turn))
    await book.last.fail(new ToolError('full'))
    outcomes.push(ask(newTurn()))
    await book.last.succeed('done')
    t.strictSame(await Promise.all(outcomes), [FAILED, refused('full'), DONE])
    t.equal(book.runs.length, 3)
  }
})

// Turns that are aborted

t.test('a turn that is over starts no tool', async t => {
  const { book, newTurn, ask } = setup()
  const turn = newTurn()
  turn.abort()
  t.strictSame(await ask(turn), CANCELLED)
  t.equal(book.runs.length, 0)
})

t.test('a tool that finishes is not aborted with its turn, and later turns wait for it', async t => {
  for (const sideEffects of [true, false]) {
    const { book, newTurn, ask } = setup({ sideEffects, onSupersede: 'finish' })
    const turns = [newTurn(), newTurn(), newTurn()] as const
    const outcomes = [ask(turns[0])]
    turns[0].abort()
    outcomes.push(ask(turns[1]))
    await tick()
    turns[1].abort('interrupted')
    outcomes.push(ask(turns[2]))
    t.ok(await isPending(outcomes[2]!))
    t.equal(book.runs.length, 1)
    t.equal(book.last.context.signal.aborted, false)
    await book.last.succeed('done')
    t.strictSame(await Promise.all(outcomes), Array(3).fill({ content: 'done', successful: true }))
    t.equal(book.runs.length, 1)
  }
})

t.test('a result that a later turn waited for is passed on by that turn', async t => {
  const { book, newTurn, ask, complete } = setup({ reuse: 'turn' })
  const [first, second] = [newTurn(), newTurn()]
  const outcomes = [ask(first)]
  first.abort()
  outcomes.push(ask(second))
  await book.last.succeed('one')
  complete()
  outcomes.push(ask(newTurn()))
  await book.last.succeed('two')
  t.strictSame((await Promise.all(outcomes)).map(({ content }) => content), ['one', 'one', 'two'])
})

t.test('a look-up is abandoned with its turn, and runs again for the next', async t => {
  const { book: look, newTurn, ask } = setup({ sideEffects: false })
  const first = newTurn()
  const dropped = ask(first)
  const { context } = look.last
  first.abort()
  t.equal(context.signal.reason, first.signal.reason)
  // Nobody can get in between, however soon the next turn asks.
  const second = newTurn()
  const fresh = ask(second)
  t.equal(look.runs.length, 2)
  t.strictSame(await dropped, CANCELLED)
  await look.runs[0]!.succeed('too late')
  t.ok(await isPending(fresh))
  await look.runs[1]!.succeed('fresh')
  t.strictSame(await fresh, { content: 'fresh', successful: true })
  second.abort()
  t.match(await ask(newTurn()), { content: 'fresh' })
})

t.test('a late failure of an abandoned look-up does not fail the next run', async t => {
  const { book: look, newTurn, ask } = setup({ sideEffects: false })
  const first = newTurn()
  const dropped = ask(first)
  first.abort()
  const second = newTurn()
  const fresh = ask(second)
  await look.runs[0]!.fail(new Error(SECRET))
  t.strictSame(await dropped, CANCELLED)
  const again = ask(second)
  t.equal(look.runs.length, 2)
  await look.last.succeed('fresh')
  t.match(await Promise.all([fresh, again]), [{ content: 'fresh' }, { content: 'fresh' }])
})

t.test('a cancelled tool that finishes anyway counts as done', async t => {
  const { book, newTurn, ask, complete } = setup({ onSupersede: 'cancel' })
  const [first, second] = [newTurn(), newTurn()]
  const outcomes = [ask(first)]
  first.abort()
  t.equal(book.last.context.signal.reason, first.signal.reason)
  outcomes.push(ask(second))
  t.ok(await isPending(outcomes[1]!))
  await book.last.succeed('done')
  complete()
  outcomes.push(ask(newTurn()))
  t.strictSame(await Promise.all(outcomes), [DONE, DONE, noted('done', TOLD_BEFORE)])
  t.equal(book.runs.length, 1)
})

t.test('a cancelled tool that stops runs again once, for the turn that waits', async t => {
  const { book, logs, newTurn, ask } = setup({ onSupersede: 'cancel' })
  const [first, second] = [newTurn(), newTurn()]
  const dropped = ask(first)
  book.last.context.signal.throwIfAborted()
  first.abort()
  const waiting = [ask(second), ask(second)]
  await tick()
  t.equal(book.runs.length, 1)
  await book.last.fail(first.signal.reason)
  t.equal(book.runs.length, 2)
  t.strictSame(await dropped, CANCELLED_UNKNOWN)
  await book.last.succeed('done')
  t.strictSame(await Promise.all(waiting), [DONE, noted('done', ONCE)])
  t.equal(book.runs.length, 2)
  t.match(logs, [{ level: 20, msg: 'a tool threw when it was told to stop' }])
})

t.test('a cancelled tool does not run again for a turn that is over when it stops', async t => {
  const { book, newTurn, ask } = setup({ onSupersede: 'cancel' })
  const turns = [newTurn(), newTurn(), newTurn()] as const
  const outcomes = turns.map(turn => {
    const outcome = ask(turn)
    if (turn !== turns[2]) turn.abort()
    return outcome
  })
  await book.last.fail(turns[0].signal.reason)
  t.equal(book.runs.length, 2)
  await book.last.succeed('done')
  t.strictSame(await Promise.all(outcomes), [CANCELLED_UNKNOWN, CANCELLED, { content: 'done', successful: true }])
})

t.test('the end of a turn does not cancel a tool that a later turn waits for', async t => {
  const { book, newTurn, ask } = setup({ onSupersede: 'finish' })
  const [first, second] = [newTurn(), newTurn()]
  const outcomes = [ask(first)]
  first.abort()
  outcomes.push(ask(second))
  await book.last.fail(new ToolError('full'))
  t.strictSame(await Promise.all(outcomes), [refused('full'), refused('full')])
  t.equal(book.runs.length, 1, 'nobody told it to stop, so it failed by itself')
})

// Deadlines

t.test('a look-up that exceeds its timeout is aborted, abandoned, and may run again', async t => {
  const clock = useClock(t)
  const { book: look, newTurn, ask } = setup({ sideEffects: false, timeoutMs: 50 })
  const turn = newTurn()
  const outcome = ask(turn)
  await clock.pass(49)
  const { signal } = look.last.context
  t.equal(signal.aborted, false)
  await clock.pass(1)
  t.strictSame(signal.reason, new DeadlineError('tool', 50))
  t.equal(signal.reason.deadline, 'tool')
  t.strictSame(await outcome, { content: '{"error":"no result within 50 ms"}', successful: false })
  const again = ask(turn)
  await look.runs[0]!.succeed('too late')
  t.ok(await isPending(again))
  await look.runs[1]!.succeed('fresh')
  t.match(await again, { content: 'fresh' })
  t.equal(clock.left(), 0)
})

t.test('a tool with side effects is aborted at its timeout, and never runs twice at the same time', async t => {
  const clock = useClock(t)
  const { book, newTurn, ask, complete } = setup({ timeoutMs: 50 })
  const turn = newTurn()
  const outcomes = [ask(turn)]
  const { signal } = book.last.context
  await clock.pass(50)
  t.equal(signal.reason instanceof DeadlineError, true)
  outcomes.push(ask(turn), ask(newTurn()))
  await clock.pass(50)
  t.equal(book.runs.length, 1)
  await book.last.succeed('late')
  outcomes.push(ask(newTurn()))
  complete()
  outcomes.push(ask(newTurn()))
  t.strictSame((await Promise.all(outcomes)).map(({ content }) => content), ['late', `late${ONCE}`, 'late', 'late', `late${TOLD_BEFORE}`])
  t.equal(book.runs.length, 1)
  t.equal(clock.left(), 0)
})

t.test('a late result is reused until a turn has passed it on', async t => {
  const clock = useClock(t)
  const { book, ledger, newTurn, ask, complete } = setup({ timeoutMs: 50, reuse: 'turn' })
  // Whoever asked gives up at the deadline.
  ledger.settle(book.made, {}, newTurn(), 'call_1', () => false)
  t.equal(book.last.context.signal.aborted, false)
  await clock.pass(50)
  complete()
  await book.last.succeed('late')
  complete()
  const second = newTurn()
  t.match(await ask(second), { content: /^late/ })
  t.equal(book.runs.length, 1)
  ask(second)
  t.equal(book.runs.length, 2)
})

t.test('a result that a later turn got after the timeout is not passed on again', async t => {
  const clock = useClock(t)
  const { book, ledger, newTurn, ask, complete } = setup({ timeoutMs: 50, reuse: 'turn' })
  const first = newTurn()
  ledger.settle(book.made, {}, first, 'call_1', () => false)
  t.equal(book.last.context.signal.aborted, false)
  first.abort()
  await clock.pass(50)
  const told = ask(newTurn())
  await book.last.succeed('late')
  t.match(await told, { content: 'late' })
  complete()
  ask(newTurn())
  t.equal(book.runs.length, 2, 'another one is wanted')
})

t.test('a tool that stops at its timeout may run again', async t => {
  const clock = useClock(t)
  const { book, logs, newTurn, ask } = setup({ timeoutMs: 50 })
  const turn = newTurn()
  const outcome = ask(turn)
  const { signal } = book.last.context
  await clock.pass(50)
  await book.last.fail(signal.reason)
  t.strictSame(await outcome, { content: '{"error":"no result within 50 ms: whether it took effect is not known"}', successful: false })
  const again = ask(turn)
  await book.last.succeed('done')
  t.match(await again, { content: 'done' })
  t.strictSame(logs.filter(({ level }) => level >= 30), [])
  t.equal(clock.left(), 0)
})

t.test('the timeout of a finished tool is cleared', async t => {
  const clock = useClock(t)
  const { book, logs, newTurn, ask } = setup({ timeoutMs: 50 })
  const outcomes = [ask(newTurn(), { n: 1 }), ask(newTurn(), { n: 2 })]
  t.equal(clock.left(), 2)
  await book.runs[0]!.succeed()
  await book.runs[1]!.fail(new ToolError('full'))
  await Promise.all(outcomes)
  t.equal(clock.left(), 0)
  await clock.pass(50)
  t.equal(book.last.context.signal.aborted, false)
  t.strictSame(logs, [])
})

t.test('a tool that hangs does not keep the process alive', async t => {
  const { newTurn, ask } = setup()
  const timers = () => process.getActiveResourcesInfo().filter(resource => resource === 'Timeout').length
  const before = timers()
  ask(newTurn())
  t.equal(timers(), before)
})

// Tools that do not listen

t.test('an aborted tool that never read its signal is warned of once', async t => {
  const clock = useClock(t)
  for (const sideEffects of [true, false]) {
    const { book, logs, newTurn, ask } = setup({ sideEffects, onSupersede: 'cancel', timeoutMs: 50 })
    const turn = newTurn()
    const outcome = ask(turn)
    await clock.pass(50)
    turn.abort()
    await book.last.succeed()
    await outcome
    t.match(logs, [{ level: 40, tool: 'book', msg: 'a tool that never looked at context.signal was told to stop' }])
    t.equal(logs.length, 1)
  }
})

t.test('a tool that read its signal, or was not aborted, causes no warning', async t => {
  const clock = useClock(t)
  const { book, logs, newTurn, ask } = setup({ timeoutMs: 50 })
  const [first, second] = [newTurn(), newTurn()]
  const outcomes = [ask(first, { n: 1 }), ask(second, { n: 2 })]
  const { signal } = book.runs[1]!.context
  first.abort()
  await book.runs[0]!.succeed()
  await clock.pass(50)
  t.equal(signal.aborted, true)
  await book.runs[1]!.succeed()
  await Promise.all(outcomes)
  t.strictSame(logs, [])
})

t.test('a finished tool leaves no listener on its turn', async t => {
  for (const onSupersede of ['cancel', 'finish'] as const) {
    for (const sideEffects of [true, false]) {
      const { book, newTurn, ask } = setup({ onSupersede, sideEffects })
      const turn = newTurn()
      const outcomes = [ask(turn, { n: 1 }), ask(turn, { n: 2 }), ask(turn, { n: 2 })]
      t.equal(listeners(turn), onSupersede === 'cancel' ? 2 : 0)
      await book.runs[0]!.succeed()
      await book.runs[1]!.fail(new Error('down'))
      await Promise.all(outcomes)
      t.equal(listeners(turn), 0)
    }
  }
})

// Work that goes on

t.test('the app waits for a run until it is over, once for all requests', async t => {
  const clock = useClock(t)
  const { book, work, newTurn, ask } = setup()
  const [first, second] = [newTurn(), newTurn()]
  ask(first)
  first.abort()
  ask(second)
  ask(second, { n: 1 })
  t.equal(work.length, 2)
  let over = 0
  for (const promise of work) promise.then(() => { over++ }, t.fail)
  await tick()
  t.equal(over, 0)
  await book.runs[0]!.succeed()
  t.equal(over, 1)
  await book.runs[1]!.fail(new Error('down'))
  t.equal(over, 2)
  t.equal(clock.left(), 0)
})

t.test('the app waits for a run no longer than its timeout', async t => {
  const clock = useClock(t)
  const { work, newTurn, ask } = setup({ timeoutMs: 50 })
  const outcome = ask(newTurn())
  await clock.pass(49)
  t.equal(await Promise.race([work[0]!.then(() => 'over'), tick()]), undefined)
  await clock.pass(1)
  t.equal(await Promise.race([work[0]!.then(() => 'over'), tick()]), 'over')
  t.ok(await isPending(outcome))
})

// Keys

t.test('each retry has the same key, until one succeeded or was refused', async t => {
  useClock(t)
  const { book, newTurn, ask, complete } = setup({ reuse: 'turn', onSupersede: 'cancel' })
  const turn = newTurn()
  ask(turn)
  await book.last.fail(new Error('down'))
  ask(turn)
  turn.abort()
  await book.last.fail(turn.signal.reason)
  ask(newTurn())
  await book.last.succeed()
  complete()
  ask(newTurn())
  await book.last.fail(new ToolError('full'))
  ask(newTurn())
  await book.last.fail(new Error('down'))
  ask(newTurn())
  await book.last.succeed()
  complete()
  ask(newTurn())
  const keys = book.runs.map(({ context }) => context.idempotencyKey)
  t.equal(keys.length, 7)
  t.strictSame(keys, [keys[0], keys[0], keys[0], keys[3], keys[4], keys[4], keys[6]])
  t.equal(new Set(keys).size, 4)
  for (const key of keys) t.match(key, /^[\w-]{43}$/)
})

t.test('a key is the same on another server, and differs by provider, call, tool and arguments', async t => {
  useClock(t)
  const keyOf = (facts: Partial<Pick<Call, 'id' | 'provider'>> = {}, args: Record<string, unknown> = { n: 1 }, options: Partial<ToolOptions<typeof Parameters>> = {}) => {
    const { ask, newTurn, book } = setup(options, facts)
    ask(newTurn(), args)
    return book.last.context.idempotencyKey
  }
  t.equal(keyOf(), keyOf({}, { n: 1 }, { description: 'Books, too.', timeoutMs: 5_000 }))
  const keys = [keyOf(), keyOf({ id: 'call_2' }), keyOf({ provider: 'millis' }), keyOf({}, { n: 2 }), keyOf({}, {}), keyOf({}, { n: 1 }, { name: 'book_1' })]
  t.equal(new Set(keys).size, keys.length)
})

// Never twice

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant('ask' as const) },
  { weight: 2, arbitrary: fc.constant('abort' as const) },
  ...(['next', 'succeed', 'fail', 'stop', 'deadline', 'deed', 'wait'] as const).map(step => ({ weight: 1, arbitrary: fc.constant(step) }))
)

t.test('in any order of turns and ends, a tool never runs twice at the same time, nor after a success', async t => {
  const clock = useClock(t)
  let runs = 0
  let reruns = 0
  await fc.assert(fc.asyncProperty(fc.constantFrom('finish', 'cancel'), fc.array(fc.tuple(step, fc.nat(8)), { minLength: 1, maxLength: 25 }), async (onSupersede, steps) => {
    const { newTurn, ask } = setup()
    let current: { context: ToolContext, resolve (value: unknown): void, reject (error: unknown): void } | undefined
    let begun = 0
    let done = 0
    const made = tool({
      name: 'book',
      description: 'Books.',
      parameters: Parameters,
      timeoutMs: 50,
      onSupersede,
      execute (_args, context) {
        assert.equal(current, undefined, 'it runs already')
        assert.equal(done, 0, 'it was done already')
        begun++
        const { promise, resolve, reject } = deferred<unknown>()
        current = { context, resolve, reject }
        return promise
      }
    })
    const end = (how: 'succeed' | 'fail' | 'stop') => {
      if (current === undefined) return
      const { context, resolve, reject } = current
      if (how === 'stop' && !context.signal.aborted) return
      current = undefined
      if (how === 'succeed') {
        done++
        resolve('done')
      } else {
        reject(how === 'stop' ? context.signal.reason : new Error('down'))
      }
    }
    let turn = newTurn()
    const outcomes: Array<Promise<ToolOutcome>> = []
    for (const [what, microtasks] of steps) {
      switch (what) {
        case 'ask': outcomes.push(ask(turn, {}, made)); break
        case 'abort': turn.abort(); turn = newTurn(); break
        case 'next': turn = newTurn(); break
        case 'deadline': await clock.pass(50); break
        case 'deed': outcomes.push(ask(turn, {}, atOnce(() => 'done'))); break
        case 'wait': await tick(); break
        default: end(what)
      }
      for (let i = 0; i < microtasks; i++) await Promise.resolve()
    }

    // Whoever waits is told, and what is asked for is done by now, or can be.
    await tick()
    outcomes.push(ask(turn, {}, made))
    await tick()
    end('succeed')
    await tick()
    end('succeed')
    assert.equal(done, 1)
    const told = await Promise.all(outcomes)
    assert.equal(told.at(-1)!.successful, true)
    assert.ok(told.every(({ content }) => content.trim() !== ''))
    runs += begun
    if (begun > 1) reruns++
    assert.equal(clock.left(), 0)
  }), { numRuns: scaledRuns(500) })
  // Else nothing was put to the test.
  t.ok(reruns > scaledRuns(20), `${reruns} with more than one run, ${runs} runs in all`)
})
