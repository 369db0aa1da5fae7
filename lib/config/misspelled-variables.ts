/**
 * Finds environment variables that look like misspelled variables of the plugin. The environment belongs to the whole process, so they are
 * warned of and do not stop the start.
 */
import type { Server } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import { providers } from '../providers/index.js'
import { VARIABLES } from './settings.js'
import { MOST_MISTAKES, suggestion } from '../contract/suggestion.js'

/** Shorter names, such as REDIS_URL and REDIS_URI, are often different names and not mistakes. */
const SHORTEST = 10

/** Similar names with a common meaning of their own: the origin that CORS allows. */
const OTHERS = new Set(['ALLOWED_ORIGIN'])

/** A second key, as in OPENAI_API_KEY_2. */
const NUMBERED = /\d$/

/** First words that only the plugin uses. Any other first word must match: MIN_CALLS is not MAX_CALLS. */
const DISTINCTIVE: ReadonlySet<string> = new Set(providers.map(({ name }) => name.toUpperCase()))

/** The names in an environment that look like variables of the plugin, each with the likely intended name. Values are not read. */
export function misspelledVariables (env: Readonly<Record<string, string | undefined>>): string[] {
  // If the plugin's variable is set too, the similar name is no mistake.
  const unset = VARIABLES.filter(variable => variable.length >= SHORTEST && env[variable] === undefined)
  return Object.keys(env).flatMap(name => {
    if (VARIABLES.includes(name as typeof VARIABLES[number]) || OTHERS.has(name) || NUMBERED.test(name)) return []
    const meant = unset.find(variable => variable === `${name.toUpperCase()}_MS`)
    // An environment may have hundreds of names. The length alone rules out most.
    const near = unset.filter(variable =>
      Math.abs(variable.length - name.length) <= MOST_MISTAKES && areAlike(name.toUpperCase(), variable))
    const hint = meant === undefined ? suggestion(name, near) : ` (did you mean "${meant}"?)`
    return hint === '' ? [] : [`${name}${hint}`]
  })
}

function areAlike (name: string, variable: string): boolean {
  const [first, ...rest] = name.split('_')
  const [ours, ...ourRest] = variable.split('_')
  const isRestRight = DISTINCTIVE.has(ours!) && rest.join() === ourRest.join()
  return first === ours || isRestRight || name.replaceAll('_', '') === variable.replaceAll('_', '')
}

const warned = new WeakSet<Server>()

/** Warns once a server, even if the plugin is registered several times. */
export function warnOfMisspelled (server: Server, log: FastifyBaseLogger, env: Readonly<Record<string, string | undefined>>): void {
  if (warned.has(server)) return
  warned.add(server)
  for (const mistake of misspelledVariables(env)) log.warn(`The environment has a variable that the plugin does not read: ${mistake}`)
}
