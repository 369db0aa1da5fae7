import type { Call, Provider } from '../contract/agent.js'
import type { ClusterCalls } from '../cluster/cluster.js'
import { LocalCalls, type DatedCall } from '../cluster/local.js'
import { noRefusals, type Refusals } from '../telemetry/refusals.js'
import { Redials } from '../admission/redials.js'

/** The live calls of this process, as `fastify.calls`. */
export interface Calls extends Iterable<Call> {
  readonly size: number
  /** The live call with this id, by the provider's own id. */
  get (id: string): Call | undefined
  /** Who was not let in, or not let go on, counted since the start. */
  readonly refusals: Refusals
  /** The live calls of all nodes. Without others those of this process, so that what is written for many runs on one. */
  readonly cluster: ClusterCalls
}

/** Keeps {@link Calls}. Ids are unique per provider only. */
export class CallRegistry<C extends DatedCall> implements Calls {
  /** By provider, and then by id. */
  readonly #calls: Map<Provider, Map<string, C>>
  #emptied = (): void => {}
  readonly refusals = noRefusals()
  readonly redials = new Redials()
  cluster: ClusterCalls = new LocalCalls(this)
  readonly #waiting = new Map<Provider, number>()
  #size = 0

  /** @param providers in the order in which an id is looked for */
  constructor (providers: readonly Provider[] = []) {
    this.#calls = new Map(providers.map(provider => [provider, new Map()]))
  }

  get size (): number {
    return this.#size
  }

  get (id: string): C | undefined {
    for (const calls of this.#calls.values()) {
      const call = calls.get(id)
      if (call !== undefined) return call
    }
    return undefined
  }

  find (provider: Provider, id: string): C | undefined {
    return this.#calls.get(provider)?.get(id)
  }

  /** How many calls wait for a provider to dial again. */
  waitingFor (provider: Provider): number {
    return this.#waiting.get(provider) ?? 0
  }

  /** A call begins to wait for its provider (1), or no longer does (-1). */
  countWaiting (provider: Provider, change: 1 | -1): void {
    this.#waiting.set(provider, this.waitingFor(provider) + change)
  }

  add (call: C): void {
    const calls = this.#calls.get(call.provider) ?? new Map<string, C>()
    this.#calls.set(call.provider, calls)
    if (!calls.has(call.id)) this.#size++
    calls.set(call.id, call)
  }

  /** Forgets a call, unless a newer one took its id. */
  remove (call: C): void {
    if (this.find(call.provider, call.id) === call) this.#delete(call)
    if (this.size === 0) this.#emptied()
  }

  /** Files a call under the id that `rename` gives it. */
  rename (call: C, rename: () => void): void {
    this.#delete(call)
    rename()
    this.add(call)
  }

  /** Resolves once there are no calls. To be awaited by one at a time. */
  async empty (): Promise<void> {
    if (this.size > 0) await new Promise<void>(resolve => { this.#emptied = resolve })
  }

  * [Symbol.iterator] (): IterableIterator<C> {
    for (const calls of this.#calls.values()) yield * calls.values()
  }

  #delete ({ provider, id }: C): void {
    if (this.#calls.get(provider)?.delete(id) === true) this.#size--
  }
}
