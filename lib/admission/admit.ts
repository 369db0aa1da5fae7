/**
 * The hook that admits calls, after the guard and before the upgrade: by call id, limits and pressure.
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

/** Settings of a route's admission hook. */
export interface AdmissionSettings {
  readonly provider: Provider
  /** True if the URL must hold a call id. */
  readonly needsCallId: boolean
  /** True if the URL holds a secret, too. */
  readonly hasSecret: boolean
  readonly limits: AdmissionLimits
  clientAddress (request: AddressedRequest): string | undefined | null
  /** True if the app expects this id, or accepts any call. */
  expects (callId: string): boolean
  /** True if this node has a live call with this id, so that the provider is reconnecting. */
  isExistingCall (callId: string): boolean
  /** All calls of the registration. */
  readonly calls: { readonly size: number, readonly redials: Redials }
  /** How many calls wait for their provider to reconnect on a URL without a call id. */
  waiting (): number
  isUnderPressure (): boolean
  /** Counts each refusal. */
  refused (reason: Refusal): void
}

/**
 * Makes the `onRequest` hook that limits the redials of a call. It runs before other nodes are asked, as asking them cuts the
 * call's older socket.
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
 * Makes the `onRequest` hook of one route. Requests without an upgrade are refused before it.
 *
 * The hook refuses with VOICE_AGENT_ERR_CALL_ID, VOICE_AGENT_ERR_FORBIDDEN or VOICE_AGENT_ERR_LIMIT.
 */
export function createAdmissionHook (settings: AdmissionSettings): onRequestHookHandler {
  const { provider, needsCallId, hasSecret, limits, clientAddress, expects, isExistingCall, calls } = settings
  const { waiting, isUnderPressure, refused } = settings
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
    // A reconnect replaces the call's older socket, so limits on new calls do not apply.
    const obstacle = isNew ? findObstacle(address ?? '', clusterAnswer) : undefined
    if (obstacle !== undefined) {
      refused(obstacle)
      if (obstacle === 'pressure') request.log.warn({ address }, 'refused: the app is under pressure')
      else request.log.warn({ address, limit: obstacle }, 'refused: too many calls')
      return comeAgain(reply, new LimitError())
    }
    if (!isNew && isHandshake(request.raw)) {
      // Other redials may have been counted while the other nodes were asked.
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
    // Pressure comes first, as upgrades that it refuses must take nothing from the rate.
    if (reconnecting === 0 && isUnderPressure()) return 'pressure'
    const ceiling = limits.judge(address, calls.size - reconnecting)
    return ceiling === undefined && reconnecting === 0 && clusterAnswer?.mayTake === false ? 'maxClusterCalls' : ceiling
  }
}

// All calls share one URL: the first frame has the id.
const UNNAMED = { callId: undefined, placeholder: false }

/** What admission found out about an admitted request. */
export interface AdmittedUpgrade {
  /** Released when the socket closes. */
  readonly slot: CallSlot
  /** The call's id, where the URL holds it. */
  readonly callId: string | undefined
  /** True if it was admitted as a reconnect of a live call on this node. */
  readonly isReconnect: boolean
  /** The other nodes' answer, where there are any. */
  readonly clusterAnswer: ClusterAnswer | undefined
}

const admittedUpgrades = new WeakMap<IncomingMessage, AdmittedUpgrade>()

/** What admission found out about a request that it admitted. */
export function admittedUpgradeOf (request: FastifyRequest): AdmittedUpgrade {
  return admittedUpgrades.get(request.raw)!
}
