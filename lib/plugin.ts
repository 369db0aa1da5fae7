/**
 * What registering does, read top to bottom.
 */
import env from '@fastify/env'
import type { FastifyBaseLogger, FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { RawData, WebSocket } from 'ws'
import { parseAllowlist } from './admission/allowlist.js'
import { AdmittedCalls, type AdmitCallOptions } from './admission/admitted-calls.js'
import { Ceilings } from './admission/ceilings.js'
import { Claims } from './admission/claims.js'
import { trustProxies } from './admission/client-address.js'
import { admitsSomebody, createGuard, type GuardSettings } from './admission/guard.js'
import { createPageCheck } from './admission/origin.js'
import { isUnderPressure, JUDGES_PRESSURE } from './admission/pressure.js'
import { WITHOUT_RATE_LIMIT } from './admission/rate-limit.js'
import { logRefusals } from './admission/refusals.js'
import { secretCheck } from './admission/secret.js'
import { createRedialLimit, createTurnstile, entranceOf, type TurnstileSettings } from './admission/turnstile.js'
import { createUpgradeCheck } from './admission/upgrade-check.js'
import { warnOfSettings } from './admission/warnings.js'
import type { Agent, Provider } from './contract/agent.js'
import { builtInAgent } from './agents/built-in.js'
import { assertAgent } from './agents/mistaken-agent.js'
import { APOLOGY, GREETING, scriptedAgent } from './agents/scripted.js'
import { answer, decline } from './call/answer.js'
import type { CallHost, LiveCall } from './call/call.js'
import { Connection } from './call/connection.js'
import { drain } from './call/drain.js'
import { HookRunner } from './call/hooks.js'
import { createGoodbye } from './call/limits.js'
import { Pulse } from './call/pulse.js'
import { cleaner, redactingHooks, type Redact } from './call/redaction.js'
import { createFallback, createFiller } from './call/stand-in.js'
import { CallRegistry, type Calls } from './call/registry.js'
import { closingOf } from './http/shutdown.js'
import type { CallKey, Command } from './cluster/cluster.js'
import { openCluster } from './cluster/open.js'
import { DirectSocket } from './http/direct-socket.js'
import { AlreadyRegisteredError, CallEndedError, ConfigError } from './contract/errors.js'
import { registerHealth } from './server/health.js'
import { capturesContent, ceilingsOf, entriesOf, envSchema, nameOf, refuseInfinity, toConfigError, toEnv, type Env, type VoiceAgentOptions } from './config/options.js'
import { warnOfMisspelled } from './config/misspelled-variables.js'
import { checkOptions } from './config/option-check.js'
import { within } from './timing/timeout.js'
import { millisControlFrames } from './providers/millis/frames.js'
import { MillisProtocol } from './providers/millis/codec.js'
import type { Protocol } from './providers/codec.js'
import { RetellProtocol, retellBegin } from './providers/retell/codec.js'
import { logSerializers } from './http/request-log.js'
import type { Refusal } from './telemetry/refusals.js'
import { Telemetry } from './telemetry/telemetry.js'
import { registerWebhooks } from './webhooks/index.js'
import { joinHandshake, provideWebsocket, releaseUpgrade, terminateUpgraded, upgradingSocket } from './http/websocket.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The handler that takes every turn. Decorate it before the app is ready; otherwise a built-in one serves. */
    agent: Agent
    /** The live calls of the plugin registered here. */
    calls: Calls
    /**
     * Expects a call that the app placed itself, as the provider's REST API told its id (Retell's call_id, Millis'
     * session_id). With `admittedCallsOnly` no other is taken. It is expected until `ttlMs` have passed, or it is over.
     * Resolves, once all nodes know of it, with whether they do; it never rejects.
     * @throws VOICE_AGENT_ERR_ACTION when the id is none, or the time is out of range
     */
    admitCall (callId: string, options?: AdmitCallOptions): Promise<boolean>
  }
}

const HOOKS_TIMEOUT_MS = 5_000

// A peer that is gone never answers a closing handshake.
const CLOSE_TIMEOUT_MS = 1_000

// The close code of a connection that broke.
const ABNORMAL = 1006

/** One provider's route. */
interface Route {
  readonly provider: Provider
  readonly path: string
  readonly allowlist: string
  readonly allowlistName: string
  readonly needsCallId: boolean
  newProtocol (): Protocol
}

async function voiceAgent (fastify: FastifyInstance, options: VoiceAgentOptions): Promise<void> {
  if (Object.hasOwn(fastify, 'calls')) throw new AlreadyRegisteredError()
  checkOptions(options)
  const calls = new CallRegistry<LiveCall>()
  fastify.decorate('calls', calls)
  const admitted = new AdmittedCalls()
  let share = async (_callId: string, _ttlMs: number): Promise<boolean> => true
  // Not async: what is wrong with it is told at once.
  fastify.decorate('admitCall', (callId, options) => share(callId, admitted.admit(callId, options)))

  await fastify.register(async function voiceAgentRoutes (scope) {
    const config = await readEnv(scope, options)
    const hasOwnLogs = isFastifys(scope.childLoggerFactory)
    if (hasOwnLogs) scope.setChildLoggerFactory(withSharedSerializers(scope.childLoggerFactory))
    logRefusals(scope)
    decorateAgent(fastify, config, options)
    await provideWebsocket(fastify, scope)

    const closing = closingOf(fastify)
    const isClosing = (): boolean => closing.isClosing
    const hooks = new HookRunner(redactingHooks(options, options.redact))
    const limits = ceilingsOf(config)
    const expects = (callId: string): boolean => !config.ADMITTED_CALLS_ONLY || admitted.has(callId)
    const cluster = await openCluster(config, options.cluster ?? {}, limits.maxClusterCalls)
    const telemetry = new Telemetry(shownInSpans(config, options.redact))
    scope.addHook('onReady', async function openTelemetry () { telemetry.ready() })
    const refused = (reason: Refusal): void => {
      calls.refusals[reason]++
      telemetry.refused(reason)
    }
    const host: CallHost = {
      calls,
      cluster,
      telemetry,
      refused,
      hooks,
      leadingAssistant: options.messages?.leadingAssistant ?? false,
      afterTool: options.messages?.afterTool ?? '',
      deadlines: {
        firstTokenMs: config.FIRST_TOKEN_TIMEOUT_MS,
        tokenGapMs: config.TOKEN_GAP_TIMEOUT_MS,
        turnMs: config.TURN_TIMEOUT_MS,
        fillerMs: options.filler === undefined ? 0 : config.FILLER_DELAY_MS
      },
      fallback: createFallback(options.fallback, GREETING, APOLOGY),
      filler: createFiller(options.filler ?? ''),
      reconnectGraceMs: config.RECONNECT_GRACE_MS,
      limits: { ...limits, goodbye: createGoodbye(options.limits?.goodbye) },
      expects,
      over: callId => admitted.delete(callId),
      bindLog: hasOwnLogs ? bindInPlace : bindChild,
      isClosing,
      ask: turn => fastify.agent(turn)
    }
    const connections = new Map<WebSocket, Connection>()
    const pulse = new Pulse()
    // The first to read the list, as it says best what is wrong with it.
    const clientAddress = trustProxies(entriesOf(config.TRUSTED_PROXIES), nameOf('TRUSTED_PROXIES'))
    const proxies = {
      proxies: parseAllowlist(entriesOf(config.TRUSTED_PROXIES), nameOf('TRUSTED_PROXIES')),
      proxiesName: nameOf('TRUSTED_PROXIES')
    }
    const shared = {
      ...proxies,
      knowsSecret: secretCheck(config.VOICE_AGENT_SECRET === undefined ? [] : entriesOf(config.VOICE_AGENT_SECRET)),
      clientAddress,
      judgePage: createPageCheck({
        entries: entriesOf(config.ALLOWED_ORIGINS),
        name: nameOf('ALLOWED_ORIGINS'),
        secretName: nameOf('VOICE_AGENT_SECRET'),
        ...proxies
      }),
      refused,
      isClosing
    }
    warnOfSettings(scope.log, config)
    warnOfMisspelled(fastify.server, scope.log, process.env)
    const ceilings = new Ceilings(limits)
    const claims = cluster && new Claims(cluster, (key, claim) => decline(calls, key, claim))
    if (cluster !== undefined) {
      calls.cluster = cluster.calls
      share = (callId, ttlMs) => cluster.admit(callId, ttlMs)
      scope.addHook('onReady', async function joinCluster () {
        await cluster.start({
          log: scope.log,
          get load () { return calls.size + ceilings.pending + claims!.pending },
          command: (key, command) => carryOut(calls, key, command),
          failed: operation => telemetry.clusterFailed(operation)
        })
      })
    }
    const turnstile = {
      ceilings,
      calls,
      clientAddress: shared.clientAddress,
      refused,
      hasSecret: shared.knowsSecret !== undefined,
      expects,
      isUnderPressure: () => isUnderPressure(scope)
    }
    // A provider whose URL names no call may be dialling again.
    const waitingFor = ({ provider, needsCallId }: Route): number => needsCallId ? 0 : calls.waiting[provider]

    const routes = routesOf(config, options)
    assertDistinct([...routes.map(({ path }) => path), config.READINESS_PATH, config.LIVENESS_PATH])
    for (const route of routes) {
      const guard: GuardSettings = { ...shared, ...route, allowlist: parseAllowlist(entriesOf(route.allowlist), route.allowlistName) }
      if (!admitsSomebody(guard)) {
        scope.log.warn(`${route.path} admits nobody: set VOICE_AGENT_SECRET (option secret) or ${route.allowlistName}`)
      }
      const { provider, needsCallId } = route
      const entrance: TurnstileSettings = {
        ...turnstile, provider, needsCallId, goesOn: callId => calls.find(provider, callId) !== undefined, waiting: () => waitingFor(route)
      }
      const claim = claims === undefined ? [] : [claims.hook(provider, needsCallId, turnstile.hasSecret)]
      const requireUpgrade = createUpgradeCheck(scope.prefix + route.path)
      for (const url of [route.path, `${route.path}/:call_id`, `${route.path}/*`]) {
        scope.route({
          method: 'GET',
          url,
          websocket: true,
          config: { ...JUDGES_PRESSURE, ...WITHOUT_RATE_LIMIT },
          onRequest: [createGuard(guard), requireUpgrade, createRedialLimit(entrance), ...claim, createTurnstile(entrance)],
          preHandler: joinHandshake,
          // Not async, and nothing is awaited before the listeners stand: a frame would be lost.
          handler: (socket, request) => take(socket, request, route)
        })
      }
    }

    registerHealth(scope, config, {
      isClosing,
      // As long as one route takes a new call, be it for one that may be going on, it is not.
      isFull: () => ceilings.isFull(calls.size - Math.max(0, ...routes.map(waitingFor)))
    })
    await registerWebhooks(scope, config, options, { ...shared, hooks })

    function take (socket: WebSocket, request: FastifyRequest, route: Route): void {
      // It was admitted before the app began to close, and would keep it from closing.
      if (closing.isClosing) return terminateUpgraded(socket, request)
      const { seat, callId, isAgain, asked } = entranceOf(request)
      // It was let in as a call that has ended meanwhile: its provider may ask once more.
      if (isAgain && calls.find(route.provider, callId!) === undefined) return terminateUpgraded(socket, request)
      const connection = new Connection(new DirectSocket(socket, upgradingSocket(request.raw)), route.newProtocol(), seat)
      connections.set(socket, connection)
      pulse.add(connection)
      socket.on('message', receive).on('ping', hear).on('pong', hear).on('close', close)
      releaseUpgrade(socket, request, fail)
      // An app's own @fastify/websocket would close it without a code on shutdown, which ends a Retell call for good.
      // With `clientTracking: false` it knows no clients.
      scope.websocketServer.clients?.delete(socket)
      if (asked !== undefined) asked.isTaken = true
      try {
        answer(host, callId, connection, request.log, asked?.claim)
      } catch (error) {
        // Be it a logger of the app's that threw. Its socket is broken off by @fastify/websocket.
        forget(socket, ABNORMAL)
        throw error
      }
      seat.upgraded()
    }

    // The same for all sockets, as each would hold its own for hours. What no call could take has no connection.
    function receive (this: WebSocket, data: RawData, binary: boolean): void {
      connections.get(this)?.receive(data as Buffer, binary)
    }

    function hear (this: WebSocket, data: Buffer): void {
      connections.get(this)?.heard(data.length)
    }

    // It closes by itself.
    function fail (this: WebSocket, error: Error): void {
      connections.get(this)?.owner.log.warn({ err: error }, 'socket failed')
    }

    function close (this: WebSocket, code: number): void {
      forget(this, code)
    }

    function forget (socket: WebSocket, code: number): void {
      const connection = connections.get(socket)
      if (connection === undefined) return
      connections.delete(socket)
      pulse.remove(connection)
      connection.closed(code)
    }

    closing.add(async () => {
      await drain(calls, config.DRAIN_TIMEOUT_MS)
      await Promise.all(Array.from(connections.keys(), closed))
      // What the app still writes down of its calls comes before its database is closed.
      await within(HOOKS_TIMEOUT_MS, hooks.settled())
      await cluster?.close()
      admitted.clear()
    })
  }, {
    prefix: options.prefix ?? '',
    logSerializers: { ...logSerializers, ...options.logSerializers },
    ...(options.logLevel !== undefined && { logLevel: options.logLevel })
  })
}

async function readEnv (scope: FastifyInstance, options: VoiceAgentOptions): Promise<Env> {
  try {
    await scope.register(env, { confKey: 'voiceAgentEnv', schema: envSchema, data: toEnv(options) })
  } catch (error) {
    throw toConfigError(error as Error)
  }
  const config = scope.getDecorator<Env>('voiceAgentEnv')
  refuseInfinity(config)
  return config
}

// Of routes that are not there the path is empty.
function assertDistinct (paths: readonly string[]): void {
  const taken = paths.filter(path => path !== '')
  if (new Set(taken).size === taken.length) return
  const names = [nameOf('RETELL_PATH'), nameOf('MILLIS_PATH'), nameOf('READINESS_PATH')]
  throw new ConfigError(`${names.join(', ')} and ${nameOf('LIVENESS_PATH')} must all differ`)
}

// Those that serve. One that a scope inherits is that of another line.
const builtInAgents = new WeakSet<Agent>()

// When everything is loaded, so that the app may decorate before or after it registers the plugin.
function decorateAgent (fastify: FastifyInstance, config: Env, options: VoiceAgentOptions): void {
  let close = async (): Promise<void> => {}
  fastify.addHook('onReady', async function decorateBuiltInAgent () {
    if (!fastify.hasDecorator('agent') || (!Object.hasOwn(fastify, 'agent') && builtInAgents.has(fastify.agent))) {
      const agent = await builtInAgent(config, options.openai ?? {})
      fastify.log.info(`no agent is decorated: ${agent === scriptedAgent ? 'the scripted one answers' : 'a model answers'}`)
      if ('close' in agent) close = agent.close
      builtInAgents.add(agent)
      fastify.decorate('agent', agent)
    }
    assertAgent(fastify.agent)
    if (options.openai?.tools !== undefined && (fastify.agent === scriptedAgent || !builtInAgents.has(fastify.agent))) {
      fastify.log.warn(`openai.tools are not used: ${builtInAgents.has(fastify.agent)
        ? `no model is asked. Set ${nameOf('OPENAI_API_KEY')}, or ${nameOf('OPENAI_BASE_URL')} for a model of your own`
        : "the agent is the app's own. Give them to openAIAgent({ tools }), or run them by runTool()"}`)
    }
  })
  fastify.addHook('onClose', async function closeBuiltInAgent () { await close() })
}

// What people say stands in spans only where the operator wants it there.
function shownInSpans (config: Env, redact: Redact | undefined): ((text: string, log: FastifyBaseLogger) => string) | undefined {
  if (!capturesContent(config)) return undefined
  return redact === undefined ? text => text : (text, log) => cleaner(redact, log)(text)
}

function routesOf (config: Env, { retell = {}, millis = {} }: VoiceAgentOptions): Route[] {
  const routes: Route[] = []
  if (retell !== false) {
    const begin = retellBegin(config.RETELL_CALL_DETAILS_TIMEOUT_MS)
    routes.push({
      provider: 'retell',
      path: config.RETELL_PATH,
      allowlist: config.RETELL_ALLOWLIST,
      allowlistName: nameOf('RETELL_ALLOWLIST'),
      needsCallId: true,
      newProtocol: () => new RetellProtocol(begin)
    })
  }
  if (millis !== false) {
    const controlFrames = { ...millisControlFrames, ...millis.controlFrames }
    routes.push({
      provider: 'millis',
      path: config.MILLIS_PATH,
      allowlist: config.MILLIS_ALLOWLIST,
      allowlistName: nameOf('MILLIS_ALLOWLIST'),
      needsCallId: false,
      newProtocol: () => new MillisProtocol(controlFrames)
    })
  }
  return routes
}

// What another node asks of a call that is here.
async function carryOut (calls: CallRegistry<LiveCall>, { provider, id }: CallKey, { method, args }: Command): Promise<void> {
  const call = calls.find(provider, id)
  if (call === undefined) throw new CallEndedError()
  await Reflect.apply(call[method], call, args)
}

// Not events.once: it would reject for a peer that answers with nonsense.
async function closed (socket: WebSocket): Promise<void> {
  const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS)
  await new Promise(resolve => socket.once('close', resolve))
  clearTimeout(timer)
}

type LoggerFactory = FastifyInstance['childLoggerFactory']

// An app may have one of its own, whose loggers may be anybody's.
function isFastifys (factory: LoggerFactory): boolean {
  return factory.name === 'defaultChildLoggerFactory'
}

// Fastify hands a route's serializers to the logger of each request, where Pino copies them. One logger has them for all.
function withSharedSerializers (make: LoggerFactory): LoggerFactory {
  const shared = new Map<unknown, FastifyBaseLogger>()
  let level: unknown
  return function voiceAgentLogger (logger, bindings, { serializers, ...options }, request) {
    // An app may change it while it runs.
    if (level !== logger.level) shared.clear()
    level = logger.level
    const parent = shared.get(serializers) ?? logger.child({}, { serializers: serializers! })
    shared.set(serializers, parent)
    return make.call(this, parent, bindings, options, request)
  }
}

// The request's own logger becomes the call's: with Pino a child of it would hold more memory than the rest of a call.
function bindInPlace (log: FastifyBaseLogger & { setBindings?: (bindings: object) => void }, bindings: object): FastifyBaseLogger {
  if (log.setBindings === undefined) return log.child(bindings)
  log.setBindings(bindings)
  return log
}

function bindChild (log: FastifyBaseLogger, bindings: object): FastifyBaseLogger {
  return log.child(bindings)
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
