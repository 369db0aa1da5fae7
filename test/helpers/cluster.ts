import FakeTimers from '@sinonjs/fake-timers'
import pino from 'pino'
import type { Test } from 'tap'
import type { CallKey, Claim, Command, Fields, LeaseOwner } from '../../lib/cluster/cluster.js'
import { RedisCluster, TIMINGS, type RedisClusterOptions } from '../../lib/cluster/redis.js'
import { CallEndedError } from '../../lib/contract/errors.js'
import type { Clock } from '../../lib/timing/timeout.js'
import type { LogLine } from './app.js'
import { tick } from './call.js'
import { until } from './redis.js'

/** All but the providers, which are those there are. */
type NodeOptions = Omit<RedisClusterOptions, 'providers'>

/** A call's side of a lease, which remembers what it is told. */
export class Owner implements LeaseOwner {
  readonly told: string[] = []
  readonly reports: Fields[] = []
  claim: Claim
  fields: Fields

  constructor (claim: Claim, fields: Fields = claim.fields) {
    this.claim = claim
    this.fields = fields
    claim.lease.own(this)
  }

  save (fields: Fields): void {
    this.fields = { ...this.fields, ...fields }
    this.claim.lease.save(fields)
  }

  snapshot (): Fields {
    return this.fields
  }

  fenced (): void {
    this.told.push('fenced')
  }

  answered (claim: Claim): void {
    this.told.push(`answered ${claim.status}`)
    this.claim = claim
    this.fields = { ...claim.fields, ...this.fields }
  }

  reported (fields: Fields): void {
    this.reports.push(fields)
  }
}

/** A node is not taken for dead because the machine is slow. */
export const EXPIRY_MS = 600_000

/** Runs as clocks do, but its timers go off only when it is wound. */
function createClock (): Clock & { wind: (ms: number) => void } {
  const timers = FakeTimers.createClock()
  return {
    ...timers as unknown as Clock,
    performance: { now: () => performance.now() + timers.now },
    wind: ms => { timers.tick(ms) }
  }
}

/**
 * A node as a test sees it: its cluster, what it logs, and what it is asked. It waits for Redis and for other nodes as long as
 * they take, and has no heartbeat, until the test lets time pass.
 */
export class TestNode {
  readonly cluster: RedisCluster
  readonly logs: LogLine[] = []
  readonly failures: string[] = []
  readonly commands: Array<[CallKey, Command]> = []
  readonly log = pino({ level: 'debug', base: null }, { write: (line: string) => { this.logs.push(JSON.parse(line)) } })
  load = 0
  onCommand: (key: CallKey, command: Command) => Promise<void> = async () => { throw new CallEndedError() }

  readonly #clock = createClock()
  readonly #heartbeatMs: number

  constructor ({ timings, ...options }: NodeOptions) {
    this.#heartbeatMs = timings?.heartbeatMs ?? TIMINGS.heartbeatMs
    this.cluster = new RedisCluster({ providers: ['retell', 'millis'], ...options, timings: { expiryMs: EXPIRY_MS, ...timings }, clock: this.#clock })
  }

  /** Lets time pass, in ms. What was sent before leaves first. */
  async pass (ms: number): Promise<void> {
    await tick()
    this.wind(ms)
    // Waits end at the end of a turn of the event loop: see `whenLate`.
    await tick()
  }

  /** Lets time pass at once. */
  wind (ms: number): void {
    this.#clock.wind(ms)
  }

  /** Lets time pass until the next heartbeat. Redis answers what was sent before, what the heartbeat sends, and what follows from that. */
  async beat (): Promise<void> {
    await this.settled()
    this.wind(this.#heartbeatMs)
    for (let answers = 0; answers < 3; answers++) await this.settled()
  }

  /** Resolves once Redis has answered what was sent: a look-up is answered last. */
  async settled (): Promise<void> {
    await this.cluster.calls.nodes()
  }

  failed (operation: string): void {
    this.failures.push(operation)
  }

  async command (key: CallKey, command: Command): Promise<void> {
    this.commands.push([key, command])
    await this.onCommand(key, command)
  }

  async take (key: CallKey): Promise<Owner> {
    return new Owner(await this.cluster.claim(key))
  }

  /** What it said at `info` and above. */
  get lines (): string[] {
    return this.logs.filter(({ level }) => level >= 30).map(({ msg }) => msg)
  }

  async says (text: string): Promise<void> {
    await until(() => this.lines.some(line => line.startsWith(text)))
  }
}

/** A node that has joined; it leaves when the test ends. */
export async function startNode (t: Test, options: NodeOptions): Promise<TestNode> {
  const node = new TestNode(options)
  t.teardown(() => node.cluster.close())
  await node.cluster.start(node)
  return node
}
