/**
 * Rejects unknown options at the start. If they were ignored, a misspelled option would be found during a call, or never.
 */
import { ConfigError } from './errors.js'
import { suggestion } from './suggestion.js'

/** The names of an interface's members. The compiler rejects an incomplete list. */
export function namesOf<T extends object> (names: Record<keyof T, true>): readonly string[] {
  return Object.keys(names)
}

/**
 * Checks that options are an object, and that each of them is known.
 * @param owner the name of the function or plugin that has the options, for the error
 * @param prefix the path of the object if it is an option itself, such as `azure.`
 * @throws VOICE_AGENT_ERR_CONFIG naming the first unknown option, and the likely intended one
 */
export function checkNames (owner: string, options: object, known: readonly string[], prefix = ''): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new ConfigError(`${owner}: ${prefix === '' ? 'options' : prefix.slice(0, -1)} must be an object`)
  }
  const unknown = Object.keys(options).find(name => !known.includes(name))
  if (unknown === undefined) return
  const meant = suggestion(unknown, known) || `; known are ${known.join(', ')}`
  throw new ConfigError(`${owner}: option ${prefix}${unknown} is not known${meant}`)
}
