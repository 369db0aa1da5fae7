/**
 * Whose address is judged: the socket's own, or what trusted proxies say about who stands behind them.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { ConfigError } from '../contract/errors.js'
import { parseRanges } from './allowlist.js'

/** What is read of a request. Requests made up by test tools have no socket. */
export interface AddressedRequest {
  readonly headers: IncomingHttpHeaders
  readonly socket?: { readonly remoteAddress?: string | undefined } | null | undefined
}

/**
 * Makes the function that finds the address of a request's client: the socket's own, or, when that is a trusted proxy,
 * the right-most X-Forwarded-For entry that is not one, since entries further left are anybody's claim. The entry is
 * returned as it was written, which may be no address at all. `undefined` when the socket has no address, `null` when it
 * is a trusted proxy's and the header names nobody. Never throws.
 * @param entries addresses and CIDR ranges of the proxies; none = the header is never believed
 * @param name what the operator calls the list, for the error: the variable and the option
 * @throws ConfigError naming the list and the place of the entry that is neither address nor range, or trusts everybody
 */
export function trustProxies (entries: readonly string[], name: string): (request: AddressedRequest) => string | undefined | null {
  const accepted = 'IP addresses and CIDR ranges such as 10.0.0.0/8'
  const everybody = entries.findIndex(entry => /^\*$|\/0+$/.test(entry.trim()))
  if (everybody !== -1) {
    // Every address in the header would be a proxy's, so the left-most counts, and that one the caller writes.
    throw new ConfigError(`${name}: entry ${everybody + 1} would let callers choose their own address; accepted are ${accepted}`)
  }
  const proxies = parseRanges(entries, name, accepted)

  return function clientAddress (request) {
    const own = request.socket?.remoteAddress
    if (own === undefined || proxies.empty) return own
    // The socket and the headers are all it reads of the request.
    const [client, ...hops] = proxyAddr.all(request as IncomingMessage, proxies.admits).reverse()
    // A caller may have made the proxy's header disappear: the proxy's own address must not speak for the caller.
    return hops.length === 0 && proxies.admits(own) ? null : client
  }
}
