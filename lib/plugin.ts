/**
 * What registering does, read top to bottom.
 */
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { AdmittedCalls, type AdmitCallOptions } from './admission/admitted-calls.js'
import { logRefusals } from './admission/refusals.js'
import type { LiveCall } from './call/call.js'
import { drain } from './call/drain.js'
import { CallRegistry, type Calls } from './call/registry.js'
import { warnOfMisspelled } from './config/misspelled-variables.js'
import { checkOptions } from './config/option-check.js'
import type { VoiceAgentOptions } from './config/options.js'
import { readSettings } from './config/read.js'
import type { Agent } from './contract/agent.js'
import { AlreadyRegisteredError } from './contract/errors.js'
import { logSerializers } from './http/request-log.js'
import { closingOf } from './http/shutdown.js'
import { provideWebsocket } from './http/websocket.js'
import { PROVIDER_NAMES } from './providers/index.js'
import { createAdmission } from './server/admission.js'
import { decorateAgent } from './server/agent.js'
import { createCallHost } from './server/call-host.js'
import { addCallRoute, type ProviderRoute } from './server/call-routes.js'
import { joinCluster, openCluster } from './server/cluster.js'
import { registerHealth } from './server/health.js'
import { shareSerializers } from './server/loggers.js'
import { routesOf, warnOfIdleHooks } from './server/provider-routes.js'
import { Sockets } from './server/sockets.js'
import { warnOfSettings } from './server/warnings.js'
import { within } from './timing/timeout.js'
import { registerWebhooks } from './webhooks/routes.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The handler that takes every turn. Decorate it before the app is ready; otherwise a built-in one serves. */
    agent: Agent
    /** The live calls of the plugin registered here. */
    calls: Calls
    /**
     * Expects a call that the app placed itself, by the id that the provider's REST API gave it. With `admittedCallsOnly` no other
     * call is taken. The call is expected until `ttlMs` have passed, or it is over. Resolves, once all nodes know of it, with
     * whether they do; it never rejects.
     * @throws VOICE_AGENT_ERR_ACTION when the id is none, or the time is out of range
     */
    admitCall (callId: string, options?: AdmitCallOptions): Promise<boolean>
  }
}

/** How long a closing app waits for hooks, in ms. */
const HOOKS_TIMEOUT_MS = 5_000

async function voiceAgent (fastify: FastifyInstance, options: VoiceAgentOptions): Promise<void> {
  if (Object.hasOwn(fastify, 'calls')) throw new AlreadyRegisteredError()
  checkOptions(options)
  const calls = new CallRegistry<LiveCall>(PROVIDER_NAMES)
  const admitted = new AdmittedCalls()
  fastify.decorate('calls', calls)
  fastify.decorate('admitCall', (callId, options) => admitted.expect(callId, options))

  await fastify.register(async function voiceAgentRoutes (scope) {
    const config = await readSettings(scope, options)
    const bindLog = shareSerializers(scope)
    logRefusals(scope)
    decorateAgent(fastify, config, options)
    await provideWebsocket(fastify, scope)

    const closing = closingOf(fastify)
    const isClosing = (): boolean => closing.isClosing
    const cluster = await openCluster(config, options.cluster)
    const host = createCallHost(fastify, config, options, { calls, admitted, cluster, bindLog, isClosing })
    scope.addHook('onReady', async function openTelemetry () { host.telemetry.ready(PROVIDER_NAMES) })
    const { guard, admission } = createAdmission(scope, config, host)
    const { limits } = admission
    warnOfSettings(scope.log, config)
    warnOfMisspelled(fastify.server, scope.log, process.env)
    const claims = cluster && joinCluster(scope, cluster, host, () => limits.pending)
    if (cluster !== undefined) admitted.share = (callId, ttlMs) => cluster.admit(callId, ttlMs)

    const routes = routesOf(config, options)
    const sockets = new Sockets(scope, host)
    // A provider whose URL names no call may be dialling again.
    const waitingFor = ({ provider, needsCallId }: ProviderRoute): number => needsCallId ? 0 : calls.waitingFor(provider)
    for (const route of routes.calls) addCallRoute(scope, route, { guard, admission, claims, sockets, calls, waitingFor })
    registerHealth(scope, config, {
      isClosing,
      // While one route takes a new call, or one that may be going on, the process is not full.
      isFull: () => limits.isFull(calls.size - Math.max(0, ...routes.calls.map(waitingFor)))
    })
    warnOfIdleHooks(scope.log, routes, options)
    await registerWebhooks(scope, routes.webhooks, options, { ...guard, hooks: host.hooks })

    closing.add(async () => {
      await drain(calls, config.DRAIN_TIMEOUT_MS)
      await sockets.closed()
      // The app's hooks write down their calls before the app closes its database.
      await within(HOOKS_TIMEOUT_MS, host.hooks.settled())
      await cluster?.close()
      admitted.clear()
    })
  }, {
    prefix: options.prefix ?? '',
    logSerializers: { ...logSerializers, ...options.logSerializers },
    ...(options.logLevel !== undefined && { logLevel: options.logLevel })
  })
}

/**
 * The plugin: `await app.register(voiceAgentPlugin)`. Configured by the environment and {@link VoiceAgentOptions}.
 *
 * The app does not become ready with VOICE_AGENT_ERR_CONFIG, VOICE_AGENT_ERR_AGENT or
 * VOICE_AGENT_ERR_ALREADY_REGISTERED.
 */
export const voiceAgentPlugin: FastifyPluginAsync<VoiceAgentOptions> = fp(voiceAgent, {
  fastify: '5.x',
  name: 'fastify-voice-agent'
})
