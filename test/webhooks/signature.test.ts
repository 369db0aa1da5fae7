/**
 * Beside Retell's own SDK: what it signs is accepted, and whatever is accepted it accepts, too.
 */
import FakeTimers from '@sinonjs/fake-timers'
import fc from 'fast-check'
import { sign, verify } from 'retell-sdk'
import t, { type Test } from 'tap'
import { MAX_SKEW_MS, readSignature, signatureCheck, skewOf } from '../../lib/providers/retell/signature.js'
import { scaledRuns } from '../helpers/runs.js'
import { signed } from '../helpers/webhooks.js'

const NOW = 1_760_000_000_000

function accepts (body: string | Buffer, key: string, header: unknown): boolean {
  const signature = readSignature(header)
  return signature !== undefined && skewOf(signature) <= MAX_SKEW_MS && signatureCheck([key])(Buffer.from(body), signature)
}

function stopTime (t: Test, now = NOW) {
  const clock = FakeTimers.install({ now, toFake: ['Date'] })
  t.teardown(() => clock.uninstall())
}

const text = fc.string({ unit: 'binary' })
const key = fc.string({ unit: 'binary', minLength: 1 })

t.test('the protocol\'s own test vector', async t => {
  stopTime(t)
  const body = '{"event":"call_ended","call":{"call_id":"call_0001"}}'
  const header = 'v=1760000000000,d=5217a3a11c59b75c79b209b31ac061bdb6f25fa926598a91302b812a62ac1dee'
  t.ok(accepts(body, 'key_example_only', header))
  t.ok(await verify(body, 'key_example_only', header))
  t.notOk(accepts(body, 'key_example_onlY', header))
})

t.test('what the SDK signs is accepted, with this key alone, and whatever the body', async () => {
  await fc.assert(fc.asyncProperty(text, key, key, async (body, key, other) => {
    const header = await sign(body, key)
    return accepts(body, key, header) && accepts(body, other, header) === await verify(body, other, header)
  }))
})

t.test('one byte that is another one is refused, in the body, the time or the digest', async t => {
  stopTime(t)
  await fc.assert(fc.asyncProperty(text, key, fc.nat(), fc.integer({ min: 1, max: 255 }), async (body, key, place, flip) => {
    const header = await sign(body, key)
    const bytes = Buffer.from(body)
    if (bytes.length > 0) {
      const index = place % bytes.length
      bytes[index] = bytes[index]! ^ flip
      if (accepts(bytes, key, header)) return false
    }
    const wire = Buffer.from(header)
    const index = place % wire.length
    wire[index] = wire[index]! ^ flip
    const other = wire.toString('latin1')
    // Hex digits may be of either case.
    const same = /^v=\d+,d=/.test(other) && other.toLowerCase() === header
    return accepts(body, key, other) === same
  }), { numRuns: scaledRuns(500) })
})

t.test('whatever is made of a header, what is accepted the SDK accepts', async t => {
  stopTime(t)
  const edit = fc.record({
    at: fc.nat(90),
    remove: fc.nat(2),
    insert: fc.oneof(fc.constantFrom('', '0', '00', ' ', ',', '=', 'v', 'V', 'D', 'A', '\n', '+', '-', '.', 'e1', '０'), fc.string({ maxLength: 2 }))
  })
  let accepted = 0
  await fc.assert(fc.asyncProperty(text, key, fc.array(edit, { maxLength: 2 }), async (body, key, edits) => {
    let header = await sign(body, key)
    for (const { at, remove, insert } of edits) header = header.slice(0, at) + insert + header.slice(at + remove)
    if (!accepts(body, key, header)) return true
    accepted++
    return await verify(body, key, header)
  }), { numRuns: scaledRuns(500) })
  t.ok(accepted > 10)
})

t.test('a header of another form is none', async t => {
  stopTime(t)
  const { 'x-retell-signature': header = '' } = signed('{}')
  const [time, digest] = header.split(',') as [string, string]
  t.ok(readSignature(header))
  t.ok(readSignature(`${time},d=${digest.slice(2).toUpperCase()}`))
  for (const other of [undefined, null, 5, [header], '', `${digest},${time}`, `${time}, ${digest}`, ` ${header}`, `${header} `, `${header}\n`, `${header}0`, header.slice(0, -1),
    `${header},${digest}`, `${header}, ${header}`, `v=0${time.slice(2)},${digest}`, `v=,${digest}`, `v=-1,${digest}`, `v=1e12,${digest}`, `v=12345678901234567,${digest}`, header.replace('v=', 'V='), header.replace('d=', 't=')]) {
    t.equal(readSignature(other), undefined, String(other))
  }
})

t.test('five minutes either way are allowed, and not a millisecond more', async t => {
  stopTime(t)
  const cases: Array<[at: number | string, isAccepted: boolean]> = [
    [NOW - 300_001, false], [NOW - 300_000, true], [NOW, true], [NOW + 300_000, true], [NOW + 300_001, false], [NOW / 1000, false], ['9999999999999999', false]
  ]
  for (const [at, isAccepted] of cases) {
    const { 'x-retell-signature': header = '' } = signed('{}', { key: 'k', at })
    t.equal(accepts('{}', 'k', header), isAccepted, String(at))
    t.equal(await verify('{}', 'k', header), isAccepted, String(at))
  }
})

t.test('any of several keys may have signed', async t => {
  const check = signatureCheck(['old', 'new'])
  const of = (key: string) => readSignature(signed('{}', { key })['x-retell-signature'])!
  t.strictSame(['old', 'new', 'old,new', 'other'].filter(key => check(Buffer.from('{}'), of(key))), ['old', 'new'])
  t.notOk(signatureCheck([])(Buffer.from('{}'), of('old')))
})
