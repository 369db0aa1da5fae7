import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { VERSION } from '../../lib/contract/version.js'
import { runNode } from '../helpers/process.js'

const run = promisify(execFile)

interface Manifest {
  readonly version: string
  readonly dependencies: Record<string, string>
  readonly peerDependencies: Record<string, string>
  readonly scripts?: Record<string, string>
  readonly engines?: { readonly node?: string }
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
const { version, dependencies, peerDependencies, scripts } = manifestOf('.')
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

t.test('spans and metrics name the version that is published', async t => {
  t.equal(VERSION, version, 'npm version writes lib/contract/version.ts as well')
})

t.test('every page that a page of ours leads to is there', async t => {
  for (const page of ['README.md', 'bench/README.md', ...readdirSync('docs').filter(name => name.endsWith('.md')).map(name => `docs/${name}`)]) {
    const text = readFileSync(page, 'utf8').replaceAll(/```.*?```|`[^`\n]*`/gs, '')
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) t.ok(existsSync(join(page, '..', target!)), `${page}: ${target}`)
  }
})

/** The packages, files of this one included, that a program has loaded by its end. */
async function packagesOf (t: Test, code: string): Promise<string[]> {
  // Node asks this hook for each module, of either kind.
  const hook = 'export async function load (url, context, next) { process._rawDebug(url); return next(url, context) }'
  const register = `import { register } from 'node:module'; register('data:text/javascript,${encodeURIComponent(hook)}')`
  const program = runNode(t, ['--import', `data:text/javascript,${encodeURIComponent(register)}`, '--input-type=module', '--eval', `
    ${code}
    const { createRequire } = await import('node:module')
    process._rawDebug(Object.keys(createRequire(import.meta.url).cache).join('\\n'))
  `])
  t.equal(await program.exit, 0)
  const names = program.output().matchAll(/node_modules\/((?:@[^/\s]+\/)?[^/\s]+)\/(?!.*node_modules)|dist\/(playground|testing|cli|control|cluster\/redis)/g)
  return [...new Set(Array.from(names, ([, name, own]) => name ?? own!))].sort()
}

t.test('an app with an agent of its own loads no client for models, no Redis, and nothing of the other entries', async t => {
  const packages = await packagesOf(t, `
    const { default: Fastify } = await import('fastify')
    const { default: voiceAgentPlugin } = await import('fastify-voice-agent')
    const app = Fastify()
    app.decorate('agent', () => 'Hello.')
    await app.register(voiceAgentPlugin)
    await app.ready()
  `)
  t.ok(packages.includes('fastify') && packages.includes('ws') && packages.includes('@sinclair/typebox'))
  t.strictSame(packages.filter(name => /^(openai|undici|ioredis|yaml|playground|testing|cli|control|cluster.*|playwright-core)$/.test(name)), [])
})

t.test('an app with a model loads its client before it is ready', async t => {
  const packages = await packagesOf(t, `
    const { default: Fastify } = await import('fastify')
    const { default: voiceAgentPlugin } = await import('fastify-voice-agent')
    process.env.OPENAI_API_KEY = 'none'
    const app = Fastify()
    await app.register(voiceAgentPlugin)
    await app.ready()
  `)
  t.strictSame(packages.filter(name => /^(openai|undici|ioredis|yaml)$/.test(name)), ['openai', 'undici'])
})

t.test('the app\'s own fetch stays Node\'s', async t => {
  const program = runNode(t, ['--input-type=module', '--eval', `
    const { openAIAgent } = await import('fastify-voice-agent')
    const { loadModelLibraries } = await import('./dist/agents/openai/model-libraries.js')
    const agent = openAIAgent({ apiKey: 'none' })
    const { undici } = await loadModelLibraries()
    await agent.close()
    console.log(undici.getGlobalDispatcher() instanceof undici.Agent, typeof undici.getGlobalDispatcher().dispatch)
  `])
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'false function\n')
})
