/**
 * Tools whose parameters are JSON Schema.
 */
import t from 'tap'
import { tool, type Tool } from '../../lib/tools/tool.js'
import type { JsonSchema } from '../../lib/tools/parameters.js'
import { runNode } from '../helpers/process.js'

const DRAFT_07 = 'http://json-schema.org/draft-07/schema#'
const DRAFT_2020 = 'https://json-schema.org/draft/2020-12/schema'

/** As a server of MCP lists it. */
const inputSchema = {
  $schema: DRAFT_07,
  type: 'object',
  properties: {
    day: { type: 'string', enum: ['Mon', 'Tue'] },
    on: { type: 'string', format: 'date' },
    guests: { type: 'integer', minimum: 1, default: 2 },
    near: { anyOf: [{ type: 'object', properties: { window: { type: 'boolean' } }, required: ['window'] }, { type: 'null' }] }
  },
  required: ['day'],
  additionalProperties: false
}

function make (parameters: Record<string, unknown>, options: object = {}): Tool<Record<string, unknown>> {
  return tool({ name: 'book', description: 'Books.', parameters: parameters as JsonSchema, execute: () => 'ok', ...options })
}

/** A tool with one parameter. */
function takes (value: unknown, more: object = {}): Tool<Record<string, unknown>> {
  return make({ type: 'object', properties: { value }, ...more })
}

/** The arguments that the tool gets, or what is wrong with them. */
function read (made: Tool<Record<string, unknown>>, written: unknown): unknown {
  const result = made.read(written)
  return 'args' in result ? result.args : 'error' in result ? result.error : 'pending'
}

function comparedBy (made: Tool<Record<string, unknown>>, written: unknown): unknown {
  return (made.read(written) as { compared: unknown }).compared
}

t.test('the model gets the input schema of an MCP tool unchanged', async t => {
  const { $schema, ...shown } = inputSchema
  t.strictSame(make(inputSchema).parameters, shown)
  t.strictSame(make({ type: 'object' }).parameters, { type: 'object', properties: {}, required: [] })
})

t.test('the error for wrong arguments names the place and the expected value', async t => {
  const made = make(inputSchema)
  const written = { day: 'Mon', on: '2026-01-31', guests: 3, near: { window: true } }
  t.strictSame(read(made, JSON.stringify(written)), written)
  const wrong = '{"day":"4111","on":"4111","guests":"4111","near":{}}'
  t.equal(read(made, wrong), 'the arguments do not fit: /day: must be equal to one of the allowed values: ["Mon","Tue"]; ' +
    '/on: must match format "date"; /guests: must be integer; /near: must have required property \'window\'')
  t.equal(read(made, '{}'), 'the arguments do not fit: /: must have required property \'day\'')
  t.equal(read(made, '[]'), 'the arguments are not a JSON object')
  t.equal(read(takes({ const: 4 }), '{"value":5}'), 'the arguments do not fit: /value: must be equal to constant: 4')
})

t.test('an error names at most five mismatches', async t => {
  const error = read(takes({ type: 'array', items: { type: 'number' } }), { value: Array(1_000).fill('x') }) as string
  t.equal(error.split('; ').length, 5)
})

t.test('nothing is converted, and defaults are not filled in', async t => {
  t.strictSame(read(make(inputSchema), { day: 'Tue' }), { day: 'Tue' })
  t.match(read(make(inputSchema), { day: 'Tue', guests: '3' }), '/guests: must be integer')
})

t.test('members that the schema does not allow are dropped at every depth', async t => {
  const made = make(inputSchema)
  t.strictSame(read(made, { day: 'Mon', mood: 'good', near: { window: true, view: 'sea' } }), { day: 'Mon', near: { window: true } })
  const open = { type: 'object', properties: { a: { type: 'number' } }, additionalProperties: true }
  t.strictSame(read(make(open), { a: 1, b: 2 }), { a: 1, b: 2 })
  t.strictSame(read(make({ type: 'object' }), { a: 1 }), {}, 'a tool that names no parameter takes none')
  t.strictSame(read(takes({ $ref: '#/$defs/size' }, { $defs: { size: open } }), { value: { a: 1, b: 2 }, c: 3 }), { value: { a: 1, b: 2 } })
})

t.test('null for an optional member is the same call as its absence, and reaches the tool', async t => {
  const properties = { window: { type: ['boolean', 'null'] }, table: { type: ['number', 'null'] } }
  const near = { type: ['object', 'null'], properties, required: ['table'] }
  const made = make({ type: 'object', properties: { near, name: { type: ['string', 'null'] } }, additionalProperties: true })
  t.strictSame(comparedBy(made, { name: null }), comparedBy(made, {}))
  t.strictSame(read(made, { name: null }), { name: null })
  t.strictSame(comparedBy(made, { near: { window: null, table: null } }), { near: { table: null } })
  t.strictSame(comparedBy(made, { other: null }), { other: null }, 'nothing is known of it')
})

t.test('schemas of draft 07 and of 2020-12 are read by their own draft', async t => {
  const old = takes({ type: 'array', items: [{ type: 'string' }, { type: 'number' }], additionalItems: false }, { $schema: DRAFT_07 })
  t.strictSame(read(old, { value: ['a', 1] }), { value: ['a', 1] })
  t.match(read(old, { value: ['a', 'b'] }), '/value/1: must be number')
  for (const more of [{ $schema: DRAFT_2020 }, {}]) {
    const tuple = takes({ type: 'array', prefixItems: [{ type: 'string' }, { type: 'number' }], items: false }, more)
    t.strictSame(read(tuple, { value: ['a', 1] }), { value: ['a', 1] })
    t.match(read(tuple, { value: ['a', 'b'] }), '/value/1: must be number')
  }
})

t.test('a schema may refer to itself, and two tools may have the same id', async t => {
  const properties = { size: { type: 'number' }, parts: { type: 'array', items: { $ref: '#' } } }
  t.match(read(make({ type: 'object', properties }), { size: 1, parts: [{ size: 2 }, { size: 'x' }] }), '/parts/1/size: must be number')
  for (const type of ['string', 'number']) {
    const made = make({ $id: 'https://example.com/book', type: 'object', properties: { n: { $ref: '#/$defs/n' } }, $defs: { n: { type } } })
    t.equal(read(made, { n: true }), `the arguments do not fit: /n: must be ${type}`)
  }
})

t.test('unknown keywords and formats are ignored', async t => {
  const made = takes({ type: 'string', format: 'phone', 'x-order': 1, nullable: true })
  t.strictSame(read(made, { value: 'a' }), { value: 'a' })
})

t.test('a pattern that is invalid with the u flag is still checked', async t => {
  const made = takes({ type: 'string', pattern: '^[\\w\\-\\.\\@]+$' })
  t.strictSame(read(made, { value: 'a.b@c' }), { value: 'a.b@c' })
  t.match(read(made, { value: 'a b' }), '/value: must match pattern')
  t.strictSame(read(takes({ type: 'string', pattern: '^\\p{L}$' }), { value: 'Ø' }), { value: 'Ø' })
})

t.test('members may have the names of inherited properties', async t => {
  const made = make({ type: 'object', properties: { toString: { type: 'string' } }, required: ['toString'] })
  t.match(read(made, '{}'), 'must have required property \'toString\'')
  t.strictSame(read(made, '{"toString":"a","__proto__":{"isAdmin":true}}'), { toString: 'a' })
})

t.test('members, defaults and examples may look like keywords', async t => {
  const properties = {
    const: { type: 'string' },
    anyOf: { type: 'array', items: true },
    properties: { type: 'object', default: { const: 1 }, examples: [{ const: 2 }], properties: { const: true } }
  }
  t.strictSame((make({ type: 'object', properties }).parameters as { properties: unknown }).properties, properties)
})

t.test('literals are shown as an enum, which all servers know', async t => {
  const wine = { anyOf: [{ type: 'string', const: 'red' }, { type: 'string', const: 'white' }], description: 'The wine' }
  t.strictSame(takes(wine).parameters, {
    type: 'object', properties: { value: { description: 'The wine', type: 'string', enum: ['red', 'white'] } }, required: []
  })
  t.match(read(takes(wine), { value: 'blue' }), '/value: must be equal to constant')
})

t.test('a spoken parameter comes first, and does not reach the tool', async t => {
  const made = make(inputSchema, { say: { parameter: 'message' } })
  t.match(made.parameters, { required: ['message', 'day'], properties: { message: { type: 'string' } } })
  t.match(made.read({ message: 'One moment.', day: 'Mon' }), { args: { day: 'Mon' }, spoken: 'One moment.' })
  const message = 'tool book: say names a parameter that the tool has by itself'
  t.throws(() => make(inputSchema, { say: { parameter: 'day' } }), { code: 'VOICE_AGENT_ERR_CONFIG', message })
})

t.test('a schema that cannot be checked is refused at once', async t => {
  const circular: Record<string, unknown> = { type: 'object' }
  circular['itself'] = circular
  const $id = 'https://example.com/a'
  const wrong: Array<[parameters: Record<string, unknown>, why: string]> = [
    [{ properties: { a: { type: 'strin' } } }, 'cannot be checked: /properties/a/type must be equal to one of the allowed values'],
    [{ properties: null }, 'cannot be checked: /properties must be object'],
    [{ required: 'a' }, 'cannot be checked: /required must be array'],
    [{ properties: { a: 'string' } }, 'are no JSON Schema: /properties/a must be a schema'],
    [{ properties: { a: { anyOf: [null] } } }, 'are no JSON Schema: /properties/a/anyOf/0 must be a schema'],
    [{ $id, properties: { a: { $ref: '#/$defs/none' } } }, "cannot be checked: can't resolve reference #/$defs/none"],
    [{ properties: { a: { $ref: $id } } }, "cannot be checked: can't resolve reference https"],
    [{ properties: { a: { type: 'string', pattern: '(' } } }, 'cannot be checked: '],
    [{ $async: true }, 'has $async, which is not JSON Schema'],
    [{ $id: DRAFT_2020 }, "has an $id that is not a string, or JSON Schema's own"],
    [{ $id: 5 }, 'has an $id that is not a string'],
    [circular, 'are no JSON Schema: Converting circular structure']
  ]
  for (const [parameters, why] of wrong) {
    const message = new RegExp(`^tool book: parameters ${why.replace(/[$/().]/g, '\\$&')}`)
    t.throws(() => make({ type: 'object', ...parameters }), { code: 'VOICE_AGENT_ERR_CONFIG', message })
  }
  // None of them is in the way of the next.
  make({ $id, type: 'object', properties: { a: { $ref: $id } } })
  const jsonSchema = { type: 'object' }
  const message = /^tool book: jsonSchema belongs to a Standard Schema/
  t.throws(() => make({ type: 'object' }, { jsonSchema }), { code: 'VOICE_AGENT_ERR_CONFIG', message })
})

t.test('a tool keeps its own copy of a schema', async t => {
  const schema = structuredClone(inputSchema)
  const made = make(schema)
  schema.properties.day.enum.push('Wed')
  t.match(read(made, { day: 'Wed' }), 'must be equal to one of the allowed values: ["Mon","Tue"]')
})

t.test('Ajv is loaded with the first tool that has a JSON Schema', async t => {
  const program = runNode(t, ['--input-type=module', '--eval', `
    const { tool, Type } = await import('fastify-voice-agent')
    const { createRequire } = await import('node:module')
    const isLoaded = () => Object.keys(createRequire(import.meta.url).cache).some(file => /ajv.dist.2020/.test(file))
    const make = parameters => tool({ name: 'book', description: 'Books.', parameters, execute () {} })
    make(Type.Object({}))
    console.log(isLoaded())
    make({ type: 'object' })
    console.log(isLoaded())
  `])
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'false\ntrue\n')
})
