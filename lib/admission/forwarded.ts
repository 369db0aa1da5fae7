/**
 * Requests that came through a proxy, and what the log says of their addresses: an operator who forgot TRUSTED_PROXIES must not be
 * led to admit the proxy, and with it everybody.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressedRequest } from './client-address.js'
import type { Allowlist } from './allowlist.js'
import { loopback, privateNetworks } from './this-machine.js'

/** Left by tunnels and proxies. */
const FORWARDED = /^(forwarded|via|x-real-ip|x-client-ip|true-client-ip|x-forwarded-.*|x-original-.*|cf-.*)$/

/** Does a request have a header that proxies add? Anybody can write one, and some proxies add none. */
export function isForwarded (headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some(name => FORWARDED.test(name))
}

/**
 * The same, without an X-Forwarded-For that names this machine alone: the playground sends one, and a proxy that adds the header
 * adds the stranger's address.
 */
export function isForwardedFromElsewhere (headers: IncomingHttpHeaders): boolean {
  const isOwn = (name: string): boolean => name === 'x-forwarded-for' && addressesIn(headers).every(loopback.admits)
  return Object.keys(headers).some(name => FORWARDED.test(name) && !isOwn(name))
}

function addressesIn (headers: IncomingHttpHeaders): string[] {
  return String(headers['x-forwarded-for']).split(',').map(entry => entry.trim())
}

/** What the description of a refused address goes by. */
export interface RefusedAddressSettings {
  /** What the operator calls the allowlist. */
  readonly allowlistName: string
  /** The trusted proxies. */
  readonly proxies: Pick<Allowlist, 'admits'>
  /** What the operator calls them. */
  readonly proxiesName: string
  /** Must callers know a secret, too? Then an address alone admits nobody. */
  readonly hasSecret: boolean
}

/** Describes, for the log, an address that is not on the allowlist, and the setting to look at. */
export function describeRefusedAddress (
  { headers, socket }: AddressedRequest,
  address: string | undefined,
  { allowlistName, proxies, proxiesName, hasSecret }: RefusedAddressSettings
): { admittedBy: string, message: string } {
  const isPrivate = privateNetworks.admits(address)
  // Of a trusted proxy's list, the entry judged is that of a further proxy where it is not the left-most one.
  const isTrusted = proxies.admits(socket?.remoteAddress)
  const mayBeProxy = isTrusted ? addressesIn(headers).lastIndexOf(address!) > 0 : isForwardedFromElsewhere(headers)
  if (!mayBeProxy) return { admittedBy: allowlistName, message: isPrivate && !hasSecret ? `${NOT_LISTED}. ${SHARED}` : NOT_LISTED }
  if (isPrivate) return { admittedBy: proxiesName, message: `${BY_PROXY}: set ${proxiesName} to that address. ${NEVER_LISTED}` }
  return { admittedBy: allowlistName, message: `${NOT_LISTED}. ${MAY_BE_PROXY}, set ${proxiesName} to it` }
}

const NOT_LISTED = 'refused: address is not on the allowlist'

const SHARED = 'It is a private address, which all clients of a proxy, tunnel or container network share: ' +
  'add it only while nothing forwards strangers to this server'

const BY_PROXY = 'refused: the request came through a proxy, whose address was judged'

const NEVER_LISTED = 'Do not put it on the allowlist: it would admit everybody'

const MAY_BE_PROXY = 'The request has a header that proxies add, and that anybody can write: only if the address is that of your own proxy'
