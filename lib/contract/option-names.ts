/**
 * Options that are not known are mistakes: ignored, they would be found in mid-call, or never.
 */
import { ConfigError } from './errors.js'
import { suggestion } from './suggestion.js'

/** The names of an interface's members, of which none can be forgotten. */
export function namesOf<T extends object> (names: Record<keyof T, true>): readonly string[] {
  return Object.keys(names)
}

/**
 * Checks that options are an object, and that each of them is known.
 * @param owner what has the options, as the error calls it
 * @param prefix what stands before each name, where the object is an option itself, such as `azure.`
 * @throws VOICE_AGENT_ERR_CONFIG naming the first option that is not known, and what may have been meant
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
