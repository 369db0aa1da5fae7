import t from 'tap'
import fc from 'fast-check'
import { secretCheck } from '../../lib/admission/secret.js'

t.test('without a secret there is nothing to check', async t => {
  t.equal(secretCheck([]), undefined)
})

t.test('only the secret itself passes', async t => {
  const check = secretCheck(['s3crét'])
  t.equal(check?.('s3crét'), true)
  for (const candidate of [undefined, '', 's', 's3cré', 's3crét ', 'S3crét', 's3cret', 's3crét'.repeat(100)]) {
    t.equal(check?.(candidate), false, String(candidate))
  }
})

t.test('an empty secret is passed by nothing', async t => {
  const check = secretCheck([''])
  t.equal(check?.(''), false)
  t.equal(check?.(undefined), false)
})

t.test('two texts pass for each other only when they are equal', async () => {
  const text = fc.string({ minLength: 1, unit: 'binary' })
  fc.assert(fc.property(text, text, (secret, candidate) =>
    secretCheck([secret])?.(secret) === true && secretCheck([secret])?.(candidate) === (secret === candidate)))
})

t.test('of several secrets each one passes, wherever it stands', async t => {
  const check = secretCheck(['old', 'new', ''])
  t.strictSame(['old', 'new', 'old,new', '', undefined].map(candidate => check?.(candidate)), [true, true, false, false, false])
})
