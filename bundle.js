/**
 * `npm run bundle -- FOLDER`: writes the JavaScript that is published into a folder, `dist` by default. Every entry of package.json is one
 * file, and what several entries share is in `chunks`: Node.js loads a dozen files much faster than 150, and each module still exists once.
 * Tests run on the files of `npm run build`, one for each source file, and `test/package` runs on these.
 */
import { readFileSync } from 'node:fs'
import { build } from 'esbuild'

const [outdir = 'dist'] = process.argv.slice(2)
const { bin, exports, dependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
const compiled = [...Object.values(exports).flatMap(({ default: file }) => file ?? []), bin]

await build({
  entryPoints: compiled.map(file => file.replace('./dist/', 'lib/').replace(/\.js$/, '.ts')),
  outbase: 'lib',
  outdir,
  bundle: true,
  splitting: true,
  // The playground finds its pages from here as it does from its own folder.
  chunkNames: 'chunks/[name]-[hash]',
  external: Object.keys({ ...dependencies, ...peerDependencies }),
  format: 'esm',
  platform: 'node',
  target: 'node20'
})
