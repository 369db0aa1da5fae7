/**
 * Bundlers: each makes of an app what runs in a folder without packages.
 */
import { readdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { REQUIRE_BANNER } from './package.js'
import { copyApp, run, runApp, type Workshop } from './workshop.js'

/** Writes `calls.mjs` or `calls.cjs`, and its chunks, into a folder. Its working directory has the plugins that a bundler looks for. */
type Bundler = (workshop: Workshop, entry: string, output: string) => Promise<unknown>

const ESBUILD = resolve('node_modules/.bin/esbuild')

const esbuild = (format: string, ...flags: string[]): Bundler => async (_workshop, entry, output) => await run(ESBUILD, [
  entry, '--bundle', '--platform=node', '--log-level=error',
  `--format=${format}`, `--outdir=${output}`, `--out-extension:.js=.${format === 'esm' ? 'mjs' : 'cjs'}`, ...flags
], output)

const rollup = (format: 'es' | 'cjs', ...flags: string[]): Bundler => async ({ tool }, entry, output) => await run(tool('.bin/rollup'), [
  entry, '--silent', '--dir', output, '--format', format,
  '--entryFileNames', `[name].${format === 'es' ? 'mjs' : 'cjs'}`, '--chunkFileNames', `[name]-[hash].${format === 'es' ? 'mjs' : 'cjs'}`,
  // On Node 20 there is no such module: undici looks for it when it needs it, rollup when the app starts.
  '--plugin', 'commonjs={ ignore: ["node:sqlite"] }',
  '--plugin', 'node-resolve={ exportConditions: ["node"], preferBuiltins: true }', '--plugin', 'json', ...flags
], tool('..'))

const BUNDLERS = {
  'esbuild, an ES module': esbuild('esm', `--banner:js=${REQUIRE_BANNER}`),
  'esbuild, ES modules in pieces': esbuild('esm', `--banner:js=${REQUIRE_BANNER}`, '--splitting'),
  'esbuild, CommonJS': esbuild('cjs'),
  'rollup, ES modules': rollup('es', '--banner', REQUIRE_BANNER),
  'rollup, CommonJS': rollup('cjs'),
  ncc: async ({ tool }, entry, output) => await run(tool('.bin/ncc'), ['build', entry, '--out', output, '--quiet'], tool('..')),
  webpack: async ({ tool }, entry, output) => await run(tool('.bin/webpack'), [
    '--entry', entry, '--target', 'node20', '--mode', 'production', '--output-path', output, '--output-filename', 'calls.cjs'
  ], tool('..'))
} satisfies Record<string, Bundler>

export type BundlerName = keyof typeof BUNDLERS

export const BUNDLER_NAMES = Object.keys(BUNDLERS) as BundlerName[]

/** @param project where the package is installed. It is copied, so that the copy is gone when the bundle runs */
export async function tryBundler (workshop: Workshop, name: BundlerName, project: string): Promise<void> {
  const slug = name.replaceAll(/\W+/g, '-')
  const copy = join(await workshop.folder(`${slug}-source`), 'app')
  await run('cp', ['-R', project, copy], '.')
  await copyApp('calls', copy, 'mjs')
  const output = await workshop.folder(slug)
  await BUNDLERS[name](workshop, join(copy, 'calls.mjs'), output)
  await rm(copy, { recursive: true })

  const entry = (await readdir(output)).find(file => /^(calls|index)\.[mc]js$/.test(file))
  if (entry === undefined) throw new Error(`${name} wrote no entry into ${output}`)
  await runApp('calls', [process.execPath, entry], output)
}
