/**
 * `npm run bench`: the plugin and what a careful user writes by hand, under the same load, side by side. Exits with 1
 * when any word of any reply was wrong, missing or stale, or a soak left something behind, and with 2 when it was called
 * wrongly.
 */
import { compare } from './compare.js'
import { type Options, parseOptions, USAGE } from './options.js'
import { table } from './table.js'

function readOptions (): Options | undefined {
  try {
    return parseOptions(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

const options = readOptions()
if (options === undefined) {
  process.stdout.write(USAGE)
} else {
  try {
    const rows = await compare(options, text => process.stderr.write(text))
    if (options.size.quick) process.stderr.write('A smoke run: every word was right, and no figure means anything.\n')
    process.stdout.write(options.json ? `${JSON.stringify({ subject: options.subject, runs: options.runs, size: options.size, rows }, null, 2)}\n` : table(rows, options.subject))
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = 1
  }
}
// Sockets of a failed run may still be open.
process.exit()
