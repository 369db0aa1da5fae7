/**
 * Calls functions of the app that return a line to speak, such as a fallback or a filler.
 */
import type { FastifyBaseLogger } from 'fastify'
import { logFailure } from '../telemetry/failure.js'

/** @returns the line of the app's function. Undefined if the function throws or returns something else, which is logged. Never throws. */
export function findLine (log: FastifyBaseLogger, name: string, find: () => unknown): string | undefined {
  try {
    const line = find()
    if (typeof line === 'string') return line
    // The function may be async. Its promise is not awaited, but may reject.
    Promise.resolve(line).catch(error => logFailure(log, error, `the ${name} function failed`))
    log.error(`the ${name} function returned no string`)
  } catch (error) {
    logFailure(log, error, `the ${name} function failed`)
  }
  return undefined
}
