/**
 * Many nodes that share a Redis.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Provider } from '../contract/agent.js'
import { within, type Clock } from '../timing/timeout.js'
import type { CallKey, Claim, Cluster, ClusterHost } from './cluster.js'
import { Keys } from './keys.js'
import { Mailbox } from './mailbox.js'
import type { Message } from './messages.js'
import { RedisCalls } from './redis-calls.js'
import { createClient, type RedisClient } from './redis-client.js'
import { RedisCommands } from './redis-commands.js'
import { RedisLeases } from './redis-leases.js'
import { RedisLink } from './redis-link.js'
import { evaluate } from './scripts.js'

/** Durations, in ms. */
export interface RedisClusterTimings {
  /** How long a call waits for what Redis knows of it. Default 250. */
  readonly claimTimeoutMs: number
  /** When a command that has no answer counts as failed, and Redis as lost. Default 1,000. */
  readonly commandTimeoutMs: number
  /** How long another node may take to do what it is asked. Default 2,000. */
  readonly controlTimeoutMs: number
  /** How often a node says that it is alive. Default 5,000. */
  readonly heartbeatMs: number
  /** For how long it may not, until it counts as dead. Default 15,000. */
  readonly expiryMs: number
  /** For how long a call is kept that nobody has. Default 600,000. */
  readonly recordTtlMs: number
  /** How long closing waits for what is being written. Default 1,000. */
  readonly closeTimeoutMs: number
}

/** Those of a cluster for which nothing else is said. Tests lengthen them where a slow machine is not to be taken for an outage. */
export const TIMINGS: { -readonly [Timing in keyof RedisClusterTimings]: number } = {
  claimTimeoutMs: 250,
  commandTimeoutMs: 1_000,
  controlTimeoutMs: 2_000,
  heartbeatMs: 5_000,
  expiryMs: 15_000,
  recordTtlMs: 600_000,
  closeTimeoutMs: 1_000
}

/** What a {@link RedisCluster} may be told. */
export interface RedisClusterOptions {
  /** Where Redis is, or a client, which is not closed. */
  readonly redis: string | RedisClient
  /** What keys and channels begin with: nodes with another one have nothing to do with each other. Default `voice-agent`. */
  readonly prefix?: string
  /** This node's id. No two processes may share one, be it one after the other. Default made of host name, process id and chance. */
  readonly node?: string
  /** How many calls all nodes may have together. Default no ceiling. */
  readonly maxCalls?: number
  /** All providers that calls may have. */
  readonly providers: readonly Provider[]
  readonly timings?: Partial<RedisClusterTimings>
  /** For tests. Default the process's own. */
  readonly clock?: Clock
}

/** A {@link Cluster} whose nodes share a Redis, a Redis Cluster or a Valkey. */
export class RedisCluster implements Cluster {
  readonly calls: RedisCalls
  readonly #redis: string | RedisClient
  readonly #node: string
  readonly #maxCalls: number
  readonly #timings: RedisClusterTimings
  readonly #clock: Clock
  readonly #keys: Keys
  readonly #link: RedisLink
  readonly #leases: RedisLeases
  readonly #commands: RedisCommands
  readonly #startedAt = Date.now()
  #host: ClusterHost | undefined
  #mailbox: Mailbox | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #isClosed = false
  #disconnect = (): void => {}

  constructor (options: RedisClusterOptions) {
    const { redis, prefix = 'voice-agent', node = defaultNode(), maxCalls = Infinity, providers, timings, clock = globalThis } = options
    this.#redis = redis
    this.#node = node
    this.#maxCalls = maxCalls
    this.#timings = { ...TIMINGS, ...timings }
    this.#clock = clock
    const { commandTimeoutMs, controlTimeoutMs, expiryMs } = this.#timings
    this.#keys = new Keys(prefix)
    this.#link = new RedisLink(commandTimeoutMs, clock)
    this.#leases = new RedisLeases(node, this.#keys, this.#timings, this.#link, clock)
    const redisTime = (): number => this.#leases.redisTime(clock.performance.now())
    this.#commands = new RedisCommands(node, this.#keys, this.#link, controlTimeoutMs, redisTime, clock)
    this.calls = new RedisCalls(this.#keys, this.#link, this.#leases, this.#commands, expiryMs, providers)
  }

  async start (host: ClusterHost): Promise<void> {
    this.#host = host
    this.calls.host = host
    const client = await this.#connect()
    if (this.#isClosed) return this.#disconnect()
    const mailbox = new Mailbox(client.duplicate(), this.#keys.channelOf(this.#node), host.log, {
      receive: message => this.#receive(message, host),
      missed: () => { this.#leases.check() } // eslint-disable-line @typescript-eslint/no-floating-promises
    })
    this.#mailbox = mailbox
    // eslint-disable-next-line @typescript-eslint/no-floating-promises
    this.#heartbeat = this.#clock.setInterval(() => { this.#beat() }, this.#timings.heartbeatMs).unref()
    await Promise.all([
      this.#link.start(client, {
        log: host.log,
        failed: operation => host.failed(operation),
        probe: async () => { this.#timed(this.#clock.performance.now(), await this.#announce(client)) },
        recover: isNew => this.#leases.recover(isNew)
      }),
      within(this.#timings.commandTimeoutMs, mailbox.start(), undefined, this.#clock)
    ])
  }

  async claim (key: CallKey): Promise<Claim> {
    return await this.#leases.claim(key)
  }

  async mayTake (): Promise<boolean> {
    if (this.#maxCalls === Infinity || !this.#link.isOpen) return true
    const { load } = this.#host!
    const answer = this.#link.ask('ceiling', client =>
      evaluate(client, 'room', this.#keys.fleet, [this.#node, load, this.#maxCalls, this.#timings.expiryMs]))
    return await within(this.#timings.claimTimeoutMs, answer.then(room => room === 1, () => true), true, this.#clock)
  }

  async admit (callId: string, ttlMs: number): Promise<boolean> {
    return await this.#link.ask('admit', client => client.call('set', this.#keys.admitted(callId), 1, 'PX', ttlMs))
      .then(() => true, () => false)
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#clock.clearInterval(this.#heartbeat)
    this.#commands.close()
    await within(this.#timings.closeTimeoutMs, Promise.all([
      this.#leases.close(),
      this.#link.ask('heartbeat', client => evaluate(client, 'depart', this.#keys.fleet, [this.#node])).catch(() => {})
    ]), undefined, this.#clock)
    this.#link.close()
    this.#mailbox?.close()
    this.#disconnect()
  }

  async #connect (): Promise<RedisClient> {
    if (typeof this.#redis !== 'string') return this.#redis
    const client = await createClient(this.#redis)
    // The link hears of it in other ways.
    client.on('error', () => {})
    this.#disconnect = () => client.disconnect()
    return client
  }

  #receive (message: Message, host: ClusterHost): void {
    switch (message.type) {
      case 'fenced': return this.#leases.holderOf(message)?.fencedBy(Number(message.epoch))
      case 'report': return this.#leases.holderOf(message)?.reported(Number(message.epoch), message.number, message.fields)
      case 'request': this.#commands.answer(message, host); return // eslint-disable-line @typescript-eslint/no-floating-promises
      case 'reply': return this.#commands.answered(message)
    }
  }

  async #beat (): Promise<void> {
    this.#mailbox?.subscribe() // eslint-disable-line @typescript-eslint/no-floating-promises
    // What mends the link asks for itself.
    if (!this.#link.isSound) return
    const askedAt = this.#clock.performance.now()
    try {
      this.#timed(askedAt, await this.#link.ask('heartbeat', client => this.#announce(client)))
    } catch {
      return
    }
    await this.#leases.refresh()
  }

  async #announce (client: RedisClient): Promise<number> {
    const args = [this.#node, this.#host!.load, this.#startedAt, this.#timings.expiryMs]
    return await evaluate(client, 'beat', this.#keys.fleet, args) as number
  }

  #timed (askedAt: number, redisMs: number): void {
    this.#leases.setClock(askedAt, redisMs)
  }
}

function defaultNode (): string {
  return `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
}
