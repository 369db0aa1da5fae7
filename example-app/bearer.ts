/**
 * Who may ask: whoever knows a token of ours.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'

/** Does the request come with `authorization: Bearer <token>`? Takes as long for each answer. */
export function hasBearer ({ headers: { authorization = '' } }: FastifyRequest, token: string): boolean {
  return timingSafeEqual(digest(authorization), digest(`Bearer ${token}`))
}

// Digests are of one length, which is what timingSafeEqual asks for.
function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
