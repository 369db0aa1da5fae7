/**
 * The app's own @fastify/rate-limit, where there is one. It counts requests by address, and all calls of a provider come from one:
 * together they would soon be refused, and with them the redials of calls that go on.
 */
import type { FastifyContextConfig } from 'fastify'

/** The `config` of routes that a limit of the whole app does not hold for. They have ceilings of their own. */
export const WITHOUT_RATE_LIMIT: FastifyContextConfig & { rateLimit: false } = { rateLimit: false }
