/**
 * `npm run bench`: the plugin and what users write by hand, under the same load, side by side. Exits with 1 when any word
 * of any reply was wrong, missing or stale, or a soak left something behind, and with 2 when it was called wrongly.
 */
import { mkdirSync } from 'node:fs'
import { compare } from './compare.js'
import { type Options, parseOptions, USAGE } from './options.js'
import { describeProfile } from './profile.js'
import { table } from './table.js'

function readOptions (): Options | undefined {
  try {
    return parseOptions(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

async function run (options: Options): Promise<void> {
  const { json, profile, runs, size, subject } = options
  if (profile !== undefined) mkdirSync(profile, { recursive: true })
  const { rows, profiles } = await compare(options, text => process.stderr.write(text))
  if (size.quick) process.stderr.write('A smoke run: every word was right, and no figure means anything.\n')
  process.stdout.write(json ? `${JSON.stringify({ subject, runs, size, rows, profiles }, null, 2)}\n` : table(rows))
  if (profile === undefined) return
  process.stderr.write('The profiler was on: no figure can be compared with those of other runs.\n')
  const described = profiles.map(file => `\n${describeProfile(file)}`).join('')
  if (json) process.stderr.write(described)
  else process.stdout.write(described)
}

const options = readOptions()
if (options === undefined) {
  process.stdout.write(USAGE)
} else {
  try {
    await run(options)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = 1
  }
}
// Sockets of a failed run may still be open.
process.exit()
