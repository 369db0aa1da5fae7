/**
 * `npm run bundle -- FOLDER`: writes the JavaScript that is published into a folder, `dist` by default. Every entry of package.json is one
 * file, and what several entries share is in `chunks`: Node.js loads a dozen files much faster than 150, and each module still exists once.
 * Tests run on the files of `npm run build`, one for each source file, and `test/package` runs on these.
 *
 * TypeBox is part of them, as its 200 files take longer to load than all others together. It marks its schemas by symbols of the global
 * registry, so schemas of the app's own copy are understood. What each copy has of its own are the formats: index.ts exports ours.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import ts from 'typescript'

const [outdir = 'dist'] = process.argv.slice(2)
const INCLUDED = '@sinclair/typebox'

const { bin, exports, dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
const compiled = [...Object.values(exports).flatMap(({ default: file }) => file ?? []), bin]

// It is CommonJS, and loads other packages late: it stays a file of its own beside the file that imports it.
const COMMON = 'lib/tools/ajv.cts'
const COMMON_NAME = './ajv.cjs'

const { metafile } = await build({
  entryPoints: compiled.map(file => file.replace('./dist/', 'lib/').replace(/\.js$/, '.ts')),
  outbase: 'lib',
  outdir,
  bundle: true,
  splitting: true,
  // The playground finds its pages from here as it does from its own folder.
  chunkNames: 'chunks/[name]-[hash]',
  external: Object.keys({ ...dependencies, ...peerDependencies }).filter(name => name !== INCLUDED).concat(COMMON_NAME),
  metafile: true,
  format: 'esm',
  platform: 'node',
  target: 'node20'
})
copyFileSync(join('node_modules', INCLUDED, 'license'), join(outdir, 'chunks/typebox-license'))

const { outputText } = ts.transpileModule(readFileSync(COMMON, 'utf8'), { compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 } })
for (const [file, { imports }] of Object.entries(metafile.outputs)) {
  if (imports.some(({ path }) => path === COMMON_NAME)) writeFileSync(join(dirname(file), COMMON_NAME), outputText)
}
