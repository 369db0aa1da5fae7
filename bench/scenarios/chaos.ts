/**
 * Calls of both providers on several nodes behind a balancer, of which one after the other dies, is replaced or freezes,
 * as does the Redis that they share. Does any caller notice?
 */
import { mkdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, noCluster, type ClusterOptions } from '../../test/helpers/real-cluster/cluster.js'
import type { Node } from '../../test/helpers/real-cluster/node.js'
import { converse } from '../cluster/conversation.js'
import { FAULTS, Verdict, type Fault, type Violation, type Wait } from '../cluster/verdict.js'
import { between, lots, shuffled } from '../lot.js'
import { Population } from '../population.js'
import { percentile } from '../statistics.js'
import { calls, lower, note, type Drill, type Figure, type Stage } from './scenario.js'

const NODES = 4
/** As long as many a call, so that they do not begin and end in waves. */
const RAMP_MS = 10_000
/** Between the end of one event and the next. */
const QUIET_MS = [1_000, 4_000] as const
const MIN_SECONDS = 20
/** The model needs a second for an answer: nodes die in the middle of some. */
const GAP_MS = 60
const BOOKING_MS = 400
/** Calls move while others talk on. */
const DRAIN_MS = 1_500
/** Longer than Retell waits for a keep-alive, which it sends every 2 s. */
const FREEZE_MS = 8_000
const REDIS_AWAY_MS = [1_000, 5_000] as const
const REDIS_DOWN_MS = [100, 2_000] as const
/** How long after an event an answer still counts as one around it. */
const AFTERMATH_MS = 2_000
/** Everything a node that froze could still do is done by then. */
const REST_MS = 1_000
/** Of each kind. */
const MOST_SHOWN = 5

/** What happens. Resolves once all is well again, as far as the cluster is concerned. */
interface Incident {
  readonly name: string
  /** What nobody could help while it lasts. */
  excuses? (violation: Violation, happened: Happened, verdict: Verdict): boolean
  happen (cluster: Cluster, node: Node, random: () => number): Promise<void>
}

const NODE_INCIDENTS: readonly Incident[] = [
  { name: 'node killed', happen: (cluster, node) => cluster.crash(node) },
  { name: 'node drained', happen: (cluster, node) => cluster.replace(node) },
  {
    name: 'node frozen',
    async happen ({ balancer }, node) {
      node.freeze()
      await Promise.all([delay(FREEZE_MS), balancer.knows(node.name, 'DOWN')])
      node.thaw()
      await balancer.knows(node.name, 'UP')
    },
    // Until an agent has said that it wants keep-alives, Retell does not notice that it is silent.
    excuses: ({ fault, what, atMs }, { fromMs, toMs }) => fault === 'finding' && what.startsWith('no-begin-message') && atMs > fromMs && atMs < toMs
  }
]

const REDIS_INCIDENTS: readonly Incident[] = [
  {
    name: 'Redis paused',
    async happen ({ redis }, _node, random) {
      redis!.pause()
      await delay(between(...REDIS_AWAY_MS, random))
      redis!.resume()
    }
  },
  {
    name: 'Redis killed',
    async happen ({ redis }, _node, random) {
      await redis!.kill()
      await delay(between(...REDIS_DOWN_MS, random))
      await redis!.start()
    }
  },
  {
    name: 'node killed while Redis is paused',
    async happen (cluster, node) {
      cluster.redis!.pause()
      await delay(REDIS_AWAY_MS[0])
      const back = cluster.crash(node)
      await delay(REDIS_AWAY_MS[0])
      cluster.redis!.resume()
      await back
    },
    // What the node was to keep meanwhile is lost with it. Millis does not say that it dials again.
    excuses: ({ fault, call }, { fromMs, toMs }, { broken }) => (fault === 'state lost' || fault === 'greeted twice') &&
      (broken.get(call) ?? []).some(atMs => atMs >= fromMs && atMs <= toMs)
  }
]

/** One that happened, by the clock of `performance`. */
interface Happened {
  readonly incident: Incident
  readonly fromMs: number
  readonly toMs: number
}

function scenario (name: string, redis: ClusterOptions['redis']): Drill {
  return {
    name,
    alone: true,
    once: true,
    async perform (stage) {
      if (noCluster !== false) throw new Error(noCluster)
      const { logs } = stage.size
      if (logs !== undefined) mkdirSync(logs, { recursive: true })
      const env = { DRAIN_TIMEOUT_MS: String(DRAIN_MS), ...(logs !== undefined && { NODE_LOGS: logs }) }
      const cluster = await Cluster.start({ nodes: NODES, redis, gapMs: GAP_MS, env })
      try {
        return await shake(cluster, stage)
      } finally {
        await cluster.stop()
      }
    }
  }
}

async function shake (cluster: Cluster, { size, progress }: Stage): Promise<Figure[]> {
  const { office, balancer: { url } } = cluster
  const verdict = new Verdict()
  // What happens is not to depend on who talks when.
  const [random, talk] = [lots(size.seed), lots(size.seed + 1)]
  progress(`seed ${size.seed}\n`)
  office.delayMs = BOOKING_MS
  let begun = 0
  const rampMs = size.quick ? 1_000 : RAMP_MS
  const population = new Population(size.calls ?? calls(size, 200), rampMs, async stopping => {
    await converse(begun++, { url, verdict, random: talk }, stopping)
  })
  await population.wait(rampMs)
  const happened = await happen(cluster, population, { size, progress }, random)
  await population.stop()
  await delay(REST_MS)
  verdict.settle(office)
  const figures = figuresOf(verdict, happened)
  const wrong = verdict.violations.filter(violation => !isExcused(violation, verdict, happened))
  if (wrong.length === 0) return figures
  const found = complaint(wrong, figures, happened)
  if (cluster.redis !== undefined) throw new Error(found)
  progress(`${found}\n`)
  return figures
}

function isExcused (violation: Violation, verdict: Verdict, happened: readonly Happened[]): boolean {
  return happened.some(one => one.incident.excuses?.(violation, one, verdict))
}

async function happen (cluster: Cluster, population: Population, { size, progress }: Stage, random: () => number): Promise<Happened[]> {
  const happened: Happened[] = []
  const kinds = cluster.redis === undefined ? NODE_INCIDENTS : [...NODE_INCIDENTS, ...REDIS_INCIDENTS]
  const startedAt = performance.now()
  const endsAt = startedAt + Math.max(size.seconds, MIN_SECONDS) * 1000
  // Each as often as the others.
  for (let next: Incident[] = []; performance.now() < endsAt;) {
    if (next.length === 0) next = shuffled(kinds, random)
    const incident = next.pop()!
    const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)]!
    const fromMs = performance.now()
    await incident.happen(cluster, node, random)
    const toMs = performance.now()
    happened.push({ incident, fromMs, toMs })
    progress(`${((fromMs - startedAt) / 1000).toFixed(1).padStart(8)} s: ${incident.name}${incident.name.startsWith('node') ? `, ${node.name}` : ''}, for ${Math.round(toMs - fromMs)} ms\n`)
    await population.wait(between(...QUIET_MS, random))
  }
  return happened
}

const EXCUSED = ['greeted twice', 'state lost', 'finding'] as const

function figuresOf (verdict: Verdict, happened: readonly Happened[]): Figure[] {
  const { waits, gapsMs, wishes, violations, broken } = verdict
  const excused = violations.filter(violation => isExcused(violation, verdict, happened))
  const count = (fault: Fault, all: readonly Violation[]): number => all.filter(violation => violation.fault === fault).length
  const quiet = waits.filter(wait => !happened.some(one => isAround(wait, one)))
  const kinds = [...NODE_INCIDENTS, ...REDIS_INCIDENTS].map(kind => ({ kind, all: happened.filter(({ incident }) => incident === kind) })).filter(({ all }) => all.length > 0)
  const p = (share: number, waits: readonly Wait[]): number => percentile(waits.map(({ ms }) => ms), share)
  return [
    ...kinds.map(({ kind, all }) => note(kind.name, '', all.length)),
    note('calls', '', verdict.calls),
    note('answers', '', verdict.answers),
    note('answers cut off, and asked for again', '', verdict.cut),
    note('bookings asked for', '', wishes.length),
    note('bookings of which the agent does not know', '', wishes.filter(({ said }) => said === 'unknown').length),
    note('apologies of a node that was frozen, on Millis', '', verdict.apologies),
    note('greetings lost', '', verdict.ungreeted),
    note('connections broken', '', Array.from(broken.values()).flat().length),
    note('calls dialled again', '', verdict.redials),
    ...FAULTS.map(fault => lower(fault, '', count(fault, violations) - count(fault, excused))),
    ...EXCUSED.map(fault => note(`${fault}, as nobody could help`, '', count(fault, excused))),
    lower('without a connection, p99', 'ms', percentile(gapsMs, 0.99)),
    lower('without a connection, longest', 'ms', percentile(gapsMs, 1)),
    lower('first word, p50', 'ms', p(0.5, quiet)),
    lower('first word, p99', 'ms', p(0.99, quiet)),
    ...kinds.flatMap(({ kind, all }) => {
      const around = waits.filter(wait => all.some(one => isAround(wait, one)))
      return [lower(`first word, p50, ${kind.name}`, 'ms', p(0.5, around)), lower(`first word, p99, ${kind.name}`, 'ms', p(0.99, around))]
    })
  ]
}

function isAround ({ atMs, ms }: Wait, { fromMs, toMs }: Happened): boolean {
  return atMs + ms >= fromMs && atMs <= toMs + AFTERMATH_MS
}

function complaint (violations: readonly Violation[], figures: readonly Figure[], happened: readonly Happened[]): string {
  const before = (atMs: number): string => {
    const last = happened.findLast(({ fromMs }) => fromMs <= atMs)
    return last === undefined ? 'before anything happened' : `${Math.round(atMs - last.fromMs)} ms after: ${last.incident.name}`
  }
  return [
    ...FAULTS.flatMap(fault => violations.filter(violation => violation.fault === fault).slice(0, MOST_SHOWN)
      .map(({ call, what, atMs }) => `${call}: ${fault}: ${what}; ${before(atMs)}`)),
    ...figures.map(({ label, unit, value }) => `${label}: ${Number.isInteger(value) ? value : value.toFixed(1)} ${unit}`.trimEnd())
  ].join('\n')
}

export const chaos: readonly Drill[] = [
  scenario('chaos', 'kept'),
  scenario('chaos-forgetful', 'forgotten'),
  // Without a cluster, to see that what is not found above can be found.
  scenario('chaos-apart', undefined)
]
