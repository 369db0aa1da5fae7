/**
 * The hook that stands before an upgrade: who may open a socket. Refuses without a word of why; the log tells the operator.
 */
import type { FastifyRequest } from 'fastify'
import { CallIdError, ClosingError, ForbiddenError } from '../errors.js'
import type { Allowlist } from './allowlist.js'
import { readCallUrl, type CallUrl } from './call-url.js'
import type { AddressedRequest } from './client-address.js'

/** What a route's guard goes by. */
export interface GuardSettings {
  readonly allowlist: Allowlist
  /** What the operator calls the allowlist, for the log. */
  readonly allowlistName: string
  readonly knowsSecret: ((candidate: string | undefined) => boolean) | undefined
  /** Must the URL hold a call id? */
  readonly needsCallId: boolean
  clientAddress (request: AddressedRequest): string | undefined
  isClosing (): boolean
}

/** Does it let anybody in? Without an allowlist and without a secret nobody is admitted. */
export function admitsSomebody ({ allowlist, knowsSecret }: Pick<GuardSettings, 'allowlist' | 'knowsSecret'>): boolean {
  return !allowlist.empty || knowsSecret !== undefined
}

/**
 * Makes the `onRequest` hook of one route. With both a secret and an allowlist, both must hold.
 *
 * The hook throws VOICE_AGENT_ERR_CLOSING, VOICE_AGENT_ERR_FORBIDDEN or VOICE_AGENT_ERR_CALL_ID.
 */
export function createGuard (settings: GuardSettings): (request: FastifyRequest) => Promise<void> {
  const { allowlist, allowlistName, knowsSecret, needsCallId, clientAddress, isClosing } = settings
  return async function admit (request) {
    if (isClosing()) throw new ClosingError()
    const address = clientAddress(request.raw)
    const { secret, callId } = readDialledUrl(request, knowsSecret !== undefined)
    if (!admitsSomebody(settings) || !(allowlist.empty || allowlist.admits(address))) {
      request.log.warn({ address, admittedBy: allowlistName }, 'refused: address is not on the allowlist')
      throw new ForbiddenError()
    }
    if (knowsSecret !== undefined && !knowsSecret(secret)) {
      request.log.warn({ address, admittedBy: 'VOICE_AGENT_SECRET (option secret)' }, 'refused: the URL does not hold the secret')
      throw new ForbiddenError()
    }
    if (needsCallId && callId === undefined) throw new CallIdError()
  }
}

/** Takes apart the URL of a request to `<path>/:call_id`, `<path>/*` or `<path>`. */
export function readDialledUrl (request: FastifyRequest, hasSecret: boolean): CallUrl {
  const params = request.params as { call_id?: string, '*'?: string }
  const query = request.url.indexOf('?')
  return readCallUrl(params.call_id ?? params['*'] ?? '', query === -1 ? '' : request.url.slice(query + 1), hasSecret)
}
