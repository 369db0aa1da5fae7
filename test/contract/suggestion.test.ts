import t from 'tap'
import { suggestion } from '../../lib/contract/suggestion.js'

const KNOWN = ['say', 'fallback', 'filler', 'fillerMs', 'limits', 'RETELL_ALLOWLIST', 'MILLIS_ALLOWLIST']

t.test('a name that is one or two letters away is suggested', async t => {
  const cases: Array<[name: string, meant: string, why: string]> = [
    ['falback', 'fallback', 'a letter is missing'],
    ['faallback', 'fallback', 'a letter is too many'],
    ['fallbakc', 'fallback', 'two letters changed places'],
    ['fillerNs', 'fillerMs', 'a letter is wrong'],
    ['falbakc', 'fallback', 'a letter is missing, and two changed places'],
    ['FALLBACK', 'fallback', 'the case is another'],
    ['fillerms', 'fillerMs', 'the case is another, and another name is two letters away'],
    ['sai', 'say', 'a short name'],
    ['RETELL_ALOWLIST', 'RETELL_ALLOWLIST', 'a variable'],
    ['MILIS_ALLOWLITS', 'MILLIS_ALLOWLIST', 'a variable with two mistakes'],
    ['retell_allow_list', 'RETELL_ALLOWLIST', 'a variable in lower case']
  ]
  for (const [name, meant, why] of cases) t.equal(suggestion(name, KNOWN), ` (did you mean "${meant}"?)`, `${name}: ${why}`)
})

t.test('the closest name is suggested, and the first of equally close names', async t => {
  t.equal(suggestion('filler_', ['fillerMs', 'filler']), ' (did you mean "filler"?)')
  t.equal(suggestion('cat', ['bat', 'rat']), ' (did you mean "bat"?)')
})

t.test('nothing is suggested if no name is close', async t => {
  t.equal(suggestion('flbkack', KNOWN), '', 'three letters away')
  t.equal(suggestion('so', KNOWN), '', 'as far away as half of its letters')
  t.equal(suggestion('sxx', KNOWN), '', 'farther away than half of its letters')
  t.equal(suggestion('', KNOWN), '')
  t.equal(suggestion('fallback', []), '')
})
