/**
 * Several nodes behind a balancer, the Redis they share, the model they ask, and where they book.
 */
import { startScriptedModel, type ScriptedModel } from 'fastify-voice-agent/testing'
import { Balancer, type BalancerOptions } from './balancer.js'
import { modelOf } from './model.js'
import { Node } from './node.js'
import { Office } from './office.js'
import { isInstalled } from './program.js'
import { Redis } from './redis.js'

/** What there is to be. */
export interface ClusterOptions {
  readonly nodes: number
  readonly mode?: BalancerOptions['mode']
  /** Does Redis keep what it acknowledged over a restart? Undefined: there is none, and the nodes know nothing of each other. */
  readonly redis: 'kept' | 'forgotten' | undefined
  /** How long the model waits before each word, in ms. */
  readonly gapMs: number
  /** Of the nodes, apart from what all need. */
  readonly env?: Readonly<Record<string, string>>
}

const READINESS_PATH = '/ready'

/** What is missing on this machine to start a cluster; undefined where nothing is. */
export function missing (): string | undefined {
  // Each node has an address of the loopback for itself, which other systems want to be told of first.
  if (process.platform !== 'linux') return 'Linux'
  return ['haproxy', 'redis-server'].find(command => !isInstalled(command))
}

/** Whoever starts it stops it. */
export class Cluster {
  readonly nodes: readonly Node[]
  readonly redis: Redis | undefined
  readonly model: ScriptedModel
  readonly office: Office
  readonly balancer: Balancer

  private constructor (parts: Pick<Cluster, 'nodes' | 'redis' | 'model' | 'office' | 'balancer'>) {
    this.nodes = parts.nodes
    this.redis = parts.redis
    this.model = parts.model
    this.office = parts.office
    this.balancer = parts.balancer
  }

  /** Resolves once all nodes take calls. */
  static async start (options: ClusterOptions): Promise<Cluster> {
    const [redis, model, office] = await Promise.all([
      options.redis === undefined ? undefined : Redis.start({ isKept: options.redis === 'kept' }), startScriptedModel(), Office.start()
    ])
    model.handler = modelOf(options.gapMs)
    const nodes = Array.from({ length: options.nodes }, (_, index) => new Node(index + 1, {
      OFFICE_URL: office.url,
      MODEL_URL: model.url,
      ...(redis !== undefined && { REDIS_URL: redis.url }),
      READINESS_PATH,
      RETELL_ALLOWLIST: '127.0.0.1',
      MILLIS_ALLOWLIST: '127.0.0.1',
      ...(options.mode === 'http' && { TRUSTED_PROXIES: '127.0.0.1' }),
      ...options.env
    }))
    await Promise.all(nodes.map(node => node.start()))
    const balancer = await Balancer.start(nodes, { mode: options.mode, readinessPath: READINESS_PATH })
    return new Cluster({ nodes, redis, model, office, balancer })
  }

  /** A node dies, and comes back. Resolves once it takes calls again. */
  async crash (node: Node): Promise<void> {
    await node.end('SIGKILL')
    await this.#comesBack(node)
  }

  /** A node is told to end, as by a deployment, and another takes its place. Resolves once that takes calls. */
  async replace (node: Node): Promise<void> {
    await node.end('SIGTERM')
    await this.#comesBack(node)
  }

  async stop (): Promise<void> {
    await Promise.all(this.nodes.map(node => node.end('SIGKILL')))
    await Promise.all([this.balancer.stop(), this.redis?.stop(), this.model.close(), this.office.stop()])
  }

  async #comesBack (node: Node): Promise<void> {
    await this.balancer.knows(node.name, 'DOWN')
    await node.start()
    await this.balancer.knows(node.name, 'UP')
  }
}
