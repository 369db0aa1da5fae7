/**
 * Names and addresses that mean this machine, or its own network. None of them proves who sent a request: whatever runs here and
 * forwards connections has them, too.
 */
import type { FastifyRequest } from 'fastify'
import { parseRanges } from './allowlist.js'

const LOOPBACK = ['127.0.0.0/8', '::1']

/** Loopback addresses. */
export const loopback = parseRanges(LOOPBACK, 'loopback', 'ranges')

/** Loopback, link-local and private addresses, those of carriers' and overlay networks included. */
export const privateNetworks = parseRanges([
  ...LOOPBACK, '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fe80::/10'
], 'private', 'ranges')

/** Does a `Host` header name this machine? A name of any other kind may be pointed here by its owner (DNS rebinding). */
export function isLocalName (host = ''): boolean {
  const url = `http://${host}`
  const name = URL.canParse(url) ? new URL(url).hostname : ''
  return name === 'localhost' || name.endsWith('.localhost') || loopback.admits(name.replace(/^\[|\]$/g, ''))
}

/** What a request names as its host. HTTP/2 has another header for it. */
export function hostOf ({ host, ':authority': authority }: FastifyRequest['headers']): string | undefined {
  return host ?? authority?.toString()
}
