/**
 * Log lines of refusals. Fastify's own error handler logs each error with its stack, at `error` where the status is 503. A refusal
 * is no defect, and strangers can cause any number of them: one line gives the reason, without a stack.
 */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  CallIdError, ClosingError, ForbiddenError, HeadersError, LimitError, UnauthorizedError, UpgradeRequiredError
} from '../contract/errors.js'

/** The code that throws these has logged the reason, with details that the error lacks. */
const LOGGED = [CallIdError, ForbiddenError, HeadersError, LimitError, UnauthorizedError, UpgradeRequiredError]

/** Logs each refusal of a scope's routes in one line, whichever error handler answers it. */
export function logRefusals (scope: FastifyInstance): void {
  scope.addHook('onError', logRefusal)
  // An app's own error handler answers refusals as well, and decides what it logs.
  if (scope.errorHandler.name === 'defaultErrorHandler') scope.setErrorHandler(answerRefusal)
}

function logRefusal ({ log }: FastifyRequest, _reply: FastifyReply, error: FastifyError, done: () => void): void {
  if (isRefusal(error) && !LOGGED.some(Logged => error instanceof Logged)) {
    const { code, statusCode } = error
    // Expected while an app closes; the others may need a change by the operator.
    log[error instanceof ClosingError ? 'info' : 'warn']({ code, statusCode }, `refused: ${error.message}`)
  }
  done()
}

// Fastify's own format, sent as text: an app's hooks may wrap objects.
function answerRefusal (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (!isRefusal(error)) throw error
  const { code, statusCode, message } = error
  const body = JSON.stringify({ statusCode, code, error: STATUS_CODES[statusCode], message })
  return reply.code(statusCode).type('application/json; charset=utf-8').send(body)
}

function isRefusal (error: FastifyError): error is FastifyError & { statusCode: number } {
  return error.code?.startsWith('VOICE_AGENT_ERR_') === true
}
