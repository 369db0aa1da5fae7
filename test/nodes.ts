/**
 * `npm run test:nodes`: runs a call on each provider, and then the whole suite, on each version of Node that the plugin supports, and the
 * calls on Bun and Deno, all as npm has them.
 *
 *   npm run test:nodes -- 24 bun          on these
 *   npm run test:nodes -- --quick         without what is slow
 */
import { spawnSync } from 'node:child_process'

const NODES = ['20.19.0', '20', '22', '24', '26']
const OTHERS: Readonly<Record<string, readonly string[]>> = { bun: ['bun'], deno: ['deno', 'run', '--allow-all'] }

const flags = process.argv.slice(2).filter(arg => arg.startsWith('-'))
const chosen = process.argv.slice(2).filter(arg => !arg.startsWith('-'))

for (const name of chosen.length > 0 ? chosen : [...NODES, ...Object.keys(OTHERS)]) {
  const other = OTHERS[name]
  const start = performance.now()
  console.log(`\n# ${other === undefined ? 'Node ' : ''}${name}`)
  const commands = other === undefined
    ? [['node', '.build/test/smoke.js'], ['node', '.build/test/run.js', ...flags]]
    : [[...other, '.build/test/smoke.js']]
  const failed = commands.filter(command =>
    spawnSync('npx', ['--yes', '--package', other === undefined ? `node@${name}` : name, ...command], { stdio: 'inherit' }).status !== 0)
  console.log(`${failed.length === 0 ? 'ok' : 'FAILED'} in ${((performance.now() - start) / 1000).toFixed(0)} s`)
  if (failed.length > 0) process.exitCode = 1
}
