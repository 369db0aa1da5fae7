/**
 * The address that admission checks: the socket's own, or the client's that a trusted proxy forwards.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { ConfigError } from '../contract/errors.js'
import { parseRanges } from './allowlist.js'

/** The part of a request that is read. Requests injected by test tools have no socket. */
export interface AddressedRequest {
  readonly headers: IncomingHttpHeaders
  readonly socket?: { readonly remoteAddress?: string | undefined } | null | undefined
}

/**
 * Makes the function that finds the address of a request's client: the socket's own, or, when that is a trusted proxy,
 * the right-most X-Forwarded-For entry that is not one, since any client can write the entries further left. The entry is
 * returned as written and may be no address. `undefined` when the socket has no address, `null` when it
 * is a trusted proxy's and the header names no client. Never throws.
 * @param entries addresses and CIDR ranges of the proxies; none = the header is never believed
 * @param name what the operator calls the list, for the error: the variable and the option
 * @throws ConfigError with the list's name and the position of an entry that is neither address nor range, or trusts all addresses
 */
export function trustProxies (entries: readonly string[], name: string): (request: AddressedRequest) => string | undefined | null {
  const accepted = 'IP addresses and CIDR ranges such as 10.0.0.0/8'
  const everybody = entries.findIndex(entry => /^\*$|\/0+$/.test(entry.trim()))
  if (everybody !== -1) {
    // If all addresses were proxies, the left-most entry would count, which the client writes.
    throw new ConfigError(`${name}: entry ${everybody + 1} would let callers choose their own address; accepted are ${accepted}`)
  }
  const proxies = parseRanges(entries, name, accepted)

  return function clientAddress (request) {
    const own = request.socket?.remoteAddress
    if (own === undefined || proxies.empty) return own
    // proxy-addr reads the socket and the headers only.
    const [client, ...hops] = proxyAddr.all(request as IncomingMessage, proxies.admits).reverse()
    // A client may have made the proxy drop its header: the proxy's own address must not admit the client.
    return hops.length === 0 && proxies.admits(own) ? null : client
  }
}
