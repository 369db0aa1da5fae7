/**
 * The open sockets of a registration, and their connections to calls.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import { admittedUpgradeOf } from '../admission/admit.js'
import { answer } from '../call/answer.js'
import type { CallHost } from '../call/call.js'
import { Connection } from '../call/connection.js'
import { Pulse } from '../call/pulse.js'
import type { Provider } from '../contract/agent.js'
import { DirectSocket } from '../http/direct-socket.js'
import { releaseUpgrade, terminateUpgraded, upgradingSocket } from '../http/websocket.js'
import type { Codec } from '../providers/codec.js'

// A dead peer never answers a closing handshake.
const CLOSE_TIMEOUT_MS = 1_000

// The close code of a connection that broke.
const ABNORMAL = 1006

/** Takes admitted sockets. The owner waits for {@link Sockets.closed} after the calls have ended. */
export class Sockets {
  readonly #scope: FastifyInstance
  readonly #host: CallHost
  readonly #connections = new Map<WebSocket, Connection>()
  readonly #pulse = new Pulse()
  // Shared by all sockets to save memory. A socket that no call could take has no connection.
  readonly #receive: (this: WebSocket, data: RawData, binary: boolean) => void
  readonly #hear: (this: WebSocket, data: Buffer) => void
  readonly #fail: (this: WebSocket, error: Error) => void
  readonly #close: (this: WebSocket, code: number) => void

  constructor (scope: FastifyInstance, host: CallHost) {
    this.#scope = scope
    this.#host = host
    const connections = this.#connections
    const forget = this.#forget.bind(this)
    this.#receive = function receive (data, binary) { connections.get(this)?.receive(data as Buffer, binary) }
    this.#hear = function hear (data) { connections.get(this)?.heard(data.length) }
    // ws closes the socket after an error.
    this.#fail = function fail (error) { connections.get(this)?.owner.log.warn({ err: error }, 'socket failed') }
    this.#close = function close (code) { forget(this, code) }
  }

  /** Takes a socket. Synchronous: a frame that arrives before the listeners are attached would be lost. */
  take (socket: WebSocket, request: FastifyRequest, provider: Provider, codec: () => Codec): void {
    // The socket was admitted before the app began to close, and would keep it open.
    if (this.#host.isClosing()) return terminateUpgraded(socket, request)
    const { slot, callId, isReconnect, clusterAnswer } = admittedUpgradeOf(request)
    // The call of this reconnect has ended meanwhile: the provider may dial again as a new call.
    if (isReconnect && this.#host.calls.find(provider, callId!) === undefined) return terminateUpgraded(socket, request)
    const connection = new Connection(new DirectSocket(socket, upgradingSocket(request.raw)), codec(), slot)
    this.#connections.set(socket, connection)
    this.#pulse.add(connection)
    socket.on('message', this.#receive).on('ping', this.#hear).on('pong', this.#hear).on('close', this.#close)
    releaseUpgrade(socket, request, this.#fail)
    // An app's own @fastify/websocket would close it without a code on shutdown, which some providers take for the end of the call.
    // With `clientTracking: false` it knows no clients.
    this.#scope.websocketServer.clients?.delete(socket)
    if (clusterAnswer !== undefined) clusterAnswer.isTaken = true
    try {
      answer(this.#host, callId, connection, request.log, clusterAnswer?.claim)
    } catch (error) {
      // For example a logger of the app may throw. @fastify/websocket then terminates the socket.
      this.#forget(socket, ABNORMAL)
      throw error
    }
    slot.upgraded()
  }

  /** Resolves when all sockets are closed; terminates those that are open after 1,000 ms. */
  async closed (): Promise<void> {
    await Promise.all(Array.from(this.#connections.keys(), closed))
  }

  #forget (socket: WebSocket, code: number): void {
    const connection = this.#connections.get(socket)
    if (connection === undefined) return
    this.#connections.delete(socket)
    this.#pulse.remove(connection)
    connection.closed(code)
  }
}

// Not events.once, which would reject if the peer sends an invalid frame.
async function closed (socket: WebSocket): Promise<void> {
  const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS)
  await new Promise(resolve => socket.once('close', resolve))
  clearTimeout(timer)
}
