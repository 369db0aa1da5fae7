/**
 * The app's own @fastify/rate-limit, where there is one. It counts requests by address, and all calls of a provider come from one
 * address: it would soon refuse them, redials of live calls included.
 */
import type { FastifyContextConfig } from 'fastify'

/** The `config` of routes that the app's global limit does not count. They have limits of their own. */
export const WITHOUT_RATE_LIMIT: FastifyContextConfig & { rateLimit: false } = { rateLimit: false }
