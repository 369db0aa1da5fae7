/**
 * What refusals leave in the log. Fastify's own error handler logs each error with its stack, at `error` where the status is 503. A
 * refusal is no defect, and strangers may cause any number of them: one line says why, and it has no stack.
 */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CallIdError, ClosingError, ForbiddenError, HeadersError, LimitError, UnauthorizedError, UpgradeRequiredError } from '../contract/errors.js'

/** Where these are thrown the reason has been logged, with details that the error does not have. */
const LOGGED = [CallIdError, ForbiddenError, HeadersError, LimitError, UnauthorizedError, UpgradeRequiredError]

/** Has the refusals of a scope's routes logged in one line, whichever error handler answers them. */
export function logRefusals (scope: FastifyInstance): void {
  scope.addHook('onError', logRefusal)
  // An app's own error handler answers refusals as well, and decides what it logs.
  if (scope.errorHandler.name === 'defaultErrorHandler') scope.setErrorHandler(answerRefusal)
}

function logRefusal ({ log }: FastifyRequest, _reply: FastifyReply, error: FastifyError, done: () => void): void {
  if (isRefusal(error) && !LOGGED.some(Logged => error instanceof Logged)) {
    const { code, statusCode } = error
    // Expected while an app closes; with the others somebody may have to change something.
    log[error instanceof ClosingError ? 'info' : 'warn']({ code, statusCode }, `refused: ${error.message}`)
  }
  done()
}

// In Fastify's own words, as a text: an app's hooks may wrap objects up.
function answerRefusal (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (!isRefusal(error)) throw error
  const { code, statusCode, message } = error
  const body = JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode], message })
  return reply.code(statusCode).type('application/json; charset=utf-8').send(body)
}

function isRefusal (error: FastifyError): error is FastifyError & { statusCode: number } {
  return error.code?.startsWith('VOICE_AGENT_ERR_') === true
}
