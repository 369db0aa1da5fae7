/**
 * The app's own @fastify/under-pressure, where there is one. Its hook knows requests, and refuses them all; which calls are
 * new is known here.
 */
import type { FastifyContextConfig, FastifyInstance } from 'fastify'

/** The `config` of routes that its hook is to let everybody through to: they judge for themselves. */
export const JUDGES_PRESSURE: FastifyContextConfig & { pressureHandler (): void } = { pressureHandler () {} }

/** Is the process short of time, of memory, or of what else the app looks after? To be asked anew: it may be registered after us. */
export function isUnderPressure (app: FastifyInstance & { isUnderPressure?: () => boolean }): boolean {
  // An app may call something else so.
  return typeof app.isUnderPressure === 'function' && app.isUnderPressure() === true
}
