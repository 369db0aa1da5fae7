/**
 * What users compile: an app against the published types, and each snippet of the documentation. One program serves both.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { snippetsOf, writeSnippet } from '../helpers/snippets.js'

const CONSUMER = 'test/types/consumer.ts'

/** What snippets that are parts of an app take from it. */
const PRELUDES: Readonly<Record<string, string>> = {
  'docs/hostile-sockets.md': "import Fastify from 'fastify'\nimport websocket from '@fastify/websocket'\n",
  'docs/placing-calls.md': "import type { FastifyInstance } from 'fastify'\nimport 'fastify-voice-agent'\ndeclare const app: FastifyInstance\ndeclare const callId: string\n"
}

const pages = ['README.md', ...readdirSync('docs').filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]
const snippets = pages.flatMap(page => snippetsOf(page)
  .filter(({ language }) => language === 'ts')
  .map(snippet => writeSnippet(page, { ...snippet, code: (PRELUDES[page] ?? '') + snippet.code })))

// Inside the package, so that they import it by its own name.
mkdirSync('.build/commonjs', { recursive: true })
const commonJS = readdirSync('test/package/consumers').map(name => {
  const copy = join('.build/commonjs', name.replace(/ts$/, 'cts'))
  copyFileSync(join('test/package/consumers', name), copy)
  return copy
})

const program = ts.createProgram([CONSUMER, ...commonJS, ...snippets], {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  // Not `ws`: users do not install its types.
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true
})

function errorsIn (files: readonly string[]): string[] {
  return files.flatMap(name => {
    const file = program.getSourceFile(name)
    if (file === undefined) return [`${name} is not part of the program`]
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(({ start = 0, messageText }) =>
      `${name}:${file.getLineAndCharacterOfPosition(start).line + 1} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`)
  })
}

/** The declarations of the package that a file reaches, and the packages that these import. */
function reachedFrom (name: string): { declarations: string[], packages: Set<string> } {
  const declarations = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: string): void => {
    for (const { fileName: specifier } of ts.preProcessFile(readFileSync(file, 'utf8')).importedFiles) {
      const target = specifier.startsWith('.') ? join(dirname(file), specifier.replace(/\.js$/, '.d.ts')) : entryOf(specifier)
      if (target === undefined) packages.add(specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/'))
      else if (!declarations.has(target)) {
        declarations.add(target)
        visit(target)
      }
    }
  }
  visit(name)
  return { declarations: [...declarations], packages }
}

function entryOf (specifier: string): string | undefined {
  const match = /^fastify-voice-agent(?:\/(\w+))?$/.exec(specifier)
  return match === null ? undefined : join('dist', match[1] ?? '', 'index.d.ts')
}

t.test('a user\'s app compiles against the published types, and a wrong one does not', async t => {
  t.strictSame(errorsIn([CONSUMER]), [])
  t.strictSame([...program.getOptionsDiagnostics(), ...program.getGlobalDiagnostics()], [])
})

t.test('so do an app and a library that are CommonJS', async t => {
  t.strictSame(commonJS.length, 2)
  t.strictSame(errorsIn(commonJS), [])
})

t.test('the published types have no errors of their own, and need no types of what the plugin uses inside', async t => {
  const { declarations, packages } = reachedFrom(CONSUMER)
  t.ok(declarations.includes('dist/index.d.ts') && declarations.length > 20)
  t.strictSame(errorsIn(declarations), [])
  t.ok(packages.has('fastify'))
  for (const name of ['ws', '@types/ws', '@fastify/websocket', 'openai', 'undici']) t.notOk(packages.has(name), name)
})

t.test('the snippets of the documentation compile in a strict app', async t => {
  t.ok(snippets.length > 12)
  t.strictSame(errorsIn(snippets), [])
})
