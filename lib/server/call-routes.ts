/**
 * The routes that providers open for calls.
 */
import type { FastifyInstance } from 'fastify'
import { parseAllowlist } from '../admission/allowlist.js'
import type { ClusterClaims } from '../admission/cluster-claim.js'
import { admitsSomebody, createGuard, type GuardSettings } from '../admission/guard.js'
import { JUDGES_PRESSURE } from '../admission/pressure.js'
import { WITHOUT_RATE_LIMIT } from '../admission/rate-limit.js'
import { createRedialLimit, createAdmissionHook, type AdmissionSettings } from '../admission/admit.js'
import { createUpgradeCheck } from '../admission/upgrade-check.js'
import type { LiveCall } from '../call/call.js'
import type { CallRegistry } from '../call/registry.js'
import { nameOf } from '../config/settings.js'
import type { Provider } from '../contract/agent.js'
import { entriesOf } from '../contract/setting.js'
import { joinHandshake } from '../http/websocket.js'
import type { CallRoute } from '../providers/provider.js'
import type { SharedGuard, SharedAdmission } from './admission.js'
import type { Sockets } from './sockets.js'

/** A route, and the provider that opens it. */
export interface ProviderRoute extends CallRoute {
  readonly provider: Provider
}

/** Settings that all call routes share. */
export interface CallRouteSettings {
  readonly guard: SharedGuard
  readonly admission: SharedAdmission
  /** Claims calls from other nodes, where there are any. */
  readonly claims: ClusterClaims | undefined
  readonly sockets: Sockets
  readonly calls: CallRegistry<LiveCall>
  /** How many calls wait for their provider to reconnect on a URL without a call id. */
  waitingFor (route: ProviderRoute): number
}

/** Adds a call route, and logs a warning if it admits no client. */
export function addCallRoute (scope: FastifyInstance, route: ProviderRoute, settings: CallRouteSettings): void {
  const { provider, needsCallId, allowlistName } = route
  const guard: GuardSettings = { ...settings.guard, allowlistName, allowlist: parseAllowlist(entriesOf(route.allowlist), allowlistName) }
  if (!admitsSomebody(guard)) {
    scope.log.warn(`${route.path} admits nobody: set ${nameOf('VOICE_AGENT_SECRET')} or ${allowlistName}`)
  }
  const admission: AdmissionSettings = {
    ...settings.admission,
    provider,
    needsCallId,
    isExistingCall: callId => settings.calls.find(provider, callId) !== undefined,
    waiting: () => settings.waitingFor(route)
  }
  const claim = settings.claims === undefined ? [] : [settings.claims.hook(provider, needsCallId, admission.hasSecret)]
  const requireUpgrade = createUpgradeCheck(scope.prefix + route.path)
  for (const url of [route.path, `${route.path}/:call_id`, `${route.path}/*`]) {
    scope.route({
      method: 'GET',
      url,
      websocket: true,
      config: { ...JUDGES_PRESSURE, ...WITHOUT_RATE_LIMIT },
      onRequest: [createGuard(guard), requireUpgrade, createRedialLimit(admission), ...claim, createAdmissionHook(admission)],
      preHandler: joinHandshake,
      handler: (socket, request) => settings.sockets.take(socket, request, provider, route.newCodec)
    })
  }
}
