/**
 * `npm run test:nodes`: runs the whole suite on each version of Node that the plugin supports, as npm's package `node` has them.
 *
 *   npm run test:nodes -- 24 26           on these
 *   npm run test:nodes -- --quick         without what is slow
 */
import { spawnSync } from 'node:child_process'

const VERSIONS = ['20.19.0', '20', '22', '24', '26']

const flags = process.argv.slice(2).filter(arg => arg.startsWith('-'))
const versions = process.argv.slice(2).filter(arg => !arg.startsWith('-'))

for (const version of versions.length > 0 ? versions : VERSIONS) {
  console.log(`\n# Node ${version}`)
  const { status } = spawnSync('npx', ['--yes', '--package', `node@${version}`, 'node', '.build/test/run.js', ...flags], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
