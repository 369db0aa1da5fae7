/**
 * Headers that the app adds to the requests to a model's server.
 */
import type { Turn } from '../../contract/agent.js'
import { ConfigError } from '../../contract/errors.js'

/** Headers by name, or a function that returns those for a turn. A header of the app replaces one of the same name. */
export type RequestHeaders = HeaderRecord | ((turn: Turn) => HeaderRecord | Promise<HeaderRecord>)

type HeaderRecord = Readonly<Record<string, string>>

const NAME = /^[!#$%&'*+.^_`|~\w-]+$/

// As undici accepts them. A line break would begin another header.
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** Headers that describe the connection and the body, which the agent writes and reads itself. */
const RESERVED: ReadonlySet<string> = new Set([
  'host', 'connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect',
  'content-length', 'content-type', 'content-encoding', 'accept', 'accept-encoding'
])

/** Headers that hold credentials: one given by the app replaces the key, whichever header that is sent in. */
const CREDENTIALS = ['authorization', 'api-key']

/** May these say who asks, so that no key is needed? */
export function mayHoldKey (headers: RequestHeaders | undefined): boolean {
  return typeof headers === 'function' || CREDENTIALS.some(name => name in checkHeaders(headers ?? {}))
}

/**
 * Adds the app's headers to those of each request, whose names are in lower case.
 * @throws VOICE_AGENT_ERR_CONFIG when one cannot be sent; the message never quotes its value
 */
export function withHeaders (headers: HeaderRecord, own: unknown): HeaderRecord {
  const checked = checkHeaders(own)
  const replacesKey = CREDENTIALS.some(name => name in checked)
  const kept = Object.entries(headers).filter(([name]) => !replacesKey || !CREDENTIALS.includes(name))
  return { ...Object.fromEntries(kept), ...checked }
}

/**
 * Checks headers, and returns them with their names in lower case.
 * @throws VOICE_AGENT_ERR_CONFIG when one cannot be sent; the message never quotes its value
 */
export function checkHeaders (headers: unknown): HeaderRecord {
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw new ConfigError(`option openai.headers ${what}`)
  }
  must(typeof headers === 'object' && headers !== null && !Array.isArray(headers), 'must be an object, or a function that returns one')
  must(typeof (headers as { entries?: unknown }).entries !== 'function', 'must be a plain object: Object.fromEntries(headers)')
  return Object.fromEntries(Object.entries(headers as object).map(([name, value]: [string, unknown]) => {
    // A name that is none may be a secret in the wrong place.
    must(NAME.test(name), 'has a name that no header can have')
    const lowerCase = name.toLowerCase()
    must(!RESERVED.has(lowerCase), `must not have ${lowerCase}, which the agent writes`)
    must(typeof value === 'string' && VALUE.test(value),
      `has a value that cannot be sent: ${lowerCase} must be text without line breaks and other control characters`)
    return [lowerCase, value as string]
  }))
}
