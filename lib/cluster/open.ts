/**
 * The cluster of one registration, as it is configured.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { ConfigError } from '../contract/errors.js'
import { accepted, nameOf, type ClusterOptions, type Env } from '../config/options.js'
import type { Cluster } from './cluster.js'

/**
 * Undefined where there is no other node. What speaks to Redis is loaded where it is needed alone.
 * @param maxCalls of all nodes together
 * @throws VOICE_AGENT_ERR_CONFIG when REDIS_URL is no URL, or the client none of ioredis
 */
export async function openCluster (config: Env, { redis }: ClusterOptions, maxCalls: number): Promise<Cluster | undefined> {
  const server = typeof redis === 'object' ? redis : config.REDIS_URL
  if (server === '') return undefined
  if (typeof server === 'string' && !isUrl(server)) throw new ConfigError(accepted('REDIS_URL'))
  // That of the package `redis` has another way to send a command.
  if (typeof server === 'object' && !(['call', 'duplicate'] as const).every(method => typeof server[method] === 'function')) {
    throw new ConfigError(`${nameOf('REDIS_URL')} must be a URL, or a client of ioredis`)
  }
  const { RedisCluster } = await import('./redis.js')
  // One that comes back under the same name has lost its calls.
  const node = `${config.NODE_NAME || hostname()}-${randomBytes(4).toString('hex')}`
  return new RedisCluster({ redis: server, prefix: config.REDIS_PREFIX, node, maxCalls })
}

// ioredis would throw an error that holds the whole URL, and with it the password.
function isUrl (text: string): boolean {
  try {
    const { username, password } = new URL(text)
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}
