/**
 * Strict schemas: what OpenAI's servers refuse is refused when the tool is made.
 */
import { once } from 'node:events'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { Type } from '@sinclair/typebox'
import type { JsonSchema, ToolParameters } from '../../lib/tools/parameters.js'
import { tool, type Tool, type ToolOptions } from '../../lib/tools/tool.js'

function make (parameters: ToolParameters, options: object = {}): Tool {
  const whole = { name: 'book', description: 'Books.', parameters, strict: true, execute: () => 'ok', ...options }
  return tool(whole as unknown as ToolOptions<JsonSchema>)
}

/** A tool with one parameter, in JSON Schema. */
function takes (value: unknown, more: object = {}): Tool {
  return make({ type: 'object', properties: { value }, required: ['value'], ...more })
}

const string = { type: 'string' }
const object = { type: 'object', properties: {} }
const REQUIRE = 'must not be optional: make each required, and let it be null'

/** Is it refused, for this reason among others? */
function refuses (t: Test, parameters: ToolParameters, why: string): void {
  const message = new RegExp(`^tool book: parameters cannot be strict: .*${why}`)
  t.throws(() => make(parameters), { code: 'VOICE_AGENT_ERR_CONFIG', message })
}

t.test('object schemas without additionalProperties are closed, at every depth', async t => {
  const schema = (closed: object) => ({
    type: 'object',
    properties: {
      near: { anyOf: [{ type: 'object', properties: { table: string }, required: ['table'], ...closed }, { type: 'null' }] },
      again: { $ref: '#/$defs/day' }
    },
    required: ['near', 'again'],
    $defs: { day: { type: ['object', 'null'], properties: { n: { type: 'integer', enum: [1, 2] } }, required: ['n'], ...closed } },
    ...closed
  })
  t.strictSame(make(schema({})).parameters, schema({ additionalProperties: false }))
  t.equal(takes(string).strict, true)
})

for (const [what, value, message] of [
  ['an optional member', { ...object, properties: { a: string, b: string }, required: ['a'] }, `/properties/value: b ${REQUIRE}`],
  ['optional members alone', { ...object, properties: { a: string, b: string } }, `/properties/value: a, b ${REQUIRE}`],
  ['an open object', { ...object, additionalProperties: true }, '/properties/value: additionalProperties must be false'],
  ['a record', { ...object, additionalProperties: string }, '/properties/value: additionalProperties must be false'],
  ['an object of any kind', { type: 'object' }, '/properties/value: the properties are missing'],
  ['a value of any kind', {}, '/properties/value: the type is missing'],
  ['a list of any kind', { type: 'array', items: { description: 'Anything.' } }, '/properties/value/items: the type is missing'],
  ['oneOf', { type: 'string', oneOf: [string] }, '/properties/value: oneOf is not possible: use anyOf (z.union() in Zod)'],
  ['a tuple', { type: 'array', prefixItems: [string] }, '/properties/value: prefixItems is not possible: use an object'],
  ...['allOf', 'not', 'if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'minProperties', 'maxProperties',
    'unevaluatedProperties', 'uniqueItems', 'contains', 'minContains', 'maxContains', 'unevaluatedItems'].map(keyword =>
    [keyword, { type: 'string', [keyword]: valueOf(keyword) }, `/properties/value: ${keyword} is not possible`])
] as Array<[what: string, value: unknown, message: string]>) {
  t.test(`a strict tool with ${what} is refused by name and place`, async t => {
    t.throws(() => takes(value), { code: 'VOICE_AGENT_ERR_CONFIG', message: `tool book: parameters cannot be strict: ${message}` })
    t.equal(make({ type: 'object', properties: { value } }, { strict: false }).strict, false)
  })
}

/** A value of a keyword that Ajv accepts. */
function valueOf (keyword: string): unknown {
  if (keyword === 'allOf') return [string]
  if (keyword.startsWith('dependent')) return {}
  if (keyword === 'uniqueItems') return true
  return /^m(in|ax)/.test(keyword) ? 1 : string
}

t.test('one error names all faults of a schema', async t => {
  t.throws(() => make({ type: 'object', properties: { a: {}, b: { not: string } }, anyOf: [{ required: ['a'] }] }), {
    message: 'tool book: parameters cannot be strict: /anyOf/0: the type is missing; /properties/a: the type is missing; ' +
      '/properties/b: not is not possible; /properties/b: the type is missing; /: anyOf is not possible at the top; ' +
      '/: a, b must not be optional: make each required, and let it be null'
  })
})

t.test('schemas of TypeBox and Zod follow the same rules', async t => {
  refuses(t, Type.Object({ extras: Type.Record(Type.String(), Type.Number()) }), '/properties/extras: patternProperties is not possible')
  refuses(t, Type.Object({ any: Type.Unknown() }), '/properties/any: the type is missing')
  refuses(t, z.object({ note: z.string().optional() }), '/: note must not be optional')
  refuses(t, z.object({ extras: z.record(z.string(), z.number()) }), '/properties/extras: propertyNames is not possible: use an object')
  const kinds = [z.object({ kind: z.literal('a') }), z.object({ kind: z.literal('b') })] as const
  refuses(t, z.object({ one: z.discriminatedUnion('kind', kinds) }), '/properties/one: oneOf is not possible: use anyOf')

  const kind = (name: string) =>
    ({ type: 'object', properties: { kind: { type: 'string', enum: [name] } }, required: ['kind'], additionalProperties: false })
  t.strictSame(make(z.object({ one: z.union(kinds), note: z.string().nullable() })).parameters, {
    type: 'object',
    properties: { one: { anyOf: [kind('a'), kind('b')] }, note: { type: ['string', 'null'] } },
    required: ['one', 'note'],
    additionalProperties: false
  })
})

t.test('bounds, patterns and defaults cause one warning a tool', async t => {
  const warned = once(process, 'warning')
  const day = { type: 'string', pattern: '^[A-Z]', maxLength: 3, default: 'Mon' }
  make({ type: 'object', properties: { day, on: { type: 'string', format: 'date' } }, required: ['day', 'on'] })
  const [{ message, code }] = await warned
  t.equal(code, 'VOICE_AGENT_STRICT_BOUNDS')
  t.equal(message, 'tool book: some models refuse strict parameters with bounds, patterns and defaults: ' +
    '/properties/day: maxLength; /properties/day: pattern; /properties/day: default; /properties/on: format')
})
