/**
 * The calls of all nodes, for whoever looks for one.
 */
import type { AgentConfig, EndCallOptions, InterjectOptions, Provider, TransferCallOptions } from '../contract/agent.js'
import { CallEndedError, ClusterError } from '../contract/errors.js'
import { isId } from '../contract/id.js'
import type { CallKey, ClusterCall, ClusterCalls, ClusterHost, ClusterNode, Command } from './cluster.js'
import { keyOf, type Keys } from './keys.js'
import type { RedisCommands } from './redis-commands.js'
import type { RedisLeases } from './redis-leases.js'
import type { RedisLink } from './redis-link.js'
import { evaluate } from './scripts.js'

/** Has a node do something with a call it has. */
type Order = (node: string, key: CallKey, command: Command) => Promise<void>

/** {@link ClusterCalls} as Redis knows them. */
export class RedisCalls implements ClusterCalls {
  readonly node: string
  readonly #keys: Keys
  readonly #link: RedisLink
  readonly #leases: RedisLeases
  readonly #commands: RedisCommands
  readonly #expiryMs: number
  readonly #providers: readonly Provider[]
  /** Whoever has this node's calls. Told when it joins. */
  host: ClusterHost | undefined

  constructor (keys: Keys, link: RedisLink, leases: RedisLeases, commands: RedisCommands, expiryMs: number, providers: readonly Provider[]) {
    this.node = leases.node
    this.#keys = keys
    this.#link = link
    this.#leases = leases
    this.#commands = commands
    this.#expiryMs = expiryMs
    this.#providers = providers
  }

  async * list (): AsyncGenerator<ClusterCall> {
    for (const { id: node } of await this.nodes()) {
      if (node === this.node) {
        for (const { key, startedAt } of this.#leases) yield this.#call(key, node, startedAt)
      } else {
        yield * this.#listOf(node)
      }
    }
  }

  async get (id: string): Promise<ClusterCall | undefined> {
    const keys = this.#providers.map((provider): CallKey => ({ provider, id }))
    for (const key of keys) {
      const lease = this.#leases.holderOf(key)
      if (lease !== undefined) return this.#call(key, this.node, lease.startedAt)
    }
    // In UTF-8 a malformed text may equal another call's id.
    if (!isId(id)) return undefined
    const calls = await Promise.all(keys.map(key => this.#find(key)))
    return calls.find(call => call !== undefined)
  }

  async nodes (): Promise<ClusterNode[]> {
    const fleet = await this.#ask(client => evaluate(client, 'fleet', this.#keys.fleet, [this.#expiryMs])) as string[]
    const nodes: ClusterNode[] = []
    for (let i = 0; i < fleet.length; i += 3) {
      const id = fleet[i]
      if (isId(id)) nodes.push({ id, calls: Number(fleet[i + 1]), startedAt: Number(fleet[i + 2]) })
    }
    return nodes
  }

  async size (): Promise<number> {
    return (await this.nodes()).reduce((sum, { calls }) => sum + calls, 0)
  }

  async * #listOf (node: string): AsyncGenerator<ClusterCall> {
    let cursor = '0'
    do {
      const [next, entries] = await this.#ask(client => client.call('hscan', this.#keys.callsOf(node), cursor)) as [string, string[]]
      cursor = next
      for (let i = 0; i < entries.length; i += 2) {
        const key = keyOf(entries[i]!)
        if (isId(key.id)) yield this.#call(key, node, Number(entries[i + 1]))
      }
    } while (cursor !== '0')
  }

  async #find (key: CallKey): Promise<ClusterCall | undefined> {
    const [node, startedAt, left] = await this.#ask(client => client.call('hmget', this.#keys.record(key), 'node', 'startedAt', 'left')) as Array<string | null>
    // Where it is this node that has it by Redis, but not by itself, it is over.
    if (!isId(node) || left != null || node === this.node) return undefined
    const isAlive = await this.#ask(client => evaluate(client, 'isAlive', this.#keys.fleet, [node, this.#expiryMs]))
    return isAlive === 1 ? this.#call(key, node, Number(startedAt)) : undefined
  }

  async #ask (send: Parameters<RedisLink['ask']>[1]): Promise<unknown> {
    try {
      return await this.#link.ask('look-up', send)
    } catch {
      throw new ClusterError('Redis does not answer: the calls of other nodes are not known')
    }
  }

  #call (key: CallKey, node: string, startedAt: number): ClusterCall {
    return new RedisCall(key, node, startedAt, this.#order)
  }

  readonly #order: Order = async (node, { provider, id }, command) => {
    const key = { provider, id }
    try {
      await this.#send(node, key, command)
    } catch (error) {
      if (!(error instanceof CallEndedError)) throw error
      const call = this.#leases.holderOf(key) === undefined ? await this.#find(key) : { node: this.node }
      if (call === undefined || call.node === node) throw error
      await this.#send(call.node, key, command)
    }
  }

  async #send (node: string, key: CallKey, command: Command): Promise<void> {
    if (node !== this.node) return await this.#commands.ask(node, key, command)
    if (this.host === undefined) throw new CallEndedError()
    await this.host.command(key, command)
  }
}

/** A call of whichever node. */
class RedisCall implements ClusterCall {
  readonly provider: ClusterCall['provider']
  readonly id: string
  readonly node: string
  readonly startedAt: number
  readonly #order: Order

  constructor ({ provider, id }: CallKey, node: string, startedAt: number, order: Order) {
    this.provider = provider
    this.id = id
    this.node = node
    this.startedAt = startedAt
    this.#order = order
  }

  async interject (text: string, options?: InterjectOptions): Promise<void> {
    await this.#order(this.node, this, { method: 'interject', args: options === undefined ? [text] : [text, options] })
  }

  async end (options?: EndCallOptions): Promise<void> {
    await this.#order(this.node, this, { method: 'end', args: options === undefined ? [] : [options] })
  }

  async transfer (destination: string, options?: TransferCallOptions): Promise<void> {
    await this.#order(this.node, this, { method: 'transfer', args: options === undefined ? [destination] : [destination, options] })
  }

  async sendMetadata (metadata: Record<string, unknown>): Promise<void> {
    await this.#order(this.node, this, { method: 'sendMetadata', args: [metadata] })
  }

  async updateAgent (config: AgentConfig): Promise<void> {
    await this.#order(this.node, this, { method: 'updateAgent', args: [config] })
  }
}
