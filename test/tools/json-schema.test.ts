/**
 * What JSON Schema says about members: in every combination, for any value.
 */
import t from 'tap'
import fc from 'fast-check'
import { mapSchemas, withoutUnknown, type Schema } from '../../lib/tools/json-schema.js'
import { scaledRuns } from '../helpers/runs.js'

const names = fc.constantFrom('a', 'b', 'toString', '__proto__', 'properties')

/** A schema of objects, lists and scalars, closed at every depth, and a value that fits it and has members that are not in it. */
interface Pair { readonly schema: Schema, readonly clean: unknown, readonly written: unknown }

const { pair } = fc.letrec<{ pair: Pair }>(tie => ({
  pair: fc.oneof({ depthSize: 'small' },
    fc.constantFrom<Pair>(
      { schema: { type: 'string' }, clean: 'x', written: 'x' },
      { schema: { type: ['number', 'null'] }, clean: null, written: null },
      { schema: { enum: [1, 2] }, clean: 1, written: 1 },
      { schema: { const: 'x' }, clean: 'x', written: 'x' }
    ),
    tie('pair').map(({ schema, clean, written }): Pair =>
      ({ schema: { type: 'array', items: schema }, clean: [clean, clean], written: [written, written] })),
    tie('pair').chain(({ schema, clean, written }) => fc.constantFrom('anyOf', 'oneOf', 'allOf').map((keyword): Pair =>
      ({ schema: { [keyword]: [schema, { type: 'null' }] }, clean, written }))),
    fc.uniqueArray(fc.tuple(names, tie('pair')), { selector: ([name]) => name, maxLength: 3 }).map((members): Pair => {
      const pick = (which: keyof Pair): Schema => Object.fromEntries(members.map(([name, one]) => [name, one[which]]))
      return {
        schema: { type: 'object', properties: pick('schema'), required: members.map(([name]) => name) },
        clean: pick('clean'),
        written: Object.fromEntries([['made up', { a: 1 }], ...Object.entries(pick('written'))])
      }
    }))
}))

t.test('declared members of a closed schema stay, and all others are dropped', async () => {
  fc.assert(fc.property(pair, ({ schema, clean, written }) => {
    const result = withoutUnknown([schema], written)
    t.strictSame(result, clean)
    t.strictSame(withoutUnknown([schema], result), clean)
    t.strictSame(withoutUnknown([{ anyOf: [schema, true] }], written), written)
  }), { numRuns: scaledRuns(1_000) })
})

t.test('every inner schema is visited once, with its place, and the schema is not changed', async () => {
  fc.assert(fc.property(pair, ({ schema }) => {
    const places: string[] = []
    const copy = mapSchemas(schema, (one, path) => {
      places.push(path)
      return one
    })
    t.strictSame(copy, schema)
    t.equal(new Set(places).size, places.length)
    t.equal(places.at(-1), '')
    for (const path of places) t.type(path.split('/').slice(1).reduce((value: any, step) => value[step], schema), 'object')
  }), { numRuns: scaledRuns(300) })
})

const member = { properties: { a: { type: 'string' } } }
for (const [what, schema, result] of [
  ['a reference', { ...member, $ref: '#/$defs/b' }, { a: 'x', b: { c: null } }],
  ['members by pattern', { ...member, patternProperties: { b: {} } }, { a: 'x', b: { c: null } }],
  ['a condition', { ...member, if: {}, then: {} }, { a: 'x', b: { c: null } }],
  ['members of a schema', { ...member, additionalProperties: {} }, { a: 'x', b: { c: null } }],
  ['an open alternative', { anyOf: [member, {}] }, { a: 'x', b: { c: null } }],
  ['an alternative beside members', { ...member, anyOf: [{ properties: { b: { type: 'object' } } }] }, { a: 'x', b: { c: null } }],
  ['a literal that is an object', { anyOf: [member, { const: { b: 1 } }] }, { a: 'x', b: { c: null } }],
  ['an enum with an object', { anyOf: [member, { enum: [{ b: 1 }] }] }, { a: 'x', b: { c: null } }],
  ['no alternative', { ...member, anyOf: [] }, { a: 'x' }],
  ['scalars beside it', { anyOf: [member, { type: 'string' }, { const: 1 }, { enum: ['a'] }, { type: ['null', 'array'] }] }, { a: 'x' }],
  ['closed members', { ...member, additionalProperties: false }, { a: 'x' }],
  ['two objects', { oneOf: [member, { properties: { b: { properties: { d: true } } } }] }, { a: 'x', b: {} }]
] as Array<[what: string, schema: Schema, result: unknown]>) {
  t.test(`with ${what} only allowed members stay`, async t => {
    t.strictSame(withoutUnknown([schema], { a: 'x', b: { c: null } }), result)
  })
}

t.test('tuples stay unchanged', async t => {
  for (const schema of [{ prefixItems: [member], items: member }, { items: [member] }, {}, { items: false }]) {
    t.strictSame(withoutUnknown([schema], [{ a: 'x', b: 1 }]), [{ a: 'x', b: 1 }])
  }
})

t.test('null stays for a required or an undeclared member', async t => {
  const schema = { properties: { a: {}, b: {} }, required: ['a'], additionalProperties: true }
  t.strictSame(withoutUnknown([schema], { a: null, b: null, c: null }, true), { a: null, c: null })
  t.strictSame(withoutUnknown([schema], { a: null, b: null, c: null }), { a: null, b: null, c: null })
  t.strictSame(withoutUnknown([{ anyOf: [schema, { properties: { a: {} } }] }], { a: null }, true), {}, 'one of two types leaves it out')
  t.strictSame(withoutUnknown([{ items: { properties: { a: {} } } }], [{ a: null }], true), [{}])
})
