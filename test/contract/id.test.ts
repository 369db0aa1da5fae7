import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { idOf, isId } from '../../lib/contract/id.js'
import { FAIR_IDS, ODD_IDS } from '../helpers/odd-ids.js'
import { scaledRuns } from '../helpers/runs.js'

t.test('an id is printable, well-formed text of at most 256 units', async t => {
  t.strictSame(FAIR_IDS.filter(id => !isId(id)), [])
  t.strictSame(ODD_IDS.filter(isId), [])
})

t.test('a value that is not text is not an id', async t => {
  t.strictSame([undefined, null, 7, true, {}, ['a'], Object('a')].filter(isId), [])
})

t.test('idOf returns an id unchanged, and undefined for anything else', async t => {
  t.strictSame(['call_1', 'a\n', 7].map(idOf), ['call_1', undefined, undefined])
})

t.test('every id survives UTF-8 and prints as one line', async () => fc.assert(fc.property(
  fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.nat(0xffff)).map(units => String.fromCharCode(...units))),
  id => {
    if (!isId(id)) return
    assert.equal(Buffer.from(id).toString(), id)
    assert.ok(!/[\p{C}\p{Zl}\p{Zp}]/u.test(id.replace(/[\p{Co}\p{Cn}]/gu, '')))
  }
), { numRuns: scaledRuns(5_000) }))
