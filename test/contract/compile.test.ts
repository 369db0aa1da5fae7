import { Kind, Type, type TSchema } from '@sinclair/typebox'
import t from 'tap'
import { compile } from '../../lib/contract/compile.js'

t.test('every schema of a table is compiled under its own name', async t => {
  const checks = compile({ one: Type.Object({ a: Type.String() }), two: Type.Object({ b: Type.Null() }) })
  t.strictSame(Object.keys(checks), ['one', 'two'])
  const { one, two } = checks
  t.strictSame([one.Check({ a: '' }), one.Check({ b: null }), two.Check({ a: '' }), two.Check({ b: null })], [true, false, false, true])
})

t.test('a schema is compiled when it is first used, and once', async t => {
  // TypeBox refuses to compile a kind that it does not know.
  const unknown: TSchema = Type.Unsafe({ [Kind]: 'Unknown kind' })
  const checks = compile({ known: Type.String(), unknown })
  t.ok(checks.known.Check('a'))
  t.equal(checks.known, checks.known)
  t.throws(() => checks.unknown, { name: /./, message: 'Unknown type' })
})
