/**
 * Error responses of the control plane, and their log lines.
 */
import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { closeUnread } from '../admission/guard.js'
import { logFault } from '../telemetry/failure.js'

/**
 * An error handler: the app's own may answer in another form, or repeat what it should not. Messages of ours are answered, as
 * they never hold content; what nobody expected is told and logged without.
 */
export function answerFailure (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500, code } = error
  const isExpected = statusCode < 500 || code?.startsWith('VOICE_AGENT_ERR_')
  if (!isExpected) logFault(request.log, error, 'a control failed')
  else if (statusCode !== 401) request.log.info({ code, statusCode }, 'control refused')
  closeUnread(request, reply)
  reply.code(statusCode).send({
    statusCode,
    ...(isExpected && { code }),
    error: STATUS_CODES[statusCode],
    message: isExpected ? error.message : STATUS_CODES[statusCode]
  })
}
