import { parseArgs, type ParseArgsConfig } from 'node:util'
import { suggestion } from '../contract/suggestion.js'

type Options = NonNullable<ParseArgsConfig['options']>
type Arguments<T extends Options> = ReturnType<typeof parseArgs<{ options: T, allowPositionals: true }>>

/** Options of all commands that place calls. */
export const DIAL_OPTIONS = {
  provider: { type: 'string' }, header: { type: 'string', short: 'H', multiple: true }
} as const satisfies Options

/**
 * Parses the arguments of a command.
 * @throws Error that names the mistake
 */
export function readArguments<const T extends Options> (args: readonly string[], options: T): Arguments<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    const known = Object.keys(options).map(option => `--${option}`)
    const explain = (_: string, name: string): string =>
      `there is no option ${name}${suggestion(name, known)}; the options are ${known.join(', ')}`
    // Node's message continues with advice on file names that begin with a dash.
    throw new Error((error as Error).message.replace(/^Unknown option '(-.+?)'.*$/s, explain))
  }
}

/**
 * Parses headers of the handshake, written as `Name: value`. Joins headers of one name to a list.
 * @throws Error with the position of a malformed header, without its value, which may be a secret
 */
export function readHeaders (texts: readonly string[] = []): Record<string, string> {
  const headers = new Headers()
  for (const [index, text] of texts.entries()) {
    const [, name = '', value = ''] = /^([^:]*):(.*)$/s.exec(text) ?? []
    try {
      headers.append(name, value)
    } catch {
      throw new Error(`header ${index + 1} is malformed: write it as -H 'Name: value'`)
    }
  }
  return Object.fromEntries(headers)
}
