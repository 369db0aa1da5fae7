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
import type { AdmissionLimits, CallSlot } from './call-limits.js'
import { clusterAnswerOf, isExistingCall as isClusterCall, type ClusterAnswer } from './cluster-claim.js'
import type { AddressedRequest } from './client-address.js'
import { comeAgain, readDialledUrl } from './guard.js'
import { isHandshake } from './handshake.js'

/** What a route's turnstile goes by. */
export interface AdmissionSettings {
  readonly provider: Provider
  /** Must the URL hold a call id? */
  readonly needsCallId: boolean
  /** Is there a secret in the URL, too? */
  readonly hasSecret: boolean
  readonly limits: AdmissionLimits
  clientAddress (request: AddressedRequest): string | undefined | null
  /** Does the app expect a call with this id, or any call? */
  expects (callId: string): boolean
  /** Is it a call that goes on here, whose provider dials again? */
  isExistingCall (callId: string): boolean
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
export function createRedialLimit ({ provider, needsCallId, hasSecret, calls, refused }: AdmissionSettings): onRequestHookHandler {
  return (request, reply, done) => {
    const callId = needsCallId ? readDialledUrl(request, hasSecret).callId : undefined
    if (callId === undefined || !calls.redials.isExceeded(provider, callId)) return done()
    done(tooOften(request, reply, refused))
  }
}

function tooOften ({ log }: FastifyRequest, reply: FastifyReply, refused: AdmissionSettings['refused']): Error {
  refused('redials')
  log.warn('refused: the call is dialled again too often')
  return comeAgain(reply, new LimitError())
}

/**
 * Makes the `onRequest` hook of one route. What asks for no upgrade does not come here.
 *
 * The hook refuses with VOICE_AGENT_ERR_CALL_ID, VOICE_AGENT_ERR_FORBIDDEN or VOICE_AGENT_ERR_LIMIT.
 */
export function createAdmissionHook (settings: AdmissionSettings): onRequestHookHandler {
  const { provider, needsCallId, hasSecret, limits, clientAddress, expects, isExistingCall, calls, waiting, isUnderPressure, refused } = settings
  return (request, reply, done) => done(refusal(request, reply))

  function refusal (request: FastifyRequest, reply: FastifyReply): Error | undefined {
    const { callId, placeholder } = needsCallId ? readDialledUrl(request, hasSecret) : UNNAMED
    const address = clientAddress(request.raw)
    if (needsCallId && callId === undefined) {
      refused('url')
      request.log.warn({ address }, 'refused: the URL must end in a call id')
      return new CallIdError()
    }
    const clusterAnswer = clusterAnswerOf(request)
    const isReconnect = callId !== undefined && isExistingCall(callId)
    const isNew = !isReconnect && !isClusterCall(clusterAnswer?.claim)
    if (callId !== undefined && isNew && !expects(callId) && clusterAnswer?.claim?.isAdmitted !== true) {
      refused('call')
      if (clusterAnswer?.claim?.status === 'unanswered') {
        request.log.warn({ address }, 'refused: other nodes could not be clusterAnswer whether the call is expected')
        return comeAgain(reply, new LimitError())
      }
      request.log.warn({ address, admittedBy: 'app.admitCall()' }, 'refused: the call is not expected')
      return new ForbiddenError()
    }
    // A call that goes on takes the place of its own older socket.
    const obstacle = isNew ? findObstacle(address ?? '', clusterAnswer) : undefined
    if (obstacle !== undefined) {
      refused(obstacle)
      if (obstacle === 'pressure') request.log.warn({ address }, 'refused: the app is under pressure')
      else request.log.warn({ address, limit: obstacle }, 'refused: too many calls')
      return comeAgain(reply, new LimitError())
    }
    if (!isNew && isHandshake(request.raw)) {
      // Many may have come at once, and been counted while other nodes were clusterAnswer for this one.
      if (calls.redials.isExceeded(provider, callId!)) return tooOften(request, reply, refused)
      calls.redials.count(provider, callId!)
    }
    const slot = limits.acquire(address ?? '')
    admittedUpgrades.set(request.raw, { slot, callId, isReconnect, clusterAnswer })
    if (placeholder) request.log.warn('the URL ends in a literal {call_id}: take it out, the provider appends the id')
    upgradingSocket(request.raw).once('close', () => slot.release())
    return undefined
  }

  function findObstacle (address: string, clusterAnswer: ClusterAnswer | undefined): Ceiling | 'pressure' | undefined {
    const reconnecting = waiting()
    // Pressure comes first, as what it refuses must not use up what the limits allow.
    if (reconnecting === 0 && isUnderPressure()) return 'pressure'
    const ceiling = limits.judge(address, calls.size - reconnecting)
    return ceiling === undefined && reconnecting === 0 && clusterAnswer?.mayTake === false ? 'maxClusterCalls' : ceiling
  }
}

// The URL is the same for all calls: only their first frame tells which one it is.
const UNNAMED = { callId: undefined, placeholder: false }

/** What was found out of a request that was let in. */
export interface AdmittedUpgrade {
  /** Its place, which is left when its socket closes. */
  readonly slot: CallSlot
  /** Of the call, where the URL says it. */
  readonly callId: string | undefined
  /** Was it let in as a call that goes on here? */
  readonly isReconnect: boolean
  /** What other nodes said of it, where there are any. */
  readonly clusterAnswer: ClusterAnswer | undefined
}

const admittedUpgrades = new WeakMap<IncomingMessage, AdmittedUpgrade>()

/** How a request was let in. */
export function admittedUpgradeOf (request: FastifyRequest): AdmittedUpgrade {
  return admittedUpgrades.get(request.raw)!
}
