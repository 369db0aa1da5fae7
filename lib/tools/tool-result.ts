/**
 * What a tool returned or threw, as the model is told it.
 */
import type { FastifyBaseLogger } from 'fastify'
import { isTerminal } from '../contract/agent.js'
import { ToolError } from '../contract/errors.js'
import { logFailure } from '../telemetry/failure.js'
import { DONE, failed, type ToolOutcome } from './tool-outcome.js'

/** What the model is told of an action that its tool returned, and reads in later turns. */
const REQUESTED = 'Requested. It takes place once you were heard to the end; if the caller speaks first it does not.'

/** The outcome of a tool that failed. A ToolError's message is the model's, of other errors it learns nothing. */
export function thrownOutcome (error: unknown, log: FastifyBaseLogger, what: string): ToolOutcome {
  if (error instanceof ToolError) return { ...failed(error.message), refused: true }
  logFailure(log, error, what)
  return failed('the tool failed')
}

/**
 * The outcome of what a tool returned. Never throws: the tool has done its work, whatever it returned.
 */
export function outcomeOf (returned: unknown, log: FastifyBaseLogger): ToolOutcome {
  try {
    if (isTerminal(returned)) return { content: REQUESTED, successful: true, action: returned }
    const content = typeof returned === 'string' ? returned : JSON.stringify(returned) ?? ''
    return { content: content.trim() === '' ? DONE : content, successful: true }
  } catch (error) {
    logFailure(log, error, 'what a tool returned cannot be written as JSON')
    return { content: DONE, successful: true }
  }
}
