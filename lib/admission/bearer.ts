/**
 * Bearer tokens.
 */
import type { FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { UnauthorizedError } from '../contract/errors.js'
import { secretCheck, secretsOf } from './secret.js'

/** The part of a request that the check reads. */
export type AuthorizedRequest = Pick<FastifyRequest, 'headers'>

/**
 * Makes the check of `authorization: Bearer <token>`, in constant time.
 * @param tokens separated by commas; each is valid, so that one can be replaced without a gap. An empty list refuses all requests
 */
export function bearerCheck (tokens: string): (request: AuthorizedRequest) => boolean {
  return tokenCheck(secretsOf(tokens))
}

/**
 * Makes the `onRequest` hook of routes that need a token. The hook refuses with VOICE_AGENT_ERR_UNAUTHORIZED without details;
 * the log has the reason.
 * @param name what the operator calls the tokens, for the log
 * @param advice for clients that send no such header, for the log
 */
export function createBearerGuard (tokens: readonly string[], name: string, advice: string): onRequestAsyncHookHandler {
  const knowsToken = tokenCheck(tokens)
  return async function admitBearer (request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (knowsToken(request)) return
    request.log.warn(`refused: ${request.headers.authorization === undefined
      ? `no Authorization header: ${advice}`
      : `the Authorization header is not Bearer and ${name}`}`)
    reply.header('www-authenticate', 'Bearer')
    throw new UnauthorizedError()
  }
}

function tokenCheck (tokens: readonly string[]): (request: AuthorizedRequest) => boolean {
  const knowsToken = secretCheck(tokens)
  return ({ headers: { authorization = '' } }) => knowsToken?.(/^Bearer +(.+)$/i.exec(authorization)?.[1]) === true
}
