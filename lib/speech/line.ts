/**
 * What is said in the agent's stead, or while it waits, is often found by a function of the app's.
 */
import type { FastifyBaseLogger } from 'fastify'
import { logFailure } from '../telemetry/failure.js'

/** Finds a line by a function that may fail, or return something else: both are logged, and there is none. Never throws. */
export function findLine (log: FastifyBaseLogger, name: string, find: () => unknown): string | undefined {
  try {
    const line = find()
    if (typeof line === 'string') return line
    // An async function, which nobody waits for, may still fail.
    Promise.resolve(line).catch(error => logFailure(log, error, `the ${name} function failed`))
    log.error(`the ${name} function returned no string`)
  } catch (error) {
    logFailure(log, error, `the ${name} function failed`)
  }
  return undefined
}
