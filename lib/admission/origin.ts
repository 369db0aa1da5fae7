/**
 * Calls that an address admits although a web page or a proxy's client sent them. Browsers let any page open sockets to any server,
 * the developer's own machine included, and name the page in `Origin`. A provider may send that header, too, so it is refused only
 * where an address alone admits the page.
 */
import type { FastifyRequest } from 'fastify'
import { ConfigError } from '../contract/errors.js'
import type { Allowlist } from './allowlist.js'
import { isForwardedFromElsewhere } from './forwarded.js'
import { hostOf, isLocalName, privateNetworks } from './this-machine.js'

/** How the guard admitted an upgrade. */
export interface Admission {
  readonly address: string | undefined
  readonly allowlist: Allowlist
  /** True if the URL held the secret, which no foreign page knows. */
  readonly knowsSecret: boolean
}

/** Checks an upgrade that the guard admitted. Returns the reason of a refusal, and logs it. */
export type PageCheck = (request: FastifyRequest, admission: Admission) => 'address' | 'host' | 'origin' | undefined

/** Settings of the check. */
export interface PageCheckSettings {
  /** The origins that are admitted; with any, all others are refused. */
  readonly entries: readonly string[]
  /** What the operator calls the list: the variable and the option. */
  readonly name: string
  /** What the operator calls the secret. */
  readonly secretName: string
  /** The trusted proxies. */
  readonly proxies: Pick<Allowlist, 'admits'>
  /** What the operator calls them. */
  readonly proxiesName: string
}

/**
 * Makes the check of all routes.
 * @throws ConfigError with the list's name and the position of the entry that is no origin
 */
export function createPageCheck ({ entries, name, secretName, proxies, proxiesName }: PageCheckSettings): PageCheck {
  const origins = parseOrigins(entries, name)
  let isNoted = false
  let isProxyNoted = false

  return function judgePage ({ headers, log, raw }, { address, allowlist, knowsSecret }) {
    const isByProxy = !knowsSecret && isForwardedFromElsewhere(headers) && !proxies.admits(raw.socket.remoteAddress) &&
      privateNetworks.admits(address) && allowlist.names(address)
    if (isByProxy && allowlist.isLoopbackOnly) {
      log.warn({ address, admittedBy: proxiesName },
        `refused: only this machine is on the allowlist, and the request came through a proxy on it: set ${proxiesName} to its address`)
      return 'address'
    }
    if (isByProxy && !isProxyNoted) {
      isProxyNoted = true
      log.warn({ address, refusedBy: proxiesName }, 'admitted an upgrade by the address of a proxy, so all its clients are admitted: ' +
        `set ${proxiesName} to that address, and take it off the allowlist. Logged once`)
    }
    if (!knowsSecret && allowlist.isLoopbackOnly) {
      if (proxies.admits(raw.socket.remoteAddress)) {
        log.warn({ address, admittedBy: secretName },
          'refused: only this machine is on the allowlist, and through a trusted proxy on it anybody may come')
        return 'address'
      }
      if (!isLocalName(hostOf(headers))) {
        log.warn({ address, admittedBy: secretName },
          'refused: only this machine is on the allowlist, and the Host header names another one')
        return 'host'
      }
    }
    if (headers.origin === undefined) return undefined
    const origin = normalize(headers.origin)
    const isKnown = origins.has(origin)
    const isPublic = allowlist.names(address) && !privateNetworks.admits(address)
    if (!isKnown && (origins.size > 0 || !(knowsSecret || isPublic))) {
      log.warn({ address, origin, admittedBy: name }, 'refused: a web page asked for the upgrade')
      return 'origin'
    }
    if (!isKnown && !isNoted) {
      isNoted = true
      log.warn({ address, origin, refusedBy: name }, 'admitted an upgrade with an Origin header, which web pages send: logged once')
    }
    return undefined
  }
}

function parseOrigins (entries: readonly string[], name: string): ReadonlySet<string> {
  const trimmed = entries.map(entry => entry.trim())
  for (const [i, entry] of trimmed.entries()) {
    if (entry !== '' && (!/^https?:\/\/[^/?#@]+$/i.test(entry) || normalize(entry) === MALFORMED)) {
      throw new ConfigError(`${name}: entry ${i + 1} is not accepted; accepted are origins such as https://app.example.com`)
    }
  }
  return new Set(trimmed.filter(entry => entry !== '').map(normalize))
}

const MALFORMED = 'malformed'

// One form, safe to log. Pages without an origin of their own send `null`.
function normalize (origin: string): string {
  return URL.canParse(origin) ? new URL(origin).origin : MALFORMED
}
