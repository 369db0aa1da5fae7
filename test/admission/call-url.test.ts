import t from 'tap'
import type { Test } from 'tap'
import fc from 'fast-check'
import { readCallUrl } from '../../lib/admission/call-url.js'
import { scaledRuns } from '../helpers/runs.js'

type Case = [rest: string, query: string, secret: string | undefined, callId: string | undefined, placeholder?: boolean]

function read (t: Test, hasSecret: boolean, cases: Case[]): void {
  for (const [rest, query, secret, callId, placeholder = false] of cases) {
    t.strictSame(readCallUrl(rest, query, hasSecret), { secret, callId, placeholder }, `${rest}?${query}`)
  }
}

t.test('the last path segment is the call id', async t => {
  read(t, false, [
    ['/call_1', '', undefined, 'call_1'],
    ['call_1', '', undefined, 'call_1'],
    ['/call_1/', '', undefined, 'call_1'],
    ['//call_1//', '', undefined, 'call_1'],
    // Decoded by now; what still looks encoded was encoded twice.
    ['/call%5F1', '', undefined, undefined],
    ['/call_1', 'tenant=acme/call_2', undefined, 'call_1']
  ])
})

t.test('the first path segment is the secret, where there is one', async t => {
  read(t, true, [
    ['/s3cret/call_1', '', 's3cret', 'call_1'],
    ['//s3cret//call_1/', '', 's3cret', 'call_1'],
    ['/s3crét/call_1', '', 's3crét', 'call_1'],
    ['/s3cret', '', 's3cret', undefined],
    ['/s3cret/', 'tenant=acme/call_1', 's3cret', 'call_1'],
    ['/call_1', '', 'call_1', undefined],
    ['', '', undefined, undefined],
    ['', 'tenant=acme/call_1', undefined, 'call_1'],
    ['/%zz/call_1', '', '%zz', 'call_1']
  ])
})

t.test('a literal {call_id} before the id is dropped and reported', async t => {
  read(t, false, [
    ['/{call_id}/call_1', '', undefined, 'call_1', true],
    ['/{call_id}', 'tenant=acme/call_1', undefined, 'call_1', true],
    ['/{call_id}', '', undefined, undefined, true],
    ['/{call_id}/{call_id}', '', undefined, undefined, true],
    ['/call_1/{call_id}', '', undefined, undefined],
    ['/{CALL_ID}/call_1', '', undefined, undefined]
  ])
  read(t, true, [
    ['/s3cret/{call_id}/call_1', '', 's3cret', 'call_1', true],
    ['/{call_id}/call_1', '', '{call_id}', 'call_1']
  ])
})

t.test('without a path segment the id is what follows the last slash of the last query value', async t => {
  read(t, false, [
    ['', 'tenant=acme/call_1', undefined, 'call_1'],
    ['/', 'tenant=acme%2Fcall_1', undefined, 'call_1'],
    ['', 'region=eu&tenant=acme/west/call_1', undefined, 'call_1'],
    ['', 'flag/call_1', undefined, 'call_1'],
    ['', 'tenant=/call_1', undefined, 'call_1'],
    ['', 'tenant=acme/call_1&region=eu', undefined, undefined],
    ['', 'tenant=acme', undefined, undefined],
    ['', 'tenant=acme/', undefined, undefined],
    ['', 'tenant=acme/call%201', undefined, undefined],
    ['', 'tenant=%zz/call_1', undefined, undefined],
    ['', '', undefined, undefined]
  ])
})

t.test('an id that is ambiguous, unsafe or malformed is no id', async t => {
  read(t, false, [
    ['/other/call_1', '', undefined, undefined],
    ['/other/call_1', 'tenant=acme/call_2', undefined, undefined],
    ['/%zz', 'tenant=acme/call_2', undefined, undefined],
    ['/%', '', undefined, undefined],
    ['/%C3', '', undefined, undefined],
    ['/.', '', undefined, undefined],
    ['/%2e%2e', '', undefined, undefined],
    ['/a%2Fb', '', undefined, undefined],
    ['/a%00', '', undefined, undefined],
    ['/a%0A', '', undefined, undefined],
    ['/a b', '', undefined, undefined],
    ['/caf%C3%A9', '', undefined, undefined],
    ['/a+b', '', undefined, undefined],
    [`/${'x'.repeat(257)}`, '', undefined, undefined]
  ])
})

t.test('every shape of id a provider may choose is taken as it is', async t => {
  for (const id of ['call_0a1b2c3d4e5f60718293a4b5c6d', 'aB3', '...', 'a.b~c:d@e-f_g', 'x'.repeat(256)]) {
    t.equal(readCallUrl(`/${id}`, '', false).callId, id)
  }
})

t.test('no URL throws or gives an unsafe id', async () => {
  const piece = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('/', '%', '%2F', '%00', '..', '{call_id}', 'call_1', '&', '='))
  const text = fc.array(piece).map(pieces => pieces.join(''))
  fc.assert(fc.property(text, text, fc.boolean(), (rest, query, hasSecret) => {
    const { secret, callId } = readCallUrl(rest, query, hasSecret)
    return secret !== '' && (callId === undefined || (/^[A-Za-z0-9_.~:@-]{1,256}$/.test(callId) && !['.', '..'].includes(callId)))
  }), { numRuns: scaledRuns(1000) })
})
