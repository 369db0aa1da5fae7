/**
 * Tools, arguments and models that are odd: what nobody would write on purpose, and somebody will.
 */
import { getEventListeners } from 'node:events'
import t from 'tap'
import { Type, type TObject } from '@sinclair/typebox'
import type { Call, ToolAction } from '../../lib/contract/agent.js'
import { transferCallTool, type TransferCallToolOptions } from '../../lib/tools/call-tools.js'
import { Ledger } from '../../lib/tools/ledger.js'
import type { ToolOutcome } from '../../lib/tools/tool-outcome.js'
import { runTool } from '../../lib/tools/run-tool.js'
import { ToolCalls, type ToolCallDelta } from '../../lib/tools/tool-calls.js'
import { tool, type ToolOptions } from '../../lib/tools/tool.js'
import { deferred } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { useClock } from '../helpers/clock.js'
import { fakeTurn, type FakeTurn } from '../helpers/fake-turn.js'

function setup () {
  const record: ToolAction[] = []
  const call = {
    id: 'call_1', provider: 'retell', completedTurns: 0, record: entry => record.push(entry) > 0, waitUntil: () => {}
  } as Partial<Call> as Call
  return { record, ledger: new Ledger(), newTurn: () => fakeTurn({ call }) }
}
function make<T extends TObject = TObject> (options: Partial<ToolOptions<T>>) {
  return tool({ name: 'add', description: 'Adds.', parameters: Type.Object({}), execute: () => 'done', ...options } as ToolOptions<TObject>)
}
function counted (options: Partial<ToolOptions<TObject>>) {
  const counter = { runs: 0 }
  return { counter, made: make({ ...options, execute: () => `run ${++counter.runs}` }) }
}
const raceTick = (p: Promise<unknown>) => Promise.race([p.then(() => 'settled', () => 'rejected'), tick().then(() => 'pending')])

for (const [behaviour, options] of [
  ['what was done in a turn that was aborted is not done again, also when that turn ran another tool after it', { reuse: 'turn' }],
  ['nor when the other tool was itself in vain: a look-up in the aborted turn', { sideEffects: false }]
] as const) {
  t.test(behaviour, async t => {
    const { ledger, newTurn } = setup()
    const { counter, made } = counted(options)
    const first = newTurn()
    await ledger.settle(made, {}, first, 'call_1')
    await ledger.settle(make({ name: 'total', sideEffects: false }), {}, first, 'call_1')
    first.abort()
    await ledger.settle(made, {}, newTurn(), 'call_1')
    t.equal(counter.runs, 1)
  })
}

t.test('a tool that succeeds late, after the model got an unknown outcome, does not run again in that turn', async t => {
  const clock = useClock(t)
  const { newTurn } = setup()
  const outcomes: Array<ReturnType<typeof deferred>> = []
  const keys: string[] = []
  const made = make({ reuse: 'turn', timeoutMs: 50, execute: (_args, { idempotencyKey, signal }) => { signal.aborted.valueOf(); keys.push(idempotencyKey); outcomes.push(deferred()); return outcomes.at(-1)!.promise } })
  const turn = newTurn()
  const first = runTool(turn, made, {})
  await clock.pass(50)
  t.match(await first, { successful: false, content: /not known/ })
  outcomes[0]!.resolve(undefined)
  await tick()
  runTool(turn, made, {}).catch(() => {})
  t.equal(outcomes.length, 1, `it runs again, with ${keys[0] === keys[1] ? 'the same' : 'another'} key`)
})

t.test('a late success does not run again in a later turn either, after an abort and an unknown outcome', async t => {
  const clock = useClock(t)
  const { newTurn } = setup()
  const outcomes: Array<ReturnType<typeof deferred<string>>> = []
  const made = make({
    reuse: 'turn',
    onSupersede: 'cancel',
    timeoutMs: 50,
    execute: (_args, { signal }) => { signal.aborted.valueOf(); outcomes.push(deferred()); return outcomes.at(-1)!.promise }
  })
  const [first, second, third] = [newTurn(), newTurn(), newTurn()] as const
  const dropped = runTool(first, made, {}).catch((error: unknown) => error)
  first.abort()
  t.equal(await dropped, first.signal.reason)
  const waited = runTool(second, made, {})
  await clock.pass(50)
  t.match(await waited, { successful: false, content: /not known/ })
  outcomes[0]!.resolve('added')
  await tick()
  t.strictSame(await runTool(third, made, {}), { content: 'added', successful: true })
  t.equal(outcomes.length, 1)
})

t.test('a look-up that began before a tool with side effects is not awaited', async t => {
  const { ledger, newTurn } = setup()
  const outcomes: Array<ReturnType<typeof deferred<string>>> = []
  const slots = make({
    name: 'slots', sideEffects: false, onSupersede: 'finish', execute: () => { outcomes.push(deferred()); return outcomes.at(-1)!.promise }
  })
  const first = newTurn()
  ledger.settle(slots, {}, first, 'call_1')
  first.abort()
  const second = newTurn()
  await ledger.settle(make({}), {}, second, 'call_1')
  const looked = ledger.settle(slots, {}, second, 'call_1')
  for (const [index, outcome] of outcomes.entries()) outcome.resolve(index === 0 ? 'free (before the booking)' : 'taken')
  t.match(await looked, { content: 'taken' })
})

t.test('members of any type of a union stay', async t => {
  const At = Type.Union([Type.Object({ date: Type.String() }), Type.Object({ date: Type.String(), time: Type.String() })])
  const made = make({ parameters: Type.Object({ at: At }) })
  t.match(made.read('{"at":{"date":"Sunday","time":"noon"}}'), { args: { at: { date: 'Sunday', time: 'noon' } }, spoken: '' })
})

t.test('in a union of closed objects unknown members are dropped', async t => {
  const made = make({
    parameters: Type.Object({ at: Type.Union([Type.Object({ date: Type.String() }, { additionalProperties: false }), Type.Null()]) })
  })
  t.strictSame((made.read('{"at":{"date":"Sunday","x":1}}') as { args: unknown }).args, { at: { date: 'Sunday' } })
})

t.test('unknown members with the names of inherited properties are dropped', async t => {
  const { ledger, newTurn } = setup()
  const { counter, made } = counted({})
  for (const written of ['{}', '{"constructor":1}', '{"__proto__":{"isAdmin":true}}', '{"toString":"x"}']) {
    const read = made.read(written)
    t.strictSame(read, { args: {}, spoken: '', compared: {} })
    await ledger.settle(made, (read as { args: Record<string, unknown> }).args, newTurn(), 'call_1')
  }
  t.equal(counter.runs, 1)
})

t.test('a returned value cannot make a run fail', async t => {
  const { ledger, newTurn } = setup()
  const clock = useClock(t)
  const returned = { get action () { throw new Error('lazy') } }
  const made = make({ execute: () => returned })
  t.match(await ledger.settle(made, {}, newTurn(), 'call_1').catch((error: unknown) => ({ rejected: String(error) })), { successful: true })
  t.equal(clock.left(), 0, 'its deadline is gone')
})

t.test('arguments that cannot be written as JSON reject nothing, and leave no timer or listener', async t => {
  const clock = useClock(t)
  const { record, newTurn } = setup()
  const { made } = counted({ parameters: Type.Object({ n: Type.Any() }) })
  const turn = newTurn()
  await runTool(turn, made, { n: 1n }).catch(() => t.fail('it rejects'))
  t.equal(clock.left(), 0)
  t.equal(getEventListeners(turn.signal, 'abort').length, 0)
  t.equal(record.length, 2)
})

t.test('arguments that are nested too deeply reject nothing', async t => {
  useClock(t)
  const { newTurn } = setup()
  const { made } = counted({ parameters: Type.Object({ n: Type.Any() }) })
  await runTool(
    newTurn(), made, `{"n":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
  ).catch((error: unknown) => t.fail(`it rejects: ${String(error)}`))
})

t.test('runTool rejects for a turn that its own tool aborts', async t => {
  const { newTurn } = setup()
  const turn: FakeTurn = newTurn()
  const made = make({ execute: async () => { turn.abort('ended'); return 'done' } })
  const running = runTool(turn, made, {})
  t.equal(await running.catch((error: unknown) => error), turn.signal.reason)
})

t.test('a look-up whose own work aborts its turn settles at once', async t => {
  useClock(t)
  const { ledger, newTurn } = setup()
  const turn: FakeTurn = newTurn()
  const made = make({ sideEffects: false, execute: () => { turn.abort('ended'); return new Promise(() => {}) } })
  t.equal(await raceTick(ledger.settle(made, {}, turn, 'call_1')), 'settled')
})

t.test('the timeout does not end such a look-up again', async t => {
  const clock = useClock(t)
  const { ledger, newTurn } = setup()
  const turn: FakeTurn = newTurn()
  const made = make({ sideEffects: false, execute: () => { turn.abort('ended'); return new Promise(() => {}) } })
  const outcome = ledger.settle(made, {}, turn, 'call_1')
  await clock.pass(10_000)
  t.equal(await raceTick(outcome), 'settled')
})

t.test('a tool may request itself at once', async t => {
  useClock(t)
  const { ledger, newTurn } = setup()
  const turn = newTurn()
  let inner: Promise<ToolOutcome> | undefined
  const made = make({ execute: () => { inner ??= ledger.settle(made, {}, turn, 'call_1'); return 'done' } })
  await ledger.settle(made, {}, turn, 'call_1')
  t.match(await inner, { content: 'done' })
})

t.test('a malformed JSON Schema is refused with a config error', async t => {
  t.throws(() => make({ parameters: { type: 'object', properties: null } as unknown as TObject }), { code: 'VOICE_AGENT_ERR_CONFIG' })
  t.throws(() => make({ say: { parameter: 'm', description: 5 } as unknown as string }), { code: 'VOICE_AGENT_ERR_CONFIG' })
  t.throws(() => tool(undefined as unknown as ToolOptions<TObject>), { code: 'VOICE_AGENT_ERR_CONFIG' })
})

t.test('the error for a showCaller that is not a boolean does not quote the number', async t => {
  const { newTurn } = setup()
  let made
  try {
    made = transferCallTool({ destinations: { sales: '+14155550100' }, showCaller: 'yes' } as unknown as TransferCallToolOptions)
  } catch {
    t.pass('refused')
    return
  }
  t.notMatch((await runTool(newTurn(), made, { destination: 'sales', message: '' })).content, /4155550100/)
})

t.test('destinations that are text or a list are refused', async t => {
  t.throws(
    () => transferCallTool({ destinations: '+14155550100' } as unknown as TransferCallToolOptions), { code: 'VOICE_AGENT_ERR_CONFIG' }
  )
  t.throws(
    () => transferCallTool({ destinations: ['+14155550100'] } as unknown as TransferCallToolOptions), { code: 'VOICE_AGENT_ERR_CONFIG' }
  )
})

t.test('interleaved calls with ids in each piece and no index', async t => {
  const calls = new ToolCalls()
  const d = (id: string, args: string): ToolCallDelta => ({ id, function: { name: id, arguments: args } })
  calls.add([d('a', '{"n":'), d('b', '{"n":'), d('a', '1}'), d('b', '2}')])
  t.match(calls.complete(false), [{ id: 'a', arguments: '{"n":1}' }, { id: 'b', arguments: '{"n":2}' }])
  t.equal(calls.complete(false).length, 2)
})

t.test('two whole calls without index and id are two', async t => {
  const calls = new ToolCalls()
  calls.add([{ function: { name: 'a', arguments: '{"n":1}' } }, { function: { name: 'b', arguments: '{"n":2}' } }])
  t.equal(calls.complete(false).length, 2)
})

t.test('an empty delta is not a call', async t => {
  const calls = new ToolCalls()
  calls.add([{}, [] as unknown as ToolCallDelta])
  t.strictSame(calls.complete(false), [])
})
