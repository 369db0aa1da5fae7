/**
 * A provider is a folder and a line in a list: nothing else in lib names one.
 */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import ts from 'typescript'
import { callerProviders } from '../../lib/testing/providers.js'
import { providers } from '../../lib/providers/index.js'

const NAMES = providers.map(({ name }) => name)
// "milliseconds" is no name.
const NAMED = new RegExp(`(${NAMES.join('|')})(?!econds)`, 'i')

/** Files that may: a provider's own folders, the two lists, and the lists of exports. */
const FREE = [
  new RegExp(`^(providers|testing)/(${NAMES.join('|')})/`),
  /^(providers\/index|testing\/providers|index|testing\/index)\.ts$/
]

function textsOf (node: ts.Node): string[] {
  const own = ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node) || ts.isRegularExpressionLiteral(node) ? [node.text] : []
  return [...own, ...node.getChildren().flatMap(textsOf)]
}

t.test('no other file has the name of a provider in a string, a pattern or an import', async t => {
  const files = readdirSync('lib', { recursive: true, encoding: 'utf8' }).filter(file => /\.(ts|html)$/.test(file) && !FREE.some(free => free.test(file)))
  t.ok(files.length > 100)
  for (const file of files) {
    const text = readFileSync(`lib/${file}`, 'utf8')
    const texts = file.endsWith('.html') ? [text] : textsOf(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true))
    t.strictSame(texts.filter(text => NAMED.test(text)), [], file)
  }
})

t.test('the two lists name the same providers', async t => {
  t.strictSame(callerProviders.map(({ name, label }) => ({ name, label })), providers.map(({ name, label }) => ({ name, label })))
})

t.test('the test kit dials where the plugin answers', async t => {
  for (const [index, { settings }] of providers.entries()) {
    const { path, pathVariable, allowlistVariable } = callerProviders[index]!
    t.equal(settings[pathVariable]?.schema['default'], path)
    t.ok(allowlistVariable in settings)
  }
})
