/**
 * Tools whose parameters are a Standard Schema: of Zod, and of libraries that are made up here in every shape the standard allows.
 */
import t from 'tap'
import pino from 'pino'
import * as z from 'zod'
import * as mini from 'zod/mini'
import type { FastifyBaseLogger } from 'fastify'
import { toolCall, toolResult, type Call, type ToolAction } from '../../lib/contract/agent.js'
import type { StandardIssue, StandardResult, StandardSchema } from '../../lib/tools/standard-schema.js'
import { runTool } from '../../lib/tools/run-tool.js'
import { tool, type PendingArguments, type Tool, type ToolArguments, type ToolOptions } from '../../lib/tools/tool.js'
import { deferred, type LogLine } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { useClock } from '../helpers/clock.js'
import { fakeTurn } from '../helpers/fake-turn.js'

const SECRET = 'my card number is 4111'
const JSON_SCHEMA = { type: 'object', properties: { n: { type: 'number' } } }
const DESCRIBED = { jsonSchema: { input: () => JSON_SCHEMA } }

type Validate<Output> = StandardSchema<object, Output>['~standard']['validate']

/** A schema of a library that is made up here. */
function schemaOf<Output> (validate: Validate<Output>, more: object = DESCRIBED): StandardSchema<object, Output> {
  return { '~standard': { version: 1, vendor: 'made-up', validate, ...more } }
}

function make<S extends StandardSchema<object, unknown>> (parameters: S, options: Partial<ToolOptions<S>> = {}) {
  return tool({ name: 'book', description: 'Books.', parameters, execute: () => 'ok', ...options } as ToolOptions<S>)
}

/** The arguments that the tool gets, or what is wrong with them. */
function outcome (result: ToolArguments): unknown {
  return 'error' in result ? result.error : result.args
}

function read (made: Tool<any>, written: unknown): unknown {
  return outcome(made.read(written) as ToolArguments)
}

/** What is wrong with arguments that have these issues. */
function mismatch (issues: readonly StandardIssue[]): unknown {
  return read(make(schemaOf(() => ({ issues }))), '{}')
}

function setup () {
  const record: ToolAction[] = []
  const logs: LogLine[] = []
  const log = pino({ level: 'info' }, { write: line => { logs.push(JSON.parse(line)) } }) as unknown as FastifyBaseLogger
  const keep = (entry: ToolAction): boolean => record.push(entry) > 0
  const call: Partial<Call> = { id: 'call_1', provider: 'retell', completedTurns: 0, record: keep, waitUntil: () => {} }
  return { record, logs, newTurn: () => fakeTurn({ call: call as Call, log }) }
}

// Zod

const Booking = z.object({
  day: z.enum(['Mon', 'Tue']).describe('The day'),
  guests: z.number().int().min(1).default(2),
  name: z.string().trim().toUpperCase().optional()
})

t.test('the model gets a Zod schema as JSON Schema of its input', async t => {
  t.strictSame(make(Booking).parameters, {
    type: 'object',
    properties: {
      day: { type: 'string', enum: ['Mon', 'Tue'], description: 'The day' },
      guests: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER, default: 2 },
      name: { type: 'string' }
    },
    required: ['day']
  })
})

t.test('the tool gets Zod\'s output, with defaults and conversions', async t => {
  t.strictSame(read(make(Booking), '{"day":"Mon","name":" Ann ","mood":"good"}'), { day: 'Mon', guests: 2, name: 'ANN' })
  const converted = make(z.object({ on: z.iso.date() }).transform(({ on }) => new Date(on)))
  t.strictSame(read(converted, '{"on":"2026-01-31"}'), new Date('2026-01-31'))
  t.strictSame(read(make(z.looseObject({ a: z.number() })), '{"a":1,"b":2}'), { a: 1, b: 2 })
})

t.test('the model gets place and reason of a mismatch from Zod', async t => {
  t.equal(read(make(Booking), '{"guests":0}'), 'the arguments do not fit: /day: Invalid option: expected one of "Mon"|"Tue"; ' +
    '/guests: Too small: expected number to be >=1')
  t.match(read(make(z.strictObject({ a: z.number() })), '{"a":1,"b":2}'), 'the arguments do not fit: /: Unrecognized key: "b"')
})

t.test('calls are compared by the model\'s arguments, not by the schema\'s output', async t => {
  const Tags = z.object({ tags: z.array(z.string()).transform(list => new Set(list)), note: z.string().nullish() })
  const compared = (written: string) => (make(Tags).read(written) as { compared: unknown }).compared
  t.strictSame(compared('{"tags":["a"],"note":null,"mood":"good"}'), { tags: ['a'] })
  t.not(JSON.stringify(compared('{"tags":["a"]}')), JSON.stringify(compared('{"tags":["b"]}')))

  const { newTurn } = setup()
  let runs = 0
  const made = make(Tags, { execute: () => `run ${++runs}` })
  for (const tags of [['a'], ['b'], ['a']]) await runTool(newTurn(), made, { tags })
  t.equal(runs, 2)
})

t.test('an asynchronous check of Zod is awaited', async t => {
  const made = make(z.object({ slot: z.string().refine(async slot => slot === 'noon', { message: 'taken' }) }))
  const { pending, spoken } = made.read('{"slot":"noon"}') as PendingArguments
  t.equal(spoken, '')
  t.strictSame(outcome(await pending), { slot: 'noon' })
  t.equal(outcome(await (made.read('{"slot":"one"}') as PendingArguments).pending), 'the arguments do not fit: /slot: taken')
})

t.test('a Zod schema that JSON Schema cannot express is refused, and the error says what to do', async t => {
  t.throws(() => make(z.object({ at: z.date() })), {
    code: 'VOICE_AGENT_ERR_CONFIG',
    message: 'tool book: parameters cannot be told to a model: Date cannot be represented in JSON Schema: ' +
      "give jsonSchema beside them, such as jsonSchema: z.toJSONSchema(parameters, { io: 'input' })"
  })
  const message = 'tool book: parameters must be the schema of an object'
  t.throws(() => make(z.string() as never), { code: 'VOICE_AGENT_ERR_CONFIG', message })
})

t.test('a schema that offers no JSON Schema needs the option jsonSchema', async t => {
  const parameters = mini.object({ n: mini.number() })
  const message = /^tool book: parameters cannot be told to a model, since zod offers no JSON Schema of them: give jsonSchema beside them/
  t.throws(() => make(parameters), { code: 'VOICE_AGENT_ERR_CONFIG', message })
  const made = make(parameters, { jsonSchema: z.toJSONSchema(parameters, { io: 'input' }) })
  t.strictSame(made.parameters, { ...JSON_SCHEMA, required: ['n'] })
  t.strictSame(read(made, '{"n":1}'), { n: 1 })
  t.equal(read(made, '{"n":"x"}'), 'the arguments do not fit: /n: Invalid input: expected number, received string')
  for (const jsonSchema of [{ type: 'string' }, 'object', null]) {
    const message = 'tool book: jsonSchema must be a JSON Schema of type object'
    t.throws(() => make(parameters, { jsonSchema } as never), { code: 'VOICE_AGENT_ERR_CONFIG', message })
  }
})

// Other libraries

t.test('a schema may be a function, like ArkType\'s', async t => {
  const parameters = Object.assign(() => {}, schemaOf(value => ({ value })))
  t.strictSame(read(make(parameters), '{"n":1}'), { n: 1 })
})

t.test('places are named for every form of paths', async t => {
  t.equal(mismatch([{ message: 'a' }, { message: 'b', path: ['x', 0] }, { message: 'c', path: [{ key: 'y' }, { key: Symbol('z') }] }]),
    'the arguments do not fit: /: a; /x/0: b; /y/Symbol(z): c')
  t.equal(mismatch([{ message: 'a'.repeat(300) }]), `the arguments do not fit: /: ${'a'.repeat(200)}`)
  t.equal(mismatch(Array.from({ length: 9 }, (_, n) => ({ message: 'a', path: [n] }))),
    'the arguments do not fit: /0: a; /1: a; /2: a; /3: a; /4: a')
})

t.test('a validator that throws keeps the tool from running, and is logged without content', async t => {
  const failing: Array<() => unknown> = [
    () => { throw new TypeError(SECRET) },
    async () => { throw new TypeError(SECRET) },
    () => undefined,
    async () => undefined
  ]
  for (const validate of failing) {
    const { logs, record, newTurn } = setup()
    let runs = 0
    const made = make(schemaOf(validate as () => StandardResult<object>), { execute: () => { runs++ } })
    const content = '{"error":"the arguments could not be checked"}'
    t.strictSame(await runTool(newTurn(), made, '{"n":1}', 'id 1'), { content, successful: false })
    t.strictSame(record, [{ ...toolCall('id 1', 'book', '{"n":1}'), runsOnce: true }, toolResult('id 1', content, false)])
    t.match(logs, [{ level: 50, tool: 'book', err: { type: 'TypeError' }, msg: 'the schema of a tool threw' }])
    t.notMatch(JSON.stringify(logs.map(({ time, pid, ...line }) => line)), '4111')
    t.equal(runs, 0)
  }
})

t.test('a slow validator delays no other tool', async t => {
  const { newTurn } = setup()
  const turn = newTurn()
  const door = deferred<StandardResult<object>>()
  const slow = make(schemaOf(() => door.promise), { execute: args => args })
  const quick = make(schemaOf(value => ({ value: value as object })), { name: 'look', execute: () => 'quick' })
  const waiting = runTool(turn, slow, '{"n":1}')
  t.strictSame(await runTool(turn, quick, '{"n":1}'), { content: 'quick', successful: true })
  door.resolve({ value: { n: 2 } })
  t.strictSame(await waiting, { content: '{"n":2}', successful: true })
})

t.test('a tool does not run if its turn is over when its arguments are checked', async t => {
  const { record, newTurn } = setup()
  const turn = newTurn()
  const door = deferred<StandardResult<object>>()
  let runs = 0
  const made = make(schemaOf(() => door.promise), { execute: () => { runs++ } })
  const waiting = runTool(turn, made, '{"n":1}', 'id 1').catch((error: unknown) => error)
  turn.abort()
  t.equal(await waiting, turn.signal.reason)
  door.resolve({ value: {} })
  await tick()
  t.equal(runs, 0)
  t.strictSame(record.slice(1), [toolResult('id 1', '{"error":"cancelled"}', false)])
})

t.test('a tool does not run if its timeout is over when its arguments are checked', async t => {
  const clock = useClock(t)
  const { newTurn } = setup()
  const door = deferred<StandardResult<object>>()
  let runs = 0
  const made = make(schemaOf(() => door.promise), { timeoutMs: 50, sideEffects: false, execute: () => { runs++ } })
  const waiting = runTool(newTurn(), made, '{"n":1}')
  await clock.pass(50)
  t.strictSame(await waiting, { content: '{"error":"no result within 50 ms"}', successful: false })
  door.resolve({ value: {} })
  await tick()
  t.equal(runs, 0)
  t.equal(clock.left(), 0)
})

t.test('lines that need arguments do not wait for the check: the default filler is spoken, and no line ahead', async t => {
  const schema = schemaOf(async value => ({ value: value as { n: number } }))
  const made = make(schema, { say: ({ n }) => `${n}!`, filler: ({ n }) => `${n}...` })
  const waiting = made.read('{"n":1}') as PendingArguments<{ n: number }>
  t.equal(made.say(waiting), '')
  t.equal(made.filler(undefined), 'One moment, please.')
  const read = await waiting.pending as { args: { n: number }, spoken: string }
  t.strictSame([made.say(read), made.filler(read.args)], ['1!', '1...'])

  const spoken = make(schema, { say: { parameter: 'message' } })
  t.equal(spoken.say(spoken.read('{"n":1,"message":"Let me see."}') as PendingArguments<{ n: number }>), 'Let me see.')
  t.equal(make(schema, { say: 'Let me see.' }).say(waiting), 'Let me see.')
})

t.test('the spoken parameter does not reach the validator', async t => {
  const seen: unknown[] = []
  const made = make(schemaOf(value => { seen.push(value); return { value: value as object } }), { say: { parameter: 'message' } })
  t.match(made.read('{"message":"Let me see.","n":1,"mood":"good"}'),
    { args: { n: 1, mood: 'good' }, spoken: 'Let me see.', compared: { n: 1 } })
  t.strictSame(seen, [{ n: 1, mood: 'good' }])
})
