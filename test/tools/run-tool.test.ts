import { getEventListeners } from 'node:events'
import t from 'tap'
import fc from 'fast-check'
import { Type } from '@sinclair/typebox'
import { endCall, toolCall, toolResult, type Call, type ToolAction } from '../../lib/contract/agent.js'
import { ActionError, ToolError, TurnAbortedError } from '../../lib/contract/errors.js'
import { executeToolCall, argumentsText, newToolCallId, runTool } from '../../lib/tools/run-tool.js'
import { tool, type ToolOptions } from '../../lib/tools/tool.js'
import { deferred } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { useClock } from '../helpers/clock.js'
import { fakeTurn, type FakeTurn } from '../helpers/fake-turn.js'

const Parameters = Type.Object({ n: Type.Number() })
const ARGS = '{"n":1}'
const DONE = { content: 'done', successful: true }
const ONCE = 'done\n(Run only once: this is the same call as before.)'
const UNKNOWN = '{"error":"no result within 50 ms: whether it took effect is not known"}'

/** A call of which all is kept, and a tool that ends when the test says so. */
function setup (options: Partial<ToolOptions<typeof Parameters>> = {}) {
  const record: ToolAction[] = []
  const work: Array<Promise<unknown>> = []
  const outcomes: Array<ReturnType<typeof deferred<unknown>>> = []
  const isNews = ({ action, id }: ToolAction) => !record.some(entry => entry.action === action && entry.id === id)
  const recorders = new Set<unknown>()
  const call = {
    id: 'call_1',
    provider: 'retell',
    completedTurns: 0,
    record: (entry, turn) => {
      if (entry.action === 'tool-call') recorders.add(turn)
      const news = isNews(entry)
      if (news || entry.action === 'tool-result') record.push(entry)
      return news
    },
    waitUntil: promise => { work.push(promise) }
  } as Partial<Call> as Call
  const made = tool({
    name: 'book',
    description: 'Books.',
    parameters: Parameters,
    ...options,
    execute: () => {
      const outcome = deferred<unknown>()
      outcomes.push(outcome)
      return outcome.promise
    }
  })
  return {
    record,
    recorders,
    work,
    made,
    newTurn: () => fakeTurn({ call }),
    runs: outcomes,
    succeed: async (returned: unknown = 'done') => { outcomes.at(-1)!.resolve(returned); await tick() },
    fail: async (error: unknown) => { outcomes.at(-1)!.reject(error); await tick() }
  }
}

/** The entry of a call to the tool, which says that asking again is safe. */
function called (id: string, args: string): ToolAction {
  return { ...toolCall(id, 'book', args), runsOnce: true }
}

/** Results that came at the same time, whose order means nothing. */
function byId (entries: ToolAction[]): ToolAction[] {
  return entries.toSorted((a, b) => a.id < b.id ? -1 : 1)
}

function listeners ({ signal }: FakeTurn): number {
  return getEventListeners(signal, 'abort').length
}

t.test('a call is recorded before its tool runs, and its result at once', async t => {
  const { record, made, newTurn, runs, succeed } = setup()
  const running = runTool(newTurn(), made, ARGS, 'id 1')
  t.equal(runs.length, 1)
  t.strictSame(record, [called('id 1', ARGS)])
  await succeed()
  t.strictSame(await running, DONE)
  t.strictSame(record, [called('id 1', ARGS), toolResult('id 1', 'done', true)])
})

t.test('a failed tool is recorded as failed', async t => {
  const { record, made, newTurn, fail } = setup()
  const running = runTool(newTurn(), made, { n: 1 }, 'id 1')
  await fail(new Error('down'))
  t.strictSame(await running, { content: '{"error":"the tool failed"}', successful: false })
  t.strictSame(record, [called('id 1', ARGS), toolResult('id 1', '{"error":"the tool failed"}', false)])
})

t.test('wrong arguments do not reach the tool, and are answered with an error', async t => {
  const { record, made, newTurn, runs, work } = setup()
  const content = '{"error":"the arguments do not fit: /n: Expected number"}'
  t.strictSame(await runTool(newTurn(), made, '{"n":"one"}', 'id 1'), { content, successful: false })
  t.strictSame(record, [called('id 1', '{"n":"one"}'), toolResult('id 1', content, false)])
  t.equal(runs.length, 0)
  t.equal(work.length, 0)
})

t.test('arguments that are not a JSON object are recorded as an empty object', async t => {
  for (const written of ['{"n":1', '[1]', 'null', '1', '"n"', '', null, undefined, 1, [1], () => {}]) {
    const { record, made, newTurn, runs } = setup()
    const { successful } = await runTool(newTurn(), made, written, 'id 1')
    t.equal(successful, false)
    t.equal(runs.length, 0)
    t.strictSame(record[0], called('id 1', '{}'))
    t.match(record[1], { action: 'tool-result', id: 'id 1', successful: false })
    t.equal(record.length, 2)
  }
})

t.test('a call of an unknown tool is answered with an error', async t => {
  const { record, newTurn } = setup()
  const content = '{"error":"there is no such tool"}'
  t.strictSame(await executeToolCall(newTurn(), 'id 1', undefined, { args: {}, spoken: '', compared: {} }), { content, successful: false })
  const named = '{"error":"there is no such tool; there are: book"}'
  t.strictSame(
    await executeToolCall(newTurn(), 'id 2', undefined, { error: 'there is no such tool; there are: book' }),
    { content: named, successful: false }
  )
  t.strictSame(record, [toolResult('id 1', content, false), toolResult('id 2', named, false)])
})

t.test('an action is in the outcome, and not in the record', async t => {
  const { record, made, newTurn, succeed } = setup()
  const running = runTool(newTurn(), made, ARGS, 'id 1')
  await succeed(endCall({ say: 'Goodbye!' }))
  const { action, content } = await running
  t.strictSame(action, endCall({ say: 'Goodbye!' }))
  t.strictSame(record[1], toolResult('id 1', content, true))
})

t.test('a tool\'s refusal is reported as such', async t => {
  const { record, made, newTurn, fail } = setup()
  const running = runTool(newTurn(), made, ARGS, 'id 1')
  await fail(new ToolError('full'))
  t.strictSame(await running, { content: '{"error":"full"}', successful: false, refused: true })
  t.strictSame(record[1], toolResult('id 1', '{"error":"full"}', false))
})

t.test('two equal calls are one run with two results, and the second has a note', async t => {
  const { record, made, newTurn, runs, succeed } = setup()
  const turn = newTurn()
  const running = [runTool(turn, made, ARGS, 'id 1'), runTool(turn, made, ' {"n": 1, "m": 2}', 'id 2')]
  t.equal(runs.length, 1)
  await succeed()
  t.strictSame(await Promise.all(running), [DONE, { content: ONCE, successful: true }])
  t.strictSame(record.slice(0, 2), [called('id 1', ARGS), called('id 2', '{"n":1,"m":2}')])
  t.strictSame(byId(record.slice(2)), [toolResult('id 1', 'done', true), toolResult('id 2', ONCE, true)])
})

// Turns that are aborted

t.test('a turn that is over runs no tool', async t => {
  const { record, made, newTurn, runs, work } = setup()
  const turn = newTurn()
  turn.abort('interrupted')
  await t.rejects(runTool(turn, made, ARGS), new TurnAbortedError('interrupted'))
  t.strictSame([record, runs, work], [[], [], []])
})

t.test('an aborted turn does not wait, and its tool\'s result is recorded', async t => {
  const { record, made, newTurn, succeed } = setup()
  const turn = newTurn()
  const running = runTool(turn, made, ARGS, 'id 1')
  const failure = running.catch((error: unknown) => error)
  turn.abort()
  t.equal(await failure, turn.signal.reason)
  t.strictSame(record, [called('id 1', ARGS)])
  await succeed()
  t.strictSame(record, [called('id 1', ARGS), toolResult('id 1', 'done', true)])
})

t.test('a turn that is aborted when the result arrives rejects', async t => {
  const { record, made, newTurn, runs } = setup()
  const turn = newTurn()
  const failure = runTool(turn, made, ARGS, 'id 1').catch((error: unknown) => error)
  runs[0]!.resolve('done')
  turn.abort()
  t.equal(await failure, turn.signal.reason)
  await tick()
  t.strictSame(record[1], toolResult('id 1', 'done', true))
})

t.test('a look-up that is cancelled with its turn is recorded as cancelled', async t => {
  const { record, made, newTurn, succeed } = setup({ sideEffects: false })
  const turn = newTurn()
  const failure = runTool(turn, made, ARGS, 'id 1').catch((error: unknown) => error)
  turn.abort()
  t.equal(await failure, turn.signal.reason)
  await tick()
  await succeed('too late')
  t.strictSame(record.slice(1), [toolResult('id 1', '{"error":"cancelled"}', false)])
})

t.test('a later turn gets the result that the first did not wait for, and both calls have it recorded', async t => {
  const { record, made, newTurn, runs, succeed } = setup()
  const [first, second] = [newTurn(), newTurn()]
  const failure = runTool(first, made, ARGS, 'id 1').catch((error: unknown) => error)
  first.abort()
  const running = runTool(second, made, ARGS, 'id 2')
  await succeed()
  t.equal(await failure, first.signal.reason)
  t.strictSame(await running, DONE)
  t.equal(runs.length, 1)
  t.strictSame(byId(record.slice(2)), [toolResult('id 1', 'done', true), toolResult('id 2', 'done', true)])
})

// Waits that are too long

t.test('a tool that ignores its timeout is not awaited, and its late result replaces the error', async t => {
  const clock = useClock(t)
  const { record, made, newTurn, runs, succeed } = setup({ timeoutMs: 50 })
  const turn = newTurn()
  const running = runTool(turn, made, ARGS, 'id 1')
  await clock.pass(50)
  t.strictSame(await running, { content: UNKNOWN, successful: false })
  t.equal(listeners(turn), 0)
  t.strictSame(record.slice(1), [toolResult('id 1', UNKNOWN, false)])
  await succeed('late')
  t.strictSame(record.slice(2), [toolResult('id 1', 'late', true)])
  t.strictSame(await runTool(newTurn(), made, ARGS), { content: 'late', successful: true })
  t.equal(runs.length, 1)
  t.equal(clock.left(), 0)
})

t.test('a later turn waits as long as the first did', async t => {
  const clock = useClock(t)
  const { record, made, newTurn, runs, succeed } = setup({ timeoutMs: 50 })
  const first = newTurn()
  const failure = runTool(first, made, ARGS, 'id 1').catch((error: unknown) => error)
  await clock.pass(30)
  first.abort()
  await failure
  let told: unknown
  const running = runTool(newTurn(), made, ARGS, 'id 2').then(outcome => { told = outcome })
  await clock.pass(49)
  t.equal(told, undefined)
  await clock.pass(1)
  await running
  t.strictSame(told, { content: UNKNOWN, successful: false })
  await succeed()
  t.strictSame(record[2], toolResult('id 2', UNKNOWN, false))
  t.strictSame(byId(record.slice(3)), [toolResult('id 1', 'done', true), toolResult('id 2', 'done', true)])
  t.equal(runs.length, 1)
  t.equal(clock.left(), 0)
})

t.test('a look-up that took too long has one result, and no later one', async t => {
  const { record, made, newTurn, succeed } = setup({ sideEffects: false, timeoutMs: 1 })
  const content = '{"error":"no result within 1 ms"}'
  t.strictSame(await runTool(newTurn(), made, ARGS, 'id 1'), { content, successful: false })
  await succeed('too late')
  t.strictSame(record.slice(1), [toolResult('id 1', content, false)])
})

t.test('an answered call leaves no timer and no listener', async t => {
  const clock = useClock(t)
  for (const end of ['done', new Error('down'), 'aborted'] as const) {
    const { made, newTurn, succeed, fail } = setup({ onSupersede: 'cancel' })
    const turn = newTurn()
    const running = runTool(turn, made, ARGS).catch((error: unknown) => error)
    t.equal(listeners(turn), 2)
    t.equal(clock.left(), 2)
    if (end === 'aborted') turn.abort()
    if (end instanceof Error) await fail(end)
    else await succeed(end)
    await running
    t.equal(listeners(turn), 0)
    t.equal(clock.left(), 0)
  }
})

// Work that goes on

t.test('the app waits for work that outlives its turn', async t => {
  const { work, made, newTurn, succeed } = setup()
  const turn = newTurn()
  const failure = runTool(turn, made, ARGS).catch((error: unknown) => error)
  turn.abort()
  await failure
  t.equal(work.length, 1)
  const over = work[0]!.then(() => 'over')
  t.equal(await Promise.race([over, tick()]), undefined)
  await succeed()
  t.equal(await Promise.race([over, tick()]), 'over')
})

t.test('failed work does not reject waitUntil', async t => {
  const { work, made, newTurn, fail } = setup()
  const running = runTool(newTurn(), made, ARGS)
  await fail(new Error('down'))
  await running
  await t.resolves(work[0]!)
})

t.test('a call that cannot be recorded is not made', async t => {
  const { made, newTurn, runs } = setup()
  const turn = newTurn()
  turn.call.record = () => { throw new ActionError('no turn is live') }
  await t.rejects(runTool(turn, made, ARGS), { code: 'VOICE_AGENT_ERR_ACTION' })
  await t.rejects(runTool(newTurn(), made, ARGS, ' '), { code: 'VOICE_AGENT_ERR_ACTION' })
  t.equal(runs.length, 0)
})

t.test('a call is recorded for its own turn with any id, so a turn that is over runs nothing', async t => {
  const { recorders, record, made, newTurn } = setup()
  const turn = newTurn()
  await runTool(turn, made, '{}', 'id 1')
  await runTool(turn, made, '{}', 'id 1')
  t.strictSame(record.length, 4)
  t.strictSame([...recorders], [turn])
})

// Ids and texts

t.test('a call without an id gets a unique one', async t => {
  const { record, made, newTurn, succeed } = setup()
  const running = [runTool(newTurn(), made, ARGS), runTool(newTurn(), made, ARGS)]
  await succeed()
  await Promise.all(running)
  const [first, second, ...results] = record.map(({ id }) => id)
  t.not(first, second)
  t.strictSame(results.toSorted(), [first, second].toSorted())
})

t.test('an id that another call has is replaced, also in the result', async t => {
  const { record, made, newTurn, runs, succeed } = setup()
  await runTool(newTurn(), made, '{"n":"one"}', 'id 1')
  const running = runTool(newTurn(), made, ARGS, 'id 1')
  t.equal(runs.length, 1)
  await succeed()
  t.strictSame(await running, DONE)
  const { id } = record[2]!
  t.match(id, /^[A-Za-z0-9]{9}$/)
  t.strictSame(record.slice(2), [called(id, ARGS), toolResult(id, 'done', true)])
})

t.test('new ids are nine letters and digits, which all models accept', async t => {
  const ids = Array.from({ length: 1_000 }, newToolCallId)
  t.equal(new Set(ids).size, ids.length)
  for (const id of ids) if (!/^[A-Za-z0-9]{9}$/.test(id)) t.fail(id)
})

t.test('a JSON object is recorded without white space', async t => {
  t.equal(argumentsText(' { "n" : 1,\n"a": [ {} ] } '), '{"n":1,"a":[{}]}')
  t.equal(argumentsText({ n: 1, a: undefined, at: new Date(0) }), '{"n":1,"at":"1970-01-01T00:00:00.000Z"}')
  const circular: Record<string, unknown> = {}
  circular['itself'] = circular
  for (const odd of [circular, { n: 1n }]) t.equal(argumentsText(odd), '{}')
})

t.test('for any text of a model a JSON object is recorded', async () => {
  fc.assert(fc.property(fc.oneof(
    fc.string(), fc.json(), fc.anything({ withBigInt: true, withMap: true, withSet: true, withTypedArray: true })
  ), written => {
    const read: unknown = JSON.parse(argumentsText(written))
    return typeof read === 'object' && read !== null && !Array.isArray(read)
  }))
})
