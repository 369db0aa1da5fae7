/**
 * A cluster of one: without other nodes the calls of this process are all there are.
 */
import { hostname } from 'node:os'
import type { AgentConfig, Call, EndCallOptions, InterjectOptions, Provider, TransferCallOptions } from '../contract/agent.js'
import type { ClusterCall, ClusterCalls, ClusterNode } from './cluster.js'

/** A call, and when it began, in ms since 1970. */
export interface DatedCall extends Call {
  readonly startedAt: number
}

/** What is needed of the live calls of this process. */
export interface OwnCalls extends Iterable<DatedCall> {
  readonly size: number
  get (id: string): DatedCall | undefined
}

/** The live calls of this process, as any cluster shows its own. Nothing of it rejects, but the controls of a call as it does. */
export class LocalCalls implements ClusterCalls {
  readonly node = `${hostname()}-${process.pid}`
  readonly #startedAt = Date.now()
  readonly #calls: OwnCalls

  constructor (calls: OwnCalls) {
    this.#calls = calls
  }

  async * list (): AsyncIterable<ClusterCall> {
    // Whoever reads it takes their time, and calls that begin meanwhile would have it go on for ever.
    for (const call of Array.from(this.#calls)) yield new LocalCall(this.node, call)
  }

  async get (id: string): Promise<ClusterCall | undefined> {
    const call = this.#calls.get(id)
    return call === undefined ? undefined : new LocalCall(this.node, call)
  }

  async nodes (): Promise<ClusterNode[]> {
    return [{ id: this.node, calls: this.#calls.size, startedAt: this.#startedAt }]
  }

  async size (): Promise<number> {
    return this.#calls.size
  }
}

/** A call of this process, as if it were anywhere. */
class LocalCall implements ClusterCall {
  readonly node: string
  readonly #call: DatedCall

  constructor (node: string, call: DatedCall) {
    this.node = node
    this.#call = call
  }

  get id (): string { return this.#call.id }
  get provider (): Provider { return this.#call.provider }
  get startedAt (): number { return this.#call.startedAt }

  interject (text: string, options?: InterjectOptions): Promise<void> {
    return this.#call.interject(text, options)
  }

  end (options?: EndCallOptions): Promise<void> {
    return this.#call.end(options)
  }

  transfer (destination: string, options?: TransferCallOptions): Promise<void> {
    return this.#call.transfer(destination, options)
  }

  sendMetadata (metadata: Record<string, unknown>): Promise<void> {
    return this.#call.sendMetadata(metadata)
  }

  updateAgent (config: AgentConfig): Promise<void> {
    return this.#call.updateAgent(config)
  }
}
