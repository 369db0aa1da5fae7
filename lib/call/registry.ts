import type { Call, Provider } from '../contract/agent.js'
import type { ClusterCalls } from '../cluster/cluster.js'
import { LocalCalls, type DatedCall } from '../cluster/local.js'
import { noRefusals, type Refusals } from '../telemetry/refusals.js'
import { Redials } from './redials.js'

/** The live calls of this process, as `fastify.calls`. */
export interface Calls extends Iterable<Call> {
  readonly size: number
  /** The live call with this id, be it Retell's call_id or Millis' session_id. */
  get (id: string): Call | undefined
  /** Who was not let in, or not let go on, counted since the start. */
  readonly refusals: Refusals
  /** The live calls of all nodes. Without others those of this process, so that what is written for many runs on one. */
  readonly cluster: ClusterCalls
}

/** Keeps {@link Calls}. Ids are unique per provider only. */
export class CallRegistry<C extends DatedCall> implements Calls {
  readonly #calls: Readonly<Record<Provider, Map<string, C>>> = { retell: new Map(), millis: new Map() }
  #emptied = (): void => {}
  readonly refusals = noRefusals()
  readonly redials = new Redials()
  cluster: ClusterCalls = new LocalCalls(this)
  /** Calls whose provider is not connected. Counted by the calls themselves. */
  readonly waiting: Record<Provider, number> = { retell: 0, millis: 0 }

  get size (): number {
    return this.#calls.retell.size + this.#calls.millis.size
  }

  get (id: string): C | undefined {
    return this.find('retell', id) ?? this.find('millis', id)
  }

  find (provider: Provider, id: string): C | undefined {
    return this.#calls[provider].get(id)
  }

  add (call: C): void {
    this.#calls[call.provider].set(call.id, call)
  }

  /** Forgets a call, unless a newer one took its id. */
  remove (call: C): void {
    if (this.find(call.provider, call.id) === call) this.#calls[call.provider].delete(call.id)
    if (this.size === 0) this.#emptied()
  }

  /** Files a call under the id that `rename` gives it. */
  rename (call: C, rename: () => void): void {
    this.#calls[call.provider].delete(call.id)
    rename()
    this.add(call)
  }

  /** Resolves once there are no calls. To be awaited by one at a time. */
  async empty (): Promise<void> {
    if (this.size > 0) await new Promise<void>(resolve => { this.#emptied = resolve })
  }

  * [Symbol.iterator] (): IterableIterator<C> {
    yield * this.#calls.retell.values()
    yield * this.#calls.millis.values()
  }
}
