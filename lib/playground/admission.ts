import type { FastifyRequest } from 'fastify'
import { isForwarded } from '../admission/forwarded.js'
import { hostOf, isLocalName, loopback } from '../admission/this-machine.js'

/**
 * True if a request may come from a person at this machine. This is not proof: it is also true behind a local proxy that adds no
 * header. False refuses requests that the token alone would admit.
 */
export function mayBeFromHere ({ raw, headers }: FastifyRequest): boolean {
  return loopback.admits(raw.socket.remoteAddress) && !isForwarded(headers) && isLocalName(hostOf(headers))
}

/** True unless a page of another origin sent the request. Browsers let any page send requests, and name its origin. */
export function isOwnPage ({ headers }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site = 'none' } = headers
  if (!/^(none|same-origin)$/.test(String(site))) return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === hostOf(headers))
}

/** True if the request opens a page in its own window, as a link does, and not in a frame or as part of another page. */
export function isNavigation ({ headers }: FastifyRequest): boolean {
  return headers.origin === undefined && headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
}
