/**
 * The connections to a model's server.
 */
import { fetch, Pool, type RequestInit, type Response } from 'undici'

/** Callers pause for longer than the 4 s undici keeps a connection, and a new one costs two to three round trips before the first token. */
const IDLE_CONNECTION_MS = 120_000

/** How undici and the system say that a connection broke under a request. */
const BROKEN: ReadonlySet<unknown> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

/** Whoever opened it closes it. */
export interface Transport {
  /**
   * Follows no redirect, since a key would go with it. A request that is lost with a connection that had been kept is
   * sent once more, at once; its body must be one that can be read twice.
   */
  fetch (url: string, init: RequestInit): Promise<Response>
  /** Cuts every connection. Later requests are rejected. Never rejects itself. */
  close (): Promise<void>
}

/** Opens no connection yet. */
export function openTransport (origin: string): Transport {
  // Where the server announces how long it waits (`Keep-Alive: timeout=5`), undici hangs up 2 s before that instead, so
  // that fewer requests meet the server's hang-up. A Pool and not undici's Agent, which gives up on an origin's
  // connections when one is lost, and so on the next turn's with that of a superseded one.
  const pool = new Pool(origin, { keepAliveTimeout: IDLE_CONNECTION_MS })

  // The fetch of the pool's own undici: the one built into Node is an older one.
  const send = (url: string, init: RequestInit) => fetch(url, { ...init, dispatcher: pool, redirect: 'error' })

  return {
    // Asking a model has no side effects. The pool gives a request to the first of its connections that is free: the
    // second time to the one just lost, opened anew, and not to another that has been idle for as long. undici's own
    // RetryAgent would also go on with a stream that broke. A signal that has aborted by now lets nothing be sent.
    fetch: (url, init) => send(url, init).catch(error => {
      if (!isLost(error)) throw error
      return send(url, init)
    }),
    close: () => pool.destroy()
  }
}

/** Did the connection break while the request was under way? fetch rejects before the response's headers only. */
function isLost (error: { cause?: { code?: unknown, socket?: { bytesRead?: number } } }): boolean {
  // A connection that nothing was ever read from is a new one: that server is not tired of waiting, but in trouble. The
  // system's errors do not tell.
  return BROKEN.has(error.cause?.code) && error.cause?.socket?.bytesRead !== 0
}
