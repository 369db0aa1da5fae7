import { copyFile, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build, type BuildOptions } from 'esbuild'
import t from 'tap'
import { runNode } from '../helpers/process.js'
import { appOf, installFlat, PRINTS, REQUIRE_BANNER } from './package.js'

const FORMATS: Readonly<Record<string, BuildOptions>> = {
  'an ES module': { format: 'esm', banner: { js: REQUIRE_BANNER }, outExtension: { '.js': '.mjs' } },
  'an ES module and its chunks': { format: 'esm', splitting: true, banner: { js: REQUIRE_BANNER }, outExtension: { '.js': '.mjs' } },
  CommonJS: { format: 'cjs', outExtension: { '.js': '.cjs' } }
}

t.test('what esbuild makes of an app takes calls where there is no node_modules', async t => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'bundle-')))
  t.teardown(() => rm(folder, { recursive: true }))
  await installFlat(folder)

  const entry = join(folder, 'calls.js')
  await copyFile(appOf('calls'), entry)
  for (const [format, options] of Object.entries(FORMATS)) {
    await t.test(format, async t => {
      const elsewhere = await realpath(await mkdtemp(join(tmpdir(), 'bundled-')))
      t.teardown(() => rm(elsewhere, { recursive: true }))
      const file = `calls${options.outExtension!['.js']}`
      await build({
        entryPoints: [entry],
        outdir: elsewhere,
        bundle: true,
        platform: 'node',
        target: 'node20',
        preserveSymlinks: true,
        logLevel: 'silent',
        ...options
      })
      const program = runNode(t, [join(elsewhere, file)], { NODE_ENV: 'production' })
      t.equal(await program.exit, 0)
      t.equal(program.output(), PRINTS['calls'])
    })
  }
})
