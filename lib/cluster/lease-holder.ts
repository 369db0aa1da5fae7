/**
 * The node that leases belong to.
 */
import type { Clock } from '../timing/timeout.js'
import type { CallKey } from './cluster.js'
import type { RedisLease } from './redis-lease.js'
import type { Entry } from './scripts.js'

/** What a lease needs from its node. */
export interface LeaseHolder {
  readonly clock: Clock
  /** Converts a time of the clock to Redis' time, in ms. Known after the first reply of Redis. */
  redisTime (at: number): number
  /** Runs the script. Counts failures and rejects. */
  evaluate (operation: string, entry: Entry, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown>
  /** The node's name, an argument of a claim: see the script. */
  readonly node: string
  readonly channels: string
  readonly recordTtlMs: number
  readonly promptMs: number
  /** True if the connection to Redis is open, as far as this node knows. */
  readonly isOpen: boolean
  record (key: CallKey): string
  admitted (key: CallKey): string
  /** This node holds the call from now on; `lease.startedAt` is known. */
  took (lease: RedisLease): void
  /** This node no longer holds the call. */
  lost (lease: RedisLease): void
  /** Schedules a send at the end of the tick. */
  isDue (lease: RedisLease): void
  /** Schedules {@link RedisLease.settle} for when Redis is back. */
  isBehind (lease: RedisLease): void
  /** This node's current lease of the call, if any. */
  holderOf (key: CallKey): RedisLease | undefined
}
