/**
 * Where WebSocket upgrades come from. The app's own @fastify/websocket is used where the plugin can see it. Otherwise one
 * of the plugin's own serves its routes, inside its scope, so that the app may still register another, before or after.
 */
import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { DeclinedUpgrades } from './declined-upgrade.js'
import { ConfigError } from '../contract/errors.js'
import { endRequestSpan, isTraced } from './request-span.js'

// Retell repeats the whole transcript with word timings in every update, and reaches 1 MiB on a long call.
const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024

// Each piece that TCP delivers of an unfinished frame is an object of 500 bytes. To put more than 16 Ki of them together takes
// time that is quadratic: ws's own limit of 256 Ki would stop the process for five seconds. 8 MiB in 512 bytes each.
const MAX_BUFFERED_CHUNKS = 16 * 1024

// A message counts as one frame whatever it is made of, and each piece costs as much as a small message. The smallest that
// are known are those of Go's gorilla/websocket, which writes 4 KiB at a time.
const MAX_FRAGMENTS = 4 * 1024

// An upgrade without a response by then never gets one.
const HANDSHAKE_TIMEOUT_MS = 10_000

type Upgrade = [request: IncomingMessage, socket: Duplex, head: Buffer]

/**
 * Makes `{ websocket: true }` routes possible in a scope.
 * @param app where `injectWS` is put, for tests, unless the app has its own
 * @param scope where the routes will be
 * @throws VOICE_AGENT_ERR_CONFIG where the app's server speaks HTTP/2 alone
 */
export async function provideWebsocket (app: FastifyInstance, scope: FastifyInstance): Promise<void> {
  assertReachable(app)
  scope.addHook('preHandler', endSpanAtUpgrade)
  const gate = gateOf(app.server)
  if (scope.hasDecorator('websocketServer')) {
    // 0 is no limit.
    const { maxPayload = 0 } = scope.websocketServer.options
    if (maxPayload > 0 && maxPayload < MAX_PAYLOAD_BYTES) {
      scope.log.warn({ maxPayload, advised: MAX_PAYLOAD_BYTES }, '@fastify/websocket has a small maxPayload: a long call may be lost to it')
    }
    serve(app, gate, new EventEmitter())
    return
  }
  // Has to look like the HTTP server to @fastify/websocket, which wants nothing of it but its upgrades.
  const upgrades = new EventEmitter()
  await scope.register(websocket, {
    options: {
      maxPayload: MAX_PAYLOAD_BYTES,
      maxBufferedChunks: MAX_BUFFERED_CHUNKS,
      maxFragments: MAX_FRAGMENTS,
      perMessageDeflate: false,
      server: upgrades as Server
    },
    // Calls are none of its clients. What it closed itself may not answer that for half a minute.
    preClose (done) {
      for (const client of this.websocketServer.clients) client.terminate()
      done()
    }
  })
  app.addHook('onReady', async () => {
    // All plugins are loaded: the app's own would be here.
    if (!('injectWS' in app)) Object.assign(app, { injectWS: scope.injectWS })
  })
  serve(app, gate, upgrades)
}

// By the next tick the socket has been opened, or ws has refused the handshake with an answer that Fastify does not see.
function endSpanAtUpgrade (request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (request.ws && isTraced(request)) {
    const socket = upgradingSocket(request.raw)
    process.nextTick(() => endRequestSpan(request, socket.readableFlowing === null ? undefined : 101))
  }
  done()
}

// HTTP/2 has no upgrades of this kind. What a `serverFactory` makes without Fastify's `https` cannot be judged here.
function assertReachable ({ server, initialConfig: { http2, https } }: FastifyInstance): void {
  if (http2 !== true || (typeof https === 'object' && https.allowHTTP1 === true)) return
  const { name } = server.constructor
  const isUnreachable = name === 'Http2Server' || (name === 'Http2SecureServer' && https !== undefined)
  if (!isUnreachable) return
  throw new ConfigError('Fastify({ http2: true }): no call can come in, since a WebSocket begins as a request of HTTP/1.1. ' +
    'Leave http2 out, or allow both: Fastify({ http2: true, https: { key, cert, allowHTTP1: true } })')
}

// Where the app's own @fastify/websocket serves, nothing comes out of the gate, and what was not answered is hung up on.
function serve (app: FastifyInstance, gate: UpgradeGate, upgrades: EventEmitter): void {
  app.addHook('onReady', async () => gate.open(upgrades))
  app.addHook('preClose', async () => gate.close(upgrades))
}

/**
 * The last hook ahead of a `{ websocket: true }` handler: the frames that this one sends at once leave together with the answer
 * to the handshake, whose write is the dearest of a new call.
 */
export function joinHandshake ({ raw, ws }: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (ws) {
    const socket = upgradingSocket(raw)
    socket.cork()
    process.nextTick(() => socket.uncork())
  }
  done()
}

/** Breaks a connection off right behind the answer to its handshake. */
export function terminateUpgraded (socket: WebSocket, { raw }: FastifyRequest): void {
  upgradingSocket(raw).uncork()
  socket.terminate()
}

/**
 * Lets go of the HTTP request that a socket came with: request, reply and all that belongs to them are more than a call
 * holds for itself, and would be held for as long as it lasts.
 * @param failed told of the socket's errors instead of @fastify/websocket's error handler, which holds them
 */
export function releaseUpgrade (socket: WebSocket, { raw }: FastifyRequest, failed: (this: WebSocket, error: Error) => void): void {
  // The last one: it was put there right before the handler was called.
  socket.off('error', socket.listeners('error').at(-1) as () => void).on('error', failed)
  const { socket: stream } = raw as { socket?: Socket & { _httpMessage?: ServerResponse | null } }
  const response = stream?._httpMessage
  // Somebody may want to know when it closes.
  if (response?.listenerCount('close') === 0) response.detachSocket(stream!)
}

/** Brings the upgrades of one HTTP server to one @fastify/websocket, however many are registered on it. */
class UpgradeGate {
  readonly #server: Server
  readonly #declined: DeclinedUpgrades
  readonly #sources = new Set<EventEmitter>()
  /** Sockets that another listener took. */
  readonly #taken = new Set<Duplex>()
  /** Sockets that may not have a response yet. */
  readonly #pending = new Set<WeakRef<Duplex>>()
  readonly #onUpgrade = (...upgrade: Upgrade): void => this.#upgrade(...upgrade)

  constructor (server: Server) {
    this.#server = server
    this.#declined = new DeclinedUpgrades(server)
  }

  open (source: EventEmitter): void {
    if (this.#sources.size === 0) this.#server.on('upgrade', this.#onUpgrade)
    this.#sources.add(source)
  }

  close (source: EventEmitter): void {
    if (!this.#sources.delete(source) || this.#sources.size > 0) return
    this.#server.off('upgrade', this.#onUpgrade)
    this.#taken.forEach(destroyUnread)
    this.#declined.close()
    for (const pending of this.#pending) destroyUnread(pending.deref())
  }

  #upgrade (...upgrade: Upgrade): void {
    const [request, socket] = upgrade
    // Another @fastify/websocket handed it to the router, which is one for the whole app: who dispatches second runs the
    // route twice.
    if (this.#server.listenerCount('upgrade') > 1 && isDispatched(request)) return this.#await(socket)
    // Another listener took it.
    if (socket.readableFlowing !== null) {
      this.#taken.add(socket)
      socket.once('close', () => this.#taken.delete(socket))
      return
    }
    // The HTTP server keeps the socket; it may send several upgrade requests.
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') return this.#declined.serve(...upgrade)
    const [first] = this.#sources
    first?.emit('upgrade', ...upgrade)
    this.#await(socket)
  }

  // Of what was answered at once, as calls are, nothing is to be awaited. Many another is over before that time, and would
  // be held in memory.
  #await (socket: Duplex): void {
    if (socket.readableFlowing !== null) return
    const pending = new WeakRef(socket)
    this.#pending.add(pending)
    setTimeout(() => {
      this.#pending.delete(pending)
      destroyUnread(pending.deref())
    }, HANDSHAKE_TIMEOUT_MS).unref()
  }
}

// Routes outside the scope of a @fastify/websocket answer without closing the socket, which then nobody reads and nobody
// owns, and which would keep the server from closing.
function destroyUnread (socket: Duplex | undefined): void {
  if (socket?.readableFlowing === null) socket.destroy()
}

const gates = new WeakMap<Server, UpgradeGate>()

function gateOf (server: Server): UpgradeGate {
  const gate = gates.get(server) ?? new UpgradeGate(server)
  gates.set(server, gate)
  return gate
}

// The gate's listener comes behind those of the app, having been attached when everything was loaded.
function isDispatched (request: IncomingMessage): boolean {
  return markOf(request) !== undefined
}

/** The socket of an upgrade that was handed to the router. Requests made up by test tools have it nowhere else. */
export function upgradingSocket (request: IncomingMessage): Duplex {
  const mark = markOf(request)
  return mark === undefined ? request.socket : (request as unknown as Record<symbol, Duplex>)[mark]!
}

// The same for all requests, unless the app has a second @fastify/websocket installed.
let mark: symbol | undefined

function markOf (request: IncomingMessage): symbol | undefined {
  if (mark !== undefined && Object.hasOwn(request, mark)) return mark
  return (mark = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'ws-socket'))
}
