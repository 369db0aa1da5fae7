/**
 * The hook that stands before a route: who may speak to it. Refuses without a word of why; the log tells the operator.
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

// A deploy, a burst: soon over. A provider that knows of Retry-After asks again by then.
const RETRY_AFTER_S = 1

/** What a route's guard goes by. */
export interface GuardSettings extends Omit<RefusedAddressSettings, 'hasSecret'> {
  readonly allowlist: Allowlist
  readonly knowsSecret: ((candidate: string | undefined) => boolean) | undefined
  /** `null` = a trusted proxy does not say who the client is. */
  clientAddress (request: AddressedRequest): string | undefined | null
  /** Keeps web pages from placing calls. */
  readonly judgePage: PageCheck
  isClosing (): boolean
  /** Counts each refusal. */
  refused (reason: Refusal): void
}

/** Does it let anybody in? Without an allowlist and without a secret nobody is admitted. */
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
  // Not async: it would cost a new call a turn of promises.
  return (request, reply, done) => done(refusal(request, reply))

  function refusal (request: FastifyRequest, reply: FastifyReply): Error | undefined {
    if (isClosing()) {
      refused('closing')
      return comeAgain(reply, new ClosingError())
    }
    // X-Forwarded-For may be among those that are missing, or an entry of it.
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
    // What asks for no upgrade is given nothing, or has a signature.
    const obstacle = request.ws ? judgePage(request, { address, allowlist, knowsSecret: knowsSecret !== undefined }) : undefined
    if (obstacle === undefined) return undefined
    refused(obstacle)
    return new ForbiddenError()
  }
}

/** The refusal of somebody who may well be let in a moment later. */
export function comeAgain<Refusal> (reply: FastifyReply, refusal: Refusal): Refusal {
  reply.header('retry-after', RETRY_AFTER_S)
  return refusal
}

/**
 * Closes the connection behind the answer to a request that is refused before its body was read: otherwise Node reads on, for as long as
 * bytes drip in.
 */
export function closeUnread ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (!raw.complete) reply.header('connection', 'close')
}

/** Takes apart the URL of a request to `<path>/:call_id`, `<path>/*` or `<path>`. */
export function readDialledUrl (request: FastifyRequest, hasSecret: boolean): CallUrl {
  const params = request.params as { call_id?: string, '*'?: string }
  const query = request.url.indexOf('?')
  return readCallUrl(params.call_id ?? params['*'] ?? '', query === -1 ? '' : request.url.slice(query + 1), hasSecret)
}
