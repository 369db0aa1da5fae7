/**
 * The hook that admits clients to a route by address and secret. Responses give no reason; the log does.
 */
import type { onRequestHookHandler, FastifyReply, FastifyRequest } from 'fastify'
import { hasCutHeaders } from '../http/declined-upgrade.js'
import { ClosingError, ForbiddenError, HeadersError } from '../contract/errors.js'
import type { Refusal } from '../telemetry/refusals.js'
import type { Allowlist } from './allowlist.js'
import { readCallUrl, type CallUrl } from './call-url.js'
import type { AddressedRequest } from './client-address.js'
import { describeRefusedAddress, type RefusedAddressSettings } from './forwarded.js'
import type { PageCheck } from './origin.js'

// Deploys and bursts are short. A provider that honours Retry-After comes back then.
const RETRY_AFTER_S = 1

/** Settings of a route's guard. */
export interface GuardSettings extends Omit<RefusedAddressSettings, 'hasSecret'> {
  readonly allowlist: Allowlist
  readonly knowsSecret: ((candidate: string | undefined) => boolean) | undefined
  /** `null` if a trusted proxy names no client. */
  clientAddress (request: AddressedRequest): string | undefined | null
  /** Refuses calls of web pages. */
  readonly judgePage: PageCheck
  isClosing (): boolean
  /** Counts each refusal. */
  refused (reason: Refusal): void
}

/** True if a route has an allowlist or a secret; without both it admits no client. */
export function admitsSomebody ({ allowlist, knowsSecret }: Pick<GuardSettings, 'allowlist' | 'knowsSecret'>): boolean {
  return !allowlist.empty || knowsSecret !== undefined
}

/**
 * Makes the `onRequest` hook of one route. With both a secret and an allowlist, both must hold.
 *
 * The hook refuses with VOICE_AGENT_ERR_CLOSING, VOICE_AGENT_ERR_HEADERS or VOICE_AGENT_ERR_FORBIDDEN.
 */
export function createGuard (settings: GuardSettings): onRequestHookHandler {
  const { allowlist, knowsSecret, clientAddress, judgePage, isClosing, refused } = settings
  const naming = { ...settings, hasSecret: knowsSecret !== undefined }
  // Synchronous, as promises would delay each new call.
  return (request, reply, done) => done(refusal(request, reply))

  function refusal (request: FastifyRequest, reply: FastifyReply): Error | undefined {
    if (isClosing()) {
      refused('closing')
      return comeAgain(reply, new ClosingError())
    }
    // X-Forwarded-For, or an entry of it, may be among the headers that were cut.
    if (hasCutHeaders(request.raw, request.server.server)) {
      refused('headers')
      request.log.warn('refused: the request has more headers than the server reads')
      return new HeadersError()
    }
    const address = clientAddress(request.raw)
    if (address === null) {
      refused('address')
      const { remoteAddress: proxy } = request.raw.socket
      request.log.warn({ address: proxy }, `refused: the address is in ${settings.proxiesName}, and X-Forwarded-For names no client`)
      return new ForbiddenError()
    }
    if (!admitsSomebody(settings) || !(allowlist.empty || allowlist.admits(address))) {
      refused('address')
      const { admittedBy, message } = describeRefusedAddress(request.raw, address, naming)
      request.log.warn({ address, admittedBy }, message)
      return new ForbiddenError()
    }
    if (knowsSecret !== undefined && !knowsSecret(readDialledUrl(request, true).secret)) {
      refused('secret')
      request.log.warn({ address, admittedBy: 'VOICE_AGENT_SECRET (option secret)' }, 'refused: the URL does not hold the secret')
      return new ForbiddenError()
    }
    // Requests without an upgrade get a refusal later, or carry a signature.
    const obstacle = request.ws ? judgePage(request, { address, allowlist, knowsSecret: knowsSecret !== undefined }) : undefined
    if (obstacle === undefined) return undefined
    refused(obstacle)
    return new ForbiddenError()
  }
}

/** Adds Retry-After to a refusal that is temporary. */
export function comeAgain<Refusal> (reply: FastifyReply, refusal: Refusal): Refusal {
  reply.header('retry-after', RETRY_AFTER_S)
  return refusal
}

/**
 * Closes the connection after the response to a request that is refused before its body was read: otherwise Node keeps reading
 * for as long as bytes drip in.
 */
export function closeUnread ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (!raw.complete) reply.header('connection', 'close')
}

/** Parses the URL of a request to `<path>/:call_id`, `<path>/*` or `<path>`. */
export function readDialledUrl (request: FastifyRequest, hasSecret: boolean): CallUrl {
  const params = request.params as { call_id?: string, '*'?: string }
  const query = request.url.indexOf('?')
  return readCallUrl(params.call_id ?? params['*'] ?? '', query === -1 ? '' : request.url.slice(query + 1), hasSecret)
}
