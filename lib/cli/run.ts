import { suggestion } from '../contract/suggestion.js'
import { call, CALL_USAGE } from './call.js'
import { test, TEST_USAGE } from './test.js'
import type { Terminal } from './terminal.js'

const COMMANDS = { call, test } as const

/**
 * Runs the package's command line.
 * @returns the exit code
 */
export async function run ([name = '', ...args]: readonly string[], terminal: Terminal): Promise<number> {
  if (Object.hasOwn(COMMANDS, name) && !args.includes('--help')) return await COMMANDS[name as keyof typeof COMMANDS](args, terminal)
  const wantsHelp = name === '--help' || name === 'help' || args.includes('--help')
  const known = Object.keys(COMMANDS)
  const unknown = `there is no command ${name}${suggestion(name, known)}; the commands are ${known.join(' and ')}\n\n`
  const mistake = wantsHelp || name === '' ? '' : unknown
  terminal[wantsHelp ? 'stdout' : 'stderr'].write(`${mistake}${CALL_USAGE}\n${TEST_USAGE}`)
  return wantsHelp ? 0 : 2
}
