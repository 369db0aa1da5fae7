/**
 * Names and addresses of this machine and its network. None of them proves who sent a request: a proxy on this machine has them,
 * too.
 */
import type { FastifyRequest } from 'fastify'
import { parseRanges } from './allowlist.js'

const LOOPBACK = ['127.0.0.0/8', '::1']

/** Loopback addresses. */
export const loopback = parseRanges(LOOPBACK, 'loopback', 'ranges')

/** Loopback, link-local and private addresses, including carrier-grade NAT and overlay networks. */
export const privateNetworks = parseRanges([
  ...LOOPBACK, '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fe80::/10'
], 'private', 'ranges')

/** True if a `Host` header names this machine. The owner of any other name may point it here (DNS rebinding). */
export function isLocalName (host = ''): boolean {
  const url = `http://${host}`
  const name = URL.canParse(url) ? new URL(url).hostname : ''
  return name === 'localhost' || name.endsWith('.localhost') || loopback.admits(name.replace(/^\[|\]$/g, ''))
}

/** The host that a request names: `Host`, or `:authority` in HTTP/2. */
export function hostOf ({ host, ':authority': authority }: FastifyRequest['headers']): string | undefined {
  return host ?? authority?.toString()
}
