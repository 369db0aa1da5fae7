/**
 * Where things are in Redis. What one script touches shares a hash tag, so that it shares a slot of a Redis Cluster.
 */
import { createHash } from 'node:crypto'
import type { Provider } from '../contract/agent.js'
import type { CallKey } from './cluster.js'

/** What a script needs to know of all nodes: who is alive, how many calls each has, since when it is there. */
export type FleetKeys = readonly [alive: string, load: string, since: string]

/** The names of keys and channels, which all begin with one prefix. */
export class Keys {
  readonly #prefix: string
  readonly fleet: FleetKeys

  constructor (prefix: string) {
    this.#prefix = prefix
    this.fleet = [`${prefix}:{nodes}:alive`, `${prefix}:{nodes}:load`, `${prefix}:{nodes}:since`]
  }

  /** A hash: who has the call, and what was saved of it. */
  record ({ provider, id }: CallKey): string {
    return `${this.#prefix}:{${tag(id)}}:${provider}`
  }

  /** There while a call with this id is expected. */
  admitted (id: string): string {
    return `${this.#prefix}:{${tag(id)}}:admitted`
  }

  /** A hash: a node's calls, and when each began. */
  callsOf (node: string): string {
    return `${this.#prefix}:{node:${tag(node)}}:calls`
  }

  /** What a node's channel is called, but for the node. */
  get channels (): string {
    return `${this.#prefix}:to:`
  }

  channelOf (node: string): string {
    return this.channels + node
  }
}

/** A call's name in its node's hash, and in this process. */
export function nameOf ({ provider, id }: CallKey): string {
  return `${provider}:${id}`
}

/** The call with this name. */
export function keyOf (name: string): CallKey {
  const colon = name.indexOf(':')
  return { provider: name.slice(0, colon) as Provider, id: name.slice(colon + 1) }
}

/** What others made of it could end a hash tag early, or be an empty one, which is none. */
const LONGEST_TAG = 200

function tag (id: string): string {
  if (id === '' || id.length > LONGEST_TAG) return `%${createHash('sha256').update(id).digest('hex')}`
  return id.replace(/[{}%]/g, encodeURIComponent)
}
