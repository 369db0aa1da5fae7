import pino from 'pino'
import type { Test } from 'tap'
import type { CallKey, Claim, Command, Fields, LeaseOwner } from '../../lib/cluster/cluster.js'
import { RedisCluster, type RedisClusterOptions } from '../../lib/cluster/redis.js'
import { CallEndedError } from '../../lib/errors.js'
import type { LogLine } from './app.js'
import { until } from './redis.js'

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

/** A node as a test sees it: its cluster, what it logs, and what it is asked. */
export class TestNode {
  readonly cluster: RedisCluster
  readonly logs: LogLine[] = []
  readonly failures: string[] = []
  readonly commands: Array<[CallKey, Command]> = []
  readonly log = pino({ level: 'debug', base: null }, { write: (line: string) => { this.logs.push(JSON.parse(line)) } })
  load = 0
  onCommand: (key: CallKey, command: Command) => Promise<void> = async () => { throw new CallEndedError() }

  constructor (options: RedisClusterOptions) {
    this.cluster = new RedisCluster(options)
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
export async function startNode (t: Test, options: RedisClusterOptions): Promise<TestNode> {
  const node = new TestNode(options)
  t.teardown(() => node.cluster.close())
  await node.cluster.start(node)
  return node
}
