/**
 * The hook that stands before an upgrade: who may open a socket. Refuses without a word of why; the log tells the operator.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { CallIdError, ClosingError, ForbiddenError, LimitError } from '../errors.js'
import type { Refusal } from '../telemetry/refusals.js'
import { upgradingSocket } from '../websocket.js'
import type { Allowlist } from './allowlist.js'
import { readCallUrl, type CallUrl } from './call-url.js'
import type { Ceilings, Seat } from './ceilings.js'
import type { AddressedRequest } from './client-address.js'

// A deploy, a burst: soon over. A provider that knows of Retry-After asks again by then.
const RETRY_AFTER_S = 1

/** What a route's guard goes by. */
export interface GuardSettings {
  readonly allowlist: Allowlist
  /** What the operator calls the allowlist, for the log. */
  readonly allowlistName: string
  readonly knowsSecret: ((candidate: string | undefined) => boolean) | undefined
  /** Must the URL hold a call id? */
  readonly needsCallId: boolean
  readonly ceilings: Ceilings
  clientAddress (request: AddressedRequest): string | undefined
  isClosing (): boolean
  /** Does the app expect a call with this id, or any call? */
  expects (callId: string): boolean
  /** Is it a call that goes on here, whose provider dials again? */
  goesOn (callId: string): boolean
  /** Counts each refusal. */
  readonly refusals: Record<Refusal, number>
}

/** Does it let anybody in? Without an allowlist and without a secret nobody is admitted. */
export function admitsSomebody ({ allowlist, knowsSecret }: Pick<GuardSettings, 'allowlist' | 'knowsSecret'>): boolean {
  return !allowlist.empty || knowsSecret !== undefined
}

/**
 * Makes the `onRequest` hook of one route. With both a secret and an allowlist, both must hold.
 *
 * The hook throws VOICE_AGENT_ERR_CLOSING, VOICE_AGENT_ERR_FORBIDDEN, VOICE_AGENT_ERR_CALL_ID or VOICE_AGENT_ERR_LIMIT.
 */
export function createGuard (settings: GuardSettings): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const { allowlist, allowlistName, knowsSecret, needsCallId, ceilings, clientAddress, isClosing, expects, goesOn, refusals } = settings
  return async function admit (request, reply) {
    if (isClosing()) {
      refusals.closing++
      reply.header('retry-after', RETRY_AFTER_S)
      throw new ClosingError()
    }
    const address = clientAddress(request.raw)
    const { secret, callId } = readDialledUrl(request, knowsSecret !== undefined)
    if (!admitsSomebody(settings) || !(allowlist.empty || allowlist.admits(address))) {
      refusals.address++
      request.log.warn({ address, admittedBy: allowlistName }, 'refused: address is not on the allowlist')
      throw new ForbiddenError()
    }
    if (knowsSecret !== undefined && !knowsSecret(secret)) {
      refusals.secret++
      request.log.warn({ address, admittedBy: 'VOICE_AGENT_SECRET (option secret)' }, 'refused: the URL does not hold the secret')
      throw new ForbiddenError()
    }
    if (needsCallId && callId === undefined) {
      refusals.url++
      throw new CallIdError()
    }
    // No upgrade takes no place: it is answered, and gone.
    const socket = upgradingSocket(request.raw)
    if (socket === undefined) return
    const isAgain = callId !== undefined && needsCallId && goesOn(callId)
    if (needsCallId && !isAgain && !expects(callId!)) {
      refusals.call++
      request.log.warn({ address, admittedBy: 'app.admitCall()' }, 'refused: the call is not expected')
      throw new ForbiddenError()
    }
    // A call that goes on takes the place of its own older socket.
    const ceiling = isAgain ? undefined : ceilings.judge(address ?? '')
    if (ceiling !== undefined) {
      refusals[ceiling]++
      request.log.warn({ address, limit: ceiling }, 'refused: too many calls')
      reply.header('retry-after', RETRY_AFTER_S)
      throw new LimitError()
    }
    const seat = ceilings.sit(address ?? '')
    seats.set(request.raw, seat)
    socket.once('close', () => ceilings.leave(seat))
  }
}

const seats = new WeakMap<IncomingMessage, Seat>()

/** The place that a request took, which is left when its socket closes. */
export function seatOf (request: FastifyRequest): Seat {
  return seats.get(request.raw)!
}

/** Takes apart the URL of a request to `<path>/:call_id`, `<path>/*` or `<path>`. */
export function readDialledUrl (request: FastifyRequest, hasSecret: boolean): CallUrl {
  const params = request.params as { call_id?: string, '*'?: string }
  const query = request.url.indexOf('?')
  return readCallUrl(params.call_id ?? params['*'] ?? '', query === -1 ? '' : request.url.slice(query + 1), hasSecret)
}
