/**
 * Requests that came through a proxy, and the log's advice about their addresses: it must not lead an operator who forgot
 * TRUSTED_PROXIES to admit the proxy, and with it all its clients.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressedRequest } from './client-address.js'
import type { Allowlist } from './allowlist.js'
import { loopback, privateNetworks } from './this-machine.js'

/** Headers that tunnels and proxies add. */
const FORWARDED = /^(forwarded|via|x-real-ip|x-client-ip|true-client-ip|x-forwarded-.*|x-original-.*|cf-.*)$/

/** True if a request has a header that proxies add. Any client can write one, and some proxies add none. */
export function isForwarded (headers: IncomingHttpHeaders): boolean {
  return Object.keys(headers).some(name => FORWARDED.test(name))
}

/**
 * The same, but an X-Forwarded-For of loopback addresses does not count: the playground sends one, and a real proxy adds its
 * client's address.
 */
export function isForwardedFromElsewhere (headers: IncomingHttpHeaders): boolean {
  const isOwn = (name: string): boolean => name === 'x-forwarded-for' && addressesIn(headers).every(loopback.admits)
  return Object.keys(headers).some(name => FORWARDED.test(name) && !isOwn(name))
}

function addressesIn (headers: IncomingHttpHeaders): string[] {
  return String(headers['x-forwarded-for']).split(',').map(entry => entry.trim())
}

/** The settings that a refused address is explained with. */
export interface RefusedAddressSettings {
  /** What the operator calls the allowlist. */
  readonly allowlistName: string
  /** The trusted proxies. */
  readonly proxies: Pick<Allowlist, 'admits'>
  /** What the operator calls them. */
  readonly proxiesName: string
  /** True if clients need a secret, too: then an address alone admits no client. */
  readonly hasSecret: boolean
}

/** Describes, for the log, an address that is not on the allowlist, and the setting to look at. */
export function describeRefusedAddress (
  { headers, socket }: AddressedRequest,
  address: string | undefined,
  { allowlistName, proxies, proxiesName, hasSecret }: RefusedAddressSettings
): { admittedBy: string, message: string } {
  const isPrivate = privateNetworks.admits(address)
  // Behind a trusted proxy, an entry that is not the left-most one may be a further proxy.
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
