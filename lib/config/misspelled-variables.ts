/**
 * Variables of the environment that are set, and look like one of ours with a mistake in it. The environment belongs to the whole
 * process, so the start goes on.
 */
import type { Server } from 'node:http'
import type { FastifyBaseLogger } from 'fastify'
import { providers } from '../providers/index.js'
import { VARIABLES } from './settings.js'
import { MOST_MISTAKES, suggestion } from '../contract/suggestion.js'

/** Of shorter names, such as REDIS_URL and REDIS_URI, two that are alike are more often two names than a mistake. */
const SHORTEST = 10

/** Alike, and common for something else: the origin that a browser may ask from (CORS). */
const OTHERS = new Set(['ALLOWED_ORIGIN'])

/** A second key, as in OPENAI_API_KEY_2. */
const NUMBERED = /\d$/

/** Names that nobody else uses. Of all others the first word must be right: MIN_CALLS is no MAX_CALLS. */
const DISTINCTIVE: ReadonlySet<string> = new Set(providers.map(({ name }) => name.toUpperCase()))

/** The names of an environment that look like one of ours, each with the one that was probably meant. Values are not looked at. */
export function misspelledVariables (env: Readonly<Record<string, string | undefined>>): string[] {
  // Who sets ours, too, knows the difference.
  const unset = VARIABLES.filter(variable => variable.length >= SHORTEST && env[variable] === undefined)
  return Object.keys(env).flatMap(name => {
    if (VARIABLES.includes(name as typeof VARIABLES[number]) || OTHERS.has(name) || NUMBERED.test(name)) return []
    const meant = unset.find(variable => variable === `${name.toUpperCase()}_MS`)
    // Most names differ in length alone by more than a mistake; an environment may have hundreds.
    const near = unset.filter(variable => Math.abs(variable.length - name.length) <= MOST_MISTAKES && areAlike(name.toUpperCase(), variable))
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

/** Warns once a server, however many lines it has. */
export function warnOfMisspelled (server: Server, log: FastifyBaseLogger, env: Readonly<Record<string, string | undefined>>): void {
  if (warned.has(server)) return
  warned.add(server)
  for (const mistake of misspelledVariables(env)) log.warn(`The environment has a variable that the plugin does not read: ${mistake}`)
}
