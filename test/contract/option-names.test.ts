import t from 'tap'
import { checkNames, namesOf } from '../../lib/contract/option-names.js'

const KNOWN = namesOf<{ say?: string, filler?: string }>({ say: true, filler: true })

t.test('known options are accepted with any value', async t => {
  for (const options of [{}, { say: undefined }, { say: 1, filler: 'x' }]) t.doesNotThrow(() => checkNames('tool', options, KNOWN))
})

t.test('the error names an unknown option, and the likely intended one or all known ones', async t => {
  const message = (options: object, prefix?: string): string => {
    try {
      checkNames('tool', options, KNOWN, prefix)
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  t.equal(message({ say: 'x', filer: 'secret' }), 'tool: option filer is not known (did you mean "filler"?)')
  t.equal(message({ words: 'secret' }), 'tool: option words is not known; known are say, filler')
  t.equal(message({ words: 'secret' }, 'lines.'), 'tool: option lines.words is not known; known are say, filler')
  for (const none of [null, undefined, 'secret', ['secret']]) {
    t.equal(message(none as never), 'tool: options must be an object')
    t.equal(message(none as never, 'lines.'), 'tool: lines must be an object')
  }
  t.throws(() => checkNames('tool', { words: 1 }, KNOWN), { code: 'VOICE_AGENT_ERR_CONFIG' })
})
