/**
 * Several nodes behind a balancer, the Redis they share, the model they ask, and where they book.
 */
import { spawnSync } from 'node:child_process'
import { startScriptedModel, type ScriptedModel } from 'fastify-voice-agent/testing'
import { noRedis, startRedis, type RedisServer } from '../redis.js'
import { Balancer, type BalancerOptions } from './balancer.js'
import { modelOf } from './model.js'
import { Node } from './node.js'
import { Office } from './office.js'

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

/** Nobody calls from there: the port is free when Redis comes back. */
const REDIS_ADDRESS = '127.0.0.8'

/** Says why no cluster can be started on this machine; false where one can. */
export const noCluster: false | string = reason()

function reason (): false | string {
  // Each node has an address of the loopback for itself, which other systems want to be told of first.
  if (process.platform !== 'linux') return 'this machine does not run Linux'
  return spawnSync('haproxy', ['-v']).status === 0 ? noRedis : 'there is no haproxy on this machine'
}

type Undo = () => unknown

/** Whoever starts it stops it. */
export class Cluster {
  readonly nodes: readonly Node[]
  readonly redis: RedisServer | undefined
  readonly model: ScriptedModel
  readonly office: Office
  readonly balancer: Balancer
  readonly #undo: readonly Undo[]

  private constructor (parts: Pick<Cluster, 'nodes' | 'redis' | 'model' | 'office' | 'balancer'>, undo: readonly Undo[]) {
    this.nodes = parts.nodes
    this.redis = parts.redis
    this.model = parts.model
    this.office = parts.office
    this.balancer = parts.balancer
    this.#undo = undo
  }

  /** Resolves once all nodes take calls. */
  static async start (options: ClusterOptions): Promise<Cluster> {
    const undo: Undo[] = []
    try {
      return await Cluster.#start(options, undo)
    } catch (error) {
      await undoAll(undo)
      throw error
    }
  }

  static async #start ({ redis: kind, gapMs, mode, nodes: count, env }: ClusterOptions, undo: Undo[]): Promise<Cluster> {
    const redis = kind === undefined ? undefined : await startRedis({ teardown: end => { undo.push(end) } }, ['--appendonly', kind === 'kept' ? 'yes' : 'no'], REDIS_ADDRESS)
    process.once('exit', () => redis?.kill())
    const model = await startScriptedModel()
    undo.push(() => model.close())
    model.handler = modelOf(gapMs)
    const office = await Office.start()
    undo.push(() => office.stop())
    const nodes = Array.from({ length: count }, (_, index) => new Node(index + 1, {
      OFFICE_URL: office.url,
      MODEL_URL: model.url,
      ...(redis !== undefined && { REDIS_URL: redis.url }),
      READINESS_PATH,
      RETELL_ALLOWLIST: '127.0.0.1',
      MILLIS_ALLOWLIST: '127.0.0.1',
      ...(mode === 'http' && { TRUSTED_PROXIES: '127.0.0.1' }),
      ...env
    }))
    undo.push(() => Promise.all(nodes.map(node => node.end('SIGKILL'))))
    await Promise.all(nodes.map(node => node.start()))
    const balancer = await Balancer.start(nodes, { mode, readinessPath: READINESS_PATH })
    undo.push(() => balancer.stop())
    return new Cluster({ nodes, redis, model, office, balancer }, undo)
  }

  /** A node dies, and comes back. Resolves once it takes calls again. */
  async crash (node: Node): Promise<void> {
    await node.end('SIGKILL')
    await this.revive(node)
  }

  /** A node is told to end, as by a deployment, and another takes its place. Resolves once that takes calls. */
  async replace (node: Node): Promise<void> {
    await node.end('SIGTERM')
    await this.revive(node)
  }

  /** A node that has ended comes back. Resolves once it takes calls. */
  async revive (node: Node): Promise<void> {
    await this.balancer.knows(node.name, 'DOWN')
    await node.start()
    await this.balancer.knows(node.name, 'UP')
  }

  async stop (): Promise<void> {
    await undoAll(this.#undo)
  }
}

async function undoAll (undo: readonly Undo[]): Promise<void> {
  for (const step of undo.toReversed()) await step()
}
