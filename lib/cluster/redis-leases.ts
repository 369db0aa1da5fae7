/**
 * All holds of this node: the list of its calls in Redis, what is to be sent at the end of a tick, and what Redis missed.
 */
import type { Clock } from '../timing/timeout.js'
import type { CallKey, Claim } from './cluster.js'
import { nameOf, type Keys } from './keys.js'
import type { LeaseHolder } from './lease-holder.js'
import { RedisLease } from './redis-lease.js'
import type { RedisLink } from './redis-link.js'
import { evaluate, type Entry } from './scripts.js'

/** How many calls are written at once when there are many: other work gets its turn in between. */
const BATCH = 32

/** Of calls that are over, but could not be written, the oldest are forgotten: their records expire. */
const MOST_BEHIND = 10_000

/** Durations of a cluster, in ms. */
export interface LeaseTimings {
  readonly claimTimeoutMs: number
  readonly commandTimeoutMs: number
  readonly recordTtlMs: number
  readonly expiryMs: number
}

/** Keeps {@link RedisLease}s. */
export class RedisLeases implements LeaseHolder {
  readonly node: string
  readonly clock: Clock
  readonly #keys: Keys
  readonly #timings: LeaseTimings
  readonly #link: RedisLink
  readonly #leases = new Map<string, RedisLease>()
  readonly #due = new Set<RedisLease>()
  readonly #behind = new Set<RedisLease>()
  readonly #sending = new Set<Promise<unknown>>()
  /** Calls that are in this node's list in Redis, or on their way there. */
  readonly #listed = new Set<string>()
  #isListWrong = false
  /** What is to be added to the clock for Redis' time. */
  #redisClock = 0
  #claims = 0

  constructor (node: string, keys: Keys, timings: LeaseTimings, link: RedisLink, clock: Clock) {
    this.node = node
    this.clock = clock
    this.#keys = keys
    this.#timings = timings
    this.#link = link
  }

  get channels (): string {
    return this.#keys.channels
  }

  get recordTtlMs (): number {
    return this.#timings.recordTtlMs
  }

  // Whoever waits for a claim for longer has given it up.
  get promptMs (): number {
    return this.#timings.commandTimeoutMs
  }

  get isOpen (): boolean {
    return this.#link.isOpen
  }

  async claim (key: CallKey): Promise<Claim> {
    const lease = new RedisLease(key, `${this.node}:${++this.#claims}`, this)
    const older = this.holderOf(key)
    // From then on the older is not among them.
    if (older !== undefined) lease.succeed(older)
    this.#leases.set(nameOf(key), lease)
    return await lease.claim(this.#timings.claimTimeoutMs)
  }

  /** Those of this node. */
  [Symbol.iterator] (): Iterator<RedisLease> {
    return this.#leases.values()
  }

  holderOf (key: CallKey): RedisLease | undefined {
    return this.#leases.get(nameOf(key))
  }

  record (key: CallKey): string {
    return this.#keys.record(key)
  }

  admitted ({ id }: CallKey): string {
    return this.#keys.admitted(id)
  }

  /** Redis was asked at `askedAt`, answered now, and said that it is so many ms since 1970. */
  setClock (askedAt: number, redisMs: number): void {
    this.#redisClock = redisMs - (askedAt + this.clock.performance.now()) / 2
  }

  redisTime (at: number): number {
    return Math.round(at + this.#redisClock)
  }

  evaluate (operation: string, entry: Entry, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown> {
    const answer = this.#link.ask(operation, client => evaluate(client, entry, keys, args))
    const sending: Promise<unknown> = answer.catch(() => {}).then(() => { this.#sending.delete(sending) })
    this.#sending.add(sending)
    return answer
  }

  took (lease: RedisLease): void {
    const name = nameOf(lease.key)
    this.#listed.add(name)
    this.#list([name, lease.startedAt]).catch(() => { this.#isListWrong = true })
  }

  lost (lease: RedisLease): void {
    const name = nameOf(lease.key)
    this.#leases.delete(name)
    if (!this.#listed.delete(name)) return
    this.#link.ask('list', client => client.call('hdel', this.#listKey, name)).catch(() => { this.#isListWrong = true })
  }

  isDue (lease: RedisLease): void {
    if (this.#due.size === 0) {
      // Promises that settle in this tick, and what they save, come first.
      queueMicrotask(() => process.nextTick(() => this.#send()))
    }
    this.#due.add(lease)
  }

  isBehind (lease: RedisLease): void {
    this.#behind.add(lease)
    if (this.#behind.size <= this.#leases.size + MOST_BEHIND) return
    this.#behind.delete([...this.#behind].find(each => this.holderOf(each.key) !== each)!)
  }

  /** Writes what Redis missed, or may have forgotten. Resolves with whether all of it is written. Never rejects. */
  async recover (isNew: boolean): Promise<boolean> {
    if (isNew) {
      for (const lease of this) {
        lease.doubt()
        this.#behind.add(lease)
      }
      this.#isListWrong = true
    }
    while (this.#behind.size > 0) {
      const batch = this.#takeBehind()
      const settled = await Promise.all(batch.map(lease => lease.settle()))
      // Where none could be written, the others would fare no better.
      if (!settled.includes(true)) return false
    }
    return !this.#isListWrong || await this.#listAgain()
  }

  /** Keeps alive, in Redis, this node's list and the records of those calls that have been silent. Never rejects. */
  async refresh (): Promise<void> {
    const count = this.#listed.size
    try {
      const length = await this.evaluate('list', 'roll', [this.#listKey], [this.#timings.expiryMs])
      if (length !== count) await this.#listAgain()
    } catch {
      this.#isListWrong = true
    }
    const silentSince = this.clock.performance.now() - this.#timings.recordTtlMs / 3
    await this.#touch([...this].filter(lease => lease.writtenAt < silentSince))
  }

  /** Finds out which calls this node has lost, where it may not have been told. Never rejects. */
  async check (): Promise<void> {
    await this.#touch([...this])
  }

  /** Leaves all calls to other nodes. Resolves when what was to be written is, or cannot be. */
  async close (): Promise<void> {
    this.#send()
    for (const lease of this) lease.leave()
    while (this.#sending.size > 0) await Promise.all(this.#sending)
    await this.#link.ask('list', client => client.call('del', this.#listKey)).catch(() => {})
  }

  get #listKey (): string {
    return this.#keys.callsOf(this.node)
  }

  #send (): void {
    const due = [...this.#due]
    this.#due.clear()
    for (const lease of due) lease.send()
  }

  #takeBehind (): RedisLease[] {
    const batch: RedisLease[] = []
    for (const lease of this.#behind) {
      if (batch.length === BATCH) break
      this.#behind.delete(lease)
      batch.push(lease)
    }
    return batch
  }

  async #touch (leases: readonly RedisLease[]): Promise<void> {
    for (let i = 0; i < leases.length && this.#link.isOpen; i += BATCH) {
      await Promise.all(leases.slice(i, i + BATCH).map(lease => lease.touch()))
    }
  }

  async #list (entries: ReadonlyArray<string | number>): Promise<void> {
    await this.evaluate('list', 'enlist', [this.#listKey], [this.#timings.expiryMs, ...entries])
  }

  async #listAgain (): Promise<boolean> {
    this.#isListWrong = false
    try {
      await this.#link.ask('list', client => client.call('del', this.#listKey))
      const names = [...this.#listed]
      for (let i = 0; i < names.length; i += BATCH) {
        // Some may be over by now.
        const entries = names.slice(i, i + BATCH).flatMap(name => this.#listed.has(name) ? [name, this.#leases.get(name)!.startedAt] : [])
        if (entries.length > 0) await this.#list(entries)
      }
      return true
    } catch {
      this.#isListWrong = true
      return false
    }
  }
}
