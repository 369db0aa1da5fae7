import type { FastifyRequest } from 'fastify'
import { parseAllowlist } from '../admission/allowlist.js'

const loopback = parseAllowlist(['127.0.0.0/8', '::1'], 'loopback')

/** Left by tunnels and proxies, which connect from this machine. */
const FORWARDED = /^(forwarded|via|x-real-ip|x-client-ip|true-client-ip|x-forwarded-.*|x-original-.*|cf-.*)$/

/**
 * Does a request come from a person at this machine? Not only its address has to say so: a tunnel has that too, and a
 * name that somebody else's DNS points here is a page of theirs.
 */
export function isFromHere ({ raw, headers }: FastifyRequest): boolean {
  return loopback.admits(raw.socket.remoteAddress) && !Object.keys(headers).some(name => FORWARDED.test(name)) && isLocalName(hostOf(headers))
}

/** Is it no other page's? Browsers let any page open sockets to anywhere, and say which one did. */
export function isOwnPage ({ headers }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site = 'none', 'sec-fetch-mode': mode } = headers
  // A link from elsewhere may lead here; what a page of others loads may not.
  if (mode !== 'navigate' && !/^(none|same-origin)$/.test(String(site))) return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === hostOf(headers))
}

// HTTP/2 has another name for it.
function hostOf ({ host, ':authority': authority }: FastifyRequest['headers']): string | undefined {
  return host ?? authority?.toString()
}

function isLocalName (host = ''): boolean {
  const url = `http://${host}`
  const name = URL.canParse(url) ? new URL(url).hostname : ''
  return name === 'localhost' || name.endsWith('.localhost') || loopback.admits(name.replace(/^\[|\]$/g, ''))
}
