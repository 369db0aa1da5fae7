/**
 * The hook that stands before an upgrade, behind the guard: which calls are let in, and how many.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Provider } from '../contract/agent.js'
import type { Redials } from './redials.js'
import { CallIdError, ForbiddenError, LimitError } from '../contract/errors.js'
import type { Ceiling, Refusal } from '../telemetry/refusals.js'
import { upgradingSocket } from '../http/websocket.js'
import type { Ceilings, Seat } from './ceilings.js'
import { askedOf, goesOn as goesOnElsewhere, type Asked } from './claims.js'
import type { AddressedRequest } from './client-address.js'
import { comeAgain, readDialledUrl } from './guard.js'
import { isHandshake } from './handshake.js'

/** What a route's turnstile goes by. */
export interface TurnstileSettings {
  readonly provider: Provider
  /** Must the URL hold a call id? */
  readonly needsCallId: boolean
  /** Is there a secret in the URL, too? */
  readonly hasSecret: boolean
  readonly ceilings: Ceilings
  clientAddress (request: AddressedRequest): string | undefined | null
  /** Does the app expect a call with this id, or any call? */
  expects (callId: string): boolean
  /** Is it a call that goes on here, whose provider dials again? */
  goesOn (callId: string): boolean
  /** All that there are. */
  readonly calls: { readonly size: number, readonly redials: Redials }
  /** Of these, how many wait for their provider without a socket's URL saying which of them it belongs to, if to any. */
  waiting (): number
  isUnderPressure (): boolean
  /** Counts each refusal. */
  refused (reason: Refusal): void
}

/**
 * Makes the `onRequest` hook that bounds how often a call is dialled again. It stands ahead of the one that asks other nodes:
 * that alone cuts the call's older socket.
 *
 * The hook refuses with VOICE_AGENT_ERR_LIMIT.
 */
export function createRedialLimit ({ provider, needsCallId, hasSecret, calls, refused }: TurnstileSettings): onRequestHookHandler {
  return (request, reply, done) => {
    const callId = needsCallId ? readDialledUrl(request, hasSecret).callId : undefined
    if (callId === undefined || !calls.redials.isExceeded(provider, callId)) return done()
    done(tooOften(request, reply, refused))
  }
}

function tooOften ({ log }: FastifyRequest, reply: FastifyReply, refused: TurnstileSettings['refused']): Error {
  refused('redials')
  log.warn('refused: the call is dialled again too often')
  return comeAgain(reply, new LimitError())
}

/**
 * Makes the `onRequest` hook of one route. What asks for no upgrade does not come here.
 *
 * The hook refuses with VOICE_AGENT_ERR_CALL_ID, VOICE_AGENT_ERR_FORBIDDEN or VOICE_AGENT_ERR_LIMIT.
 */
export function createTurnstile (settings: TurnstileSettings): onRequestHookHandler {
  const { provider, needsCallId, hasSecret, ceilings, clientAddress, expects, goesOn, calls, waiting, isUnderPressure, refused } = settings
  return (request, reply, done) => done(refusal(request, reply))

  function refusal (request: FastifyRequest, reply: FastifyReply): Error | undefined {
    const { callId, placeholder } = needsCallId ? readDialledUrl(request, hasSecret) : UNNAMED
    const address = clientAddress(request.raw)
    if (needsCallId && callId === undefined) {
      refused('url')
      request.log.warn({ address }, 'refused: the URL must end in a call id')
      return new CallIdError()
    }
    const asked = askedOf(request)
    const isAgain = callId !== undefined && goesOn(callId)
    const isNew = !isAgain && !goesOnElsewhere(asked?.claim)
    if (callId !== undefined && isNew && !expects(callId) && asked?.claim?.isAdmitted !== true) {
      refused('call')
      if (asked?.claim?.status === 'unanswered') {
        request.log.warn({ address }, 'refused: other nodes could not be asked whether the call is expected')
        return comeAgain(reply, new LimitError())
      }
      request.log.warn({ address, admittedBy: 'app.admitCall()' }, 'refused: the call is not expected')
      return new ForbiddenError()
    }
    // A call that goes on takes the place of its own older socket.
    const obstacle = isNew ? findObstacle(address ?? '', asked) : undefined
    if (obstacle !== undefined) {
      refused(obstacle)
      if (obstacle === 'pressure') request.log.warn({ address }, 'refused: the app is under pressure')
      else request.log.warn({ address, limit: obstacle }, 'refused: too many calls')
      return comeAgain(reply, new LimitError())
    }
    if (!isNew && isHandshake(request.raw)) {
      // Many may have come at once, and been counted while other nodes were asked for this one.
      if (calls.redials.isExceeded(provider, callId!)) return tooOften(request, reply, refused)
      calls.redials.count(provider, callId!)
    }
    const seat = ceilings.sit(address ?? '')
    entrances.set(request.raw, { seat, callId, isAgain, asked })
    if (placeholder) request.log.warn('the URL ends in a literal {call_id}: take it out, the provider appends the id')
    upgradingSocket(request.raw).once('close', () => seat.leave())
    return undefined
  }

  function findObstacle (address: string, asked: Asked | undefined): Ceiling | 'pressure' | undefined {
    const mayGoOn = waiting()
    // Pressure comes first, as what it refuses must not use up what the ceilings allow.
    if (mayGoOn === 0 && isUnderPressure()) return 'pressure'
    const ceiling = ceilings.judge(address, calls.size - mayGoOn)
    return ceiling === undefined && mayGoOn === 0 && asked?.mayTake === false ? 'maxClusterCalls' : ceiling
  }
}

// The URL is the same for all calls: only their first frame tells which one it is.
const UNNAMED = { callId: undefined, placeholder: false }

/** What was found out of a request that was let in. */
export interface Entrance {
  /** Its place, which is left when its socket closes. */
  readonly seat: Seat
  /** Of the call, where the URL says it. */
  readonly callId: string | undefined
  /** Was it let in as a call that goes on here? */
  readonly isAgain: boolean
  /** What other nodes said of it, where there are any. */
  readonly asked: Asked | undefined
}

const entrances = new WeakMap<IncomingMessage, Entrance>()

/** How a request was let in. */
export function entranceOf (request: FastifyRequest): Entrance {
  return entrances.get(request.raw)!
}
