import type { FastifyRequest } from 'fastify'
import { isForwarded } from '../admission/forwarded.js'
import { hostOf, isLocalName, loopback } from '../admission/this-machine.js'

/**
 * May a request come from a person at this machine? True is no proof: it also holds for everybody behind a proxy on this machine
 * that adds no header. False keeps out those whom a token alone would let in.
 */
export function mayBeFromHere ({ raw, headers }: FastifyRequest): boolean {
  return loopback.admits(raw.socket.remoteAddress) && !isForwarded(headers) && isLocalName(hostOf(headers))
}

/** Does no page of another origin send it? Browsers let any page ask anywhere, and say which one did. */
export function isOwnPage ({ headers }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site = 'none' } = headers
  if (!/^(none|same-origin)$/.test(String(site))) return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === hostOf(headers))
}

/** Does it open a page in a window of its own, as a link does, rather than in a frame or as part of another page? */
export function isNavigation ({ headers }: FastifyRequest): boolean {
  return headers.origin === undefined && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
}
