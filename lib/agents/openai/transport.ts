/**
 * The connections to a model's server.
 */
import type { Client } from 'undici'
import { letOthersFirst } from '../../timing/loop-end.js'
import { Exchange, type ResponseHead } from './exchange.js'
import type { ModelLibraries } from './model-libraries.js'
import { openTunnels } from './proxy.js'
import { SpareConnection } from './spare-connection.js'

/** Callers pause for longer than the 4 s undici keeps a connection, and a new one costs two to three round trips before the first token. */
const IDLE_CONNECTION_MS = 120_000

/** How undici and the system say that a connection broke under a request, or before it was sent: its client is destroyed then. */
const BROKEN: ReadonlySet<unknown> = new Set(['UND_ERR_SOCKET', 'UND_ERR_DESTROYED', 'ECONNRESET', 'EPIPE'])

const REQUEST_TIMEOUT = 408

/** A question to the model's server. */
export interface ModelRequest {
  /** With the query, if there is one. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly signal?: AbortSignal
}

/** What came back, whatever its status. Its body is to be read to its end, or left. */
export interface Answer {
  readonly head: ResponseHead
  readonly body: Exchange
}

/** Whoever opened it closes it. */
export interface Transport {
  /** Is the server reached over a proxy? */
  readonly isProxied: boolean
  /**
   * Without the web streams of a `fetch`, which cost more than all the rest of a token. Follows no redirect, since a key
   * would go with it. A request that is lost with a connection that had been kept is sent once more, at once. Rejects with
   * what the system or undici throws, or with the signal's reason.
   */
  post (request: ModelRequest): Promise<Answer>
  /** Opens a connection ahead of the next request. */
  warm (): void
  /** Cuts every connection. Later requests are rejected. Never rejects itself. */
  close (): Promise<void>
}

/**
 * Opens no connection yet.
 * @param usesProxy is the server reached over the environment's proxy, where there is one for it?
 */
export function openTransport (undici: ModelLibraries['undici'], origin: string, usesProxy = false): Transport {
  const { Client, buildConnector } = undici
  const tunnels = usesProxy ? openTunnels(undici, origin) : undefined
  const spare = new SpareConnection(tunnels?.connect ?? buildConnector({}), new URL(origin))
  // Where the server announces how long it waits (`Keep-Alive: timeout=5`), undici hangs up 2 s before that instead, so
  // that fewer requests meet the server's hang-up.
  const options = { keepAliveTimeout: IDLE_CONNECTION_MS, connect: spare.connect }
  const connections = new Connections(() => new Client(origin, options))

  function send ({ path, headers, body, signal }: ModelRequest, connection: Client): Exchange {
    const exchange = new Exchange(() => connections.release(connection))
    signal?.addEventListener('abort', () => exchange.abort(signal.reason), { once: true })
    connection.dispatch({ method: 'POST', path, headers, body }, exchange)
    // undici looks first whether the server has hung up meanwhile. Whoever asks has not heard a word, others only wait for their next one.
    letOthersFirst()
    return exchange
  }

  /** Did the connection break while the request was under way? */
  function isLost ({ code, socket }: { code?: unknown, socket?: { bytesRead?: number, localPort?: number } }): boolean {
    // A connection that nothing was ever read from is a new one: that server is not tired of waiting, but in trouble. The
    // system's errors do not tell.
    return BROKEN.has(code) && (socket?.bytesRead !== 0 || spare.wasKept(socket.localPort))
  }

  return {
    isProxied: tunnels !== undefined,
    async post (request) {
      const { signal } = request
      signal?.throwIfAborted()
      let body = send(request, connections.take())
      // The caller may interrupt at any moment, and with the answer its connection is lost.
      spare.open()
      // Asking a model has no side effects. The second time not over another connection that has been idle for as long.
      // undici's own RetryAgent would also go on with a stream that broke.
      let head = await body.head.catch(error => {
        if (!isLost(error) || signal?.aborted) throw error
        body = send(request, connections.open())
        return body.head
      })
      // What servers say to a connection that asked nothing for too long may cross with the request on its way.
      if (head.status === REQUEST_TIMEOUT && head.headers.get('connection') === 'close' && !signal?.aborted) {
        body.abort(undefined)
        body = send(request, connections.open())
        head = await body.head
      }
      return { head, body }
    },
    warm: () => spare.open(),
    async close () {
      spare.close()
      await connections.close()
      await tunnels?.close()
    }
  }
}

/**
 * Connections of one request at a time. The one that was used last is used first, and a lost one not at all: undici's Pool
 * gives a request to its first client that is free, and has that one dial again while others are idle.
 */
class Connections {
  readonly #connect: () => Client
  readonly #all = new Set<Client>()
  readonly #idle: Client[] = []
  #isClosed = false

  /** @param connect makes a client, which opens its connection with its first request */
  constructor (connect: () => Client) {
    this.#connect = connect
  }

  /** One that is idle, or a new one. */
  take (): Client {
    return this.#idle.pop() ?? this.open()
  }

  /** A new one. */
  open (): Client {
    const client = this.#connect()
    this.#all.add(client)
    client.on('disconnect', () => this.#drop(client)).on('connectionError', () => this.#drop(client))
    if (this.#isClosed) this.#drop(client)
    return client
  }

  /** The request is over. */
  release (client: Client): void {
    if (this.#all.has(client) && !client.closed) this.#idle.push(client)
  }

  async close (): Promise<void> {
    this.#isClosed = true
    await Promise.all(Array.from(this.#all, client => client.destroy()))
  }

  // A client could dial again, but nobody asks it.
  #drop (client: Client): void {
    this.#all.delete(client)
    const index = this.#idle.indexOf(client)
    if (index !== -1) this.#idle.splice(index, 1)
    client.destroy().catch(() => {})
  }
}
