/**
 * The cluster of one registration, as it is configured.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { CallEndedError, ConfigError } from '../contract/errors.js'
import type { FastifyInstance } from 'fastify'
import { ClusterClaims } from '../admission/cluster-claim.js'
import { decline } from '../call/answer.js'
import type { CallHost, LiveCall } from '../call/call.js'
import type { CallRegistry } from '../call/registry.js'
import type { CallKey, Cluster, Command } from '../cluster/cluster.js'
import type { ClusterOptions } from '../config/options.js'
import { ceilingsOf } from '../config/read.js'
import { accepted, nameOf, type Env } from '../config/settings.js'
import { PROVIDER_NAMES } from '../providers/index.js'

/**
 * Returns undefined without Redis. The Redis modules are loaded only if needed.
 * @throws VOICE_AGENT_ERR_CONFIG when REDIS_URL is no URL, or the client none of ioredis
 */
export async function openCluster (config: Env, { redis }: ClusterOptions = {}): Promise<Cluster | undefined> {
  const server = typeof redis === 'object' ? redis : config.REDIS_URL
  if (server === '') return undefined
  if (typeof server === 'string' && !isUrl(server)) throw new ConfigError(accepted('REDIS_URL'))
  // A client of the package `redis` has another interface.
  if (typeof server === 'object' && !(['call', 'duplicate'] as const).every(method => typeof server[method] === 'function')) {
    throw new ConfigError(`${nameOf('REDIS_URL')} must be a URL, or a client of ioredis`)
  }
  const { RedisCluster } = await import('../cluster/redis.js')
  // The suffix is new at each start: a restarted node has lost its calls.
  const node = `${config.NODE_NAME || hostname()}-${randomBytes(4).toString('hex')}`
  return new RedisCluster({
    redis: server,
    prefix: config.REDIS_PREFIX,
    node,
    maxCalls: ceilingsOf(config).maxClusterCalls,
    providers: PROVIDER_NAMES
  })
}

/**
 * Has a node tell the others of its calls, once the app is ready, and carry out what they ask.
 * @param pending counts upgrades that were let in and are no calls yet
 * @returns what asks the other nodes ahead of an upgrade
 */
export function joinCluster (scope: FastifyInstance, cluster: Cluster, { calls, telemetry }: CallHost, pending: () => number): ClusterClaims {
  const claims = new ClusterClaims(cluster, (key, claim) => decline(calls, key, claim))
  calls.cluster = cluster.calls
  scope.addHook('onReady', async function joinCluster () {
    await cluster.start({
      log: scope.log,
      get load () { return calls.size + pending() + claims.pending },
      command: (key, command) => carryOut(calls, key, command),
      failed: operation => telemetry.clusterFailed(operation)
    })
  })
  return claims
}

// Runs a command from another node on a call of this node.
async function carryOut (calls: CallRegistry<LiveCall>, { provider, id }: CallKey, { method, args }: Command): Promise<void> {
  const call = calls.find(provider, id)
  if (call === undefined) throw new CallEndedError()
  await Reflect.apply(call[method], call, args)
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
