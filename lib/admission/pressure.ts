/**
 * The app's own @fastify/under-pressure, where there is one. Its hook would refuse all requests; admission refuses new calls only.
 */
import type { FastifyContextConfig, FastifyInstance } from 'fastify'

/** The `config` of routes that its hook must not refuse: they check the pressure themselves. */
export const JUDGES_PRESSURE: FastifyContextConfig & { pressureHandler (): void } = { pressureHandler () {} }

/** True if under-pressure reports pressure. Looked up at each call, as the app may register it after this plugin. */
export function isUnderPressure (app: FastifyInstance & { isUnderPressure?: () => boolean }): boolean {
  // An app may use this name for something else.
  return typeof app.isUnderPressure === 'function' && app.isUnderPressure() === true
}
