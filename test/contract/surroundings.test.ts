import t from 'tap'
import { whyNotDevelopment } from '../../lib/contract/surroundings.js'

t.test('NODE_ENV decides about development, or a terminal as standard output if it is not set', async t => {
  const NOT_SET = 'NODE_ENV is not set, and standard output is no terminal'
  const OTHER = 'NODE_ENV is neither development nor test'
  const cases: Array<[NODE_ENV: string | undefined, isTTY: boolean | undefined, why: string | undefined]> = [
    ['development', undefined, undefined],
    ['test', false, undefined],
    [undefined, true, undefined],
    ['', true, undefined],
    [undefined, undefined, NOT_SET],
    ['', false, NOT_SET],
    ['production', true, OTHER],
    ['developmental', true, OTHER]
  ]
  for (const [NODE_ENV, isTTY, why] of cases) {
    t.equal(
      whyNotDevelopment({ env: { NODE_ENV }, stdout: isTTY === undefined ? {} : { isTTY } }), why, JSON.stringify({ NODE_ENV, isTTY })
    )
  }
})
