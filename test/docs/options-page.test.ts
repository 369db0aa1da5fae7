import { readFileSync } from 'node:fs'
import t from 'tap'
import { OPTION_NAMES } from '../../lib/config/option-check.js'
import { settings } from '../../lib/config/settings.js'
import { optionsPage, readComments } from './options-page.js'

const comments = readComments()
const isGroup = (option: string): boolean => OPTION_NAMES.some(name => name.startsWith(`${option}.`))

t.test('docs/options.md is what npm run docs writes', async t => {
  t.equal(readFileSync('docs/options.md', 'utf8'), optionsPage())
})

t.test('each option has a comment', async t => {
  for (const option of OPTION_NAMES) t.not(comments.get(option)?.text ?? '', '', option)
})

t.test('a comment names the variable and the default that the table has', async t => {
  const table = new Map(Object.entries(settings).map(([variable, { schema }]) => [schema.title!, { variable, value: schema['default'] as unknown }]))
  for (const option of OPTION_NAMES.filter(option => !isGroup(option))) {
    const { variable, default: stated } = comments.get(option)!
    const known = table.get(option)
    // Agents that an app makes by itself read no variables, so that their options name none.
    if (!option.startsWith('openai.')) t.equal(variable, known?.variable, option)
    if (typeof known?.value === 'number' && !stated!.includes('GiB')) t.equal(Number(stated!.replaceAll(',', '')), known.value, option)
  }
})
