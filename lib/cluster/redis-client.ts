/**
 * What is needed of a client of Redis, and those that are made here.
 */

/**
 * An ioredis `Redis` or `Cluster`, of whichever version: no more is asked of it than this. It is not closed by whoever is
 * given it. What listens for messages is a connection of its own, made by `duplicate()`.
 */
export interface RedisClient {
  readonly status: string
  readonly isCluster: boolean
  call (command: string, ...args: Array<string | number>): Promise<unknown>
  connect (): Promise<void>
  disconnect (): void
  duplicate (): RedisClient
  on (event: 'ready' | 'close', listener: () => void): unknown
  on (event: 'error', listener: (error: Error) => void): unknown
  on (event: 'message', listener: (channel: string, message: string) => void): unknown
  off (event: 'ready' | 'close', listener: () => void): unknown
}

/** A socket that is silent for so long, though it was asked something, is given up. */
const SOCKET_TIMEOUT_MS = 10_000

/** A client that keeps nothing for later: what cannot be sent now is for the caller to send again. */
export async function createClient (url: string): Promise<RedisClient> {
  // A bundler that cuts an app in pieces gives a CommonJS module no names but `default`.
  const { default: { Redis } } = await import('ioredis')
  return new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // Whatever is on its way when the connection is lost is rejected there and then.
    maxRetriesPerRequest: 0,
    maxLoadingRetryTime: 1_000,
    connectTimeout: 5_000,
    disconnectTimeout: 500,
    socketTimeout: SOCKET_TIMEOUT_MS,
    retryStrategy: tries => Math.min(50 * 2 ** Math.min(tries, 6), 2_000) + Math.random() * 100,
    // After a failover, the address leads to the new one.
    reconnectOnError: error => error.message.startsWith('READONLY')
  })
}
