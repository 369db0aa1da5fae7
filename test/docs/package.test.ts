import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { runNode } from '../helpers/process.js'

const run = promisify(execFile)

interface Manifest {
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
  readonly scripts?: Record<string, string>
  readonly engines?: { readonly node?: string }
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
const { dependencies, peerDependencies, scripts } = manifestOf('.')
const all = [...Object.keys(dependencies), ...Object.keys(peerDependencies)]

t.test('every dependency is accounted for in docs/dependencies.md, and nothing else is', async t => {
  const rows = readFileSync('docs/dependencies.md', 'utf8').matchAll(/^\| `([^`]+)`.*?\|/gm)
  t.strictSame(Array.from(rows, ([, name]) => name).sort(), all.sort())
})

t.test('nothing is run on installation, not by a dependency of a dependency either', async t => {
  const { stdout } = await run('npm', ['ls', '--omit=dev', '--all', '--parseable'])
  // Where `ws` finds it, it uses it; an app of somebody else's has it only if it wants to.
  const folders = stdout.trim().split('\n').slice(1).filter(folder => !/\b(bufferutil|node-gyp-build)$/.test(folder))
  t.ok(folders.length > all.length)
  const running = folders.filter(folder => ['preinstall', 'install', 'postinstall'].some(name => name in (manifestOf(folder).scripts ?? {})))
  t.strictSame(running, [])
  t.notOk('postinstall' in scripts!)
})

t.test('what is published is what a user needs', async t => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'])
  const [{ files, unpackedSize }] = JSON.parse(stdout) as [{ files: Array<{ path: string }>, unpackedSize: number }]
  const paths = files.map(({ path }) => path)
  t.strictSame([...new Set(paths.map(path => path.split('/')[0]))].sort(), ['LICENSE', 'README.md', 'dist', 'docs', 'lib', 'package.json'])
  t.strictSame(paths.filter(path => /\.test\.|\.tsbuildinfo|\.env|node_modules|\.png/.test(path)), [])
  for (const path of ['dist/index.js', 'dist/index.d.ts', 'dist/testing/index.js', 'dist/control/index.js', 'dist/playground/page/index.html', 'dist/cli/main.js', 'docs/SECURITY.md']) {
    t.ok(paths.includes(path), path)
  }
  t.ok(unpackedSize < 3_000_000, `${unpackedSize} bytes`)
})

t.test('every page that a page of ours leads to is there', async t => {
  for (const page of ['README.md', 'bench/README.md', ...readdirSync('docs').filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]) {
    const text = readFileSync(page, 'utf8').replaceAll(/```.*?```|`[^`\n]*`/gs, '')
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) t.ok(existsSync(join(page, '..', target!)), `${page}: ${target}`)
  }
})

t.test('the plugin loads nothing of the playground, the test kit and the command line', async t => {
  const code = 'import "fastify-voice-agent"; import { createRequire } from "node:module"; ' +
    'console.log(Object.keys(createRequire(import.meta.url).cache).filter(path => /node_modules.(@fastify.static|yaml|playwright-core)/.test(path)).length)'
  const program = runNode(t, ['--input-type=module', '--eval', code])
  t.equal(await program.exit, 0)
  t.match(program.output(), /^0\n/)
})

t.test('the app\'s own fetch stays Node\'s', async t => {
  // Newer versions of Node have made their own dispatcher by then.
  const code = 'import "fastify-voice-agent"; const used = globalThis[Symbol.for("undici.globalDispatcher.1")]; ' +
    'const { Agent } = await import("undici"); console.log(used instanceof Agent)'
  const program = runNode(t, ['--input-type=module', '--eval', code])
  t.equal(await program.exit, 0)
  t.match(program.output(), /^false\n/)
})
