/**
 * Calls of both providers come and go for as long as one likes, and meet everything that can happen to a call. Does
 * memory grow, does the server keep up, and is anything left when all have hung up?
 */
import { setTimeout as delay } from 'node:timers/promises'
import { live } from '../callers/life.js'
import { Tally } from '../callers/tally.js'
import { Population } from '../population.js'
import { median, slope } from '../statistics.js'
import { type Bench, calls, type Figure, lower, note, type Scenario } from './scenario.js'

const TOKENS = 12
/** Short, so that a minute is enough to meet everything. */
const DEADLINE_MS = 3_000
/** Longer than providers take to dial again. */
const GRACE_MS = 4_000
/** The model answers within 600 ms, one that stalls is given up a deadline later; the rest is for a busy machine. */
const MUTE_MS = 10_000
/** As long as many a call, so that they do not begin and end in waves. */
const RAMP_MS = 10_000
/** Once all have hung up, sockets close, and no call waits to be dialled again. */
const REST_MS = GRACE_MS + 2_000
/** After a garbage collection of ours, the server catches up. */
const SETTLE_MS = 200
const MIN_SECONDS = 20
const MIN_STRETCH_MS = 2_000
const MOST_STRETCHES = 60
/** Connections and compiled code come and go, for a MiB or two. A leak outgrows that, the smaller it is the later. */
const MOST_GROWTH_MIB = 4
const MIB = 2 ** 20

/** A server whose calls have all ended. */
interface Rest {
  readonly heldMib: number
  /** Connections to the model that wait for the next request. */
  readonly connections: number
  /** Of what there should be none, but for what a fresh server has. */
  readonly left: Readonly<Record<string, number>>
}

interface Sample {
  readonly hours: number
  readonly rssMib: number
  readonly heldMib: number
  /** In the stretch before. */
  readonly loopDelayP99Ms: number
}

export const soak: Scenario = {
  name: 'soak',
  model: `paced-150-40-${TOKENS}`,
  alone: true,
  once: true,
  env: {
    FIRST_TOKEN_TIMEOUT_MS: String(DEADLINE_MS),
    TOKEN_GAP_TIMEOUT_MS: String(DEADLINE_MS),
    RECONNECT_GRACE_MS: String(GRACE_MS)
  },
  async run (bench) {
    const { server, size } = bench
    const count = size.calls ?? calls(size, 500)
    const rampMs = size.quick ? 1_000 : RAMP_MS
    const tally = new Tally()
    let begun = 0
    const populate = (): Population => new Population(count, rampMs, async stopping => {
      await live({ url: server.url, call: begun++, tokens: TOKENS, tally, timeoutMs: MUTE_MS }, stopping)
    })
    const fresh = await inspect(bench)
    // What is compiled, pooled and cached by the first calls serves all later ones.
    const first = populate()
    await first.wait(rampMs)
    const before = await rest(first, bench, fresh)
    tally.take()
    const begunBefore = begun

    const population = populate()
    await population.wait(rampMs)
    const samples = await watch(population, bench, () => begun - begunBefore)
    const after = await rest(population, bench, fresh)
    const lived = begun - begunBefore
    const grownMib = after.heldMib - before.heldMib
    if (grownMib > MOST_GROWTH_MIB) throw new Error(`${grownMib.toFixed(1)} MiB are left of ${lived} calls`)
    const { counts } = tally
    return [
      note('calls', '', lived),
      note('answers heard to the end', '', counts.replies),
      note('fallbacks heard, of a model that failed', '', counts.fallbacks),
      note('answers talked over', '', counts.superseded),
      note('calls dialled again', '', counts.redials),
      note('malformed frames', '', counts.malformed),
      ...growth(samples.slice(Math.floor(samples.length / 2))),
      lower('heap and buffers left of each call', 'KiB', grownMib * 1024 / lived),
      lower('event-loop delay of the server, p99, median of stretches', 'ms', median(samples.map(sample => sample.loopDelayP99Ms))),
      lower('event-loop delay of the server, p99, worst stretch', 'ms', Math.max(...samples.map(sample => sample.loopDelayP99Ms))),
      note('idle model connections left', '', after.connections)
    ]
  }
}

async function watch (population: Population, { server, size, progress }: Bench, lived: () => number): Promise<Sample[]> {
  const ms = Math.max(size.seconds, size.quick ? 4 : MIN_SECONDS) * 1000
  const stretchMs = Math.max(MIN_STRETCH_MS, ms / MOST_STRETCHES)
  const samples: Sample[] = []
  const startedAt = performance.now()
  while (performance.now() - startedAt < ms) {
    // What went before is not of this stretch, a garbage collection of ours least of all.
    await server.probe()
    await population.wait(stretchMs)
    const { loopDelayP99Ms } = await server.probe()
    const { rssBytes, heldBytes, calls: live } = await server.probe({ gc: true })
    const seconds = (performance.now() - startedAt) / 1000
    const sample = { hours: seconds / 3600, rssMib: rssBytes / MIB, heldMib: heldBytes / MIB, loopDelayP99Ms }
    samples.push(sample)
    progress(`${seconds.toFixed(0).padStart(6)} s: ${live} calls live, ${lived()} so far; resident ${sample.rssMib.toFixed(1)} MiB, ` +
      `held ${sample.heldMib.toFixed(1)} MiB; event-loop delay p99 ${loopDelayP99Ms.toFixed(1)} ms\n`)
    await population.wait(SETTLE_MS)
  }
  return samples
}

function growth (samples: readonly Sample[]): Figure[] {
  return [
    lower('resident memory, growth per hour', 'MiB', slope(samples.map(({ hours, rssMib }) => [hours, rssMib]))),
    lower('heap and buffers held, growth per hour', 'MiB', slope(samples.map(({ hours, heldMib }) => [hours, heldMib]))),
    note('resident memory at the end', 'MiB', samples.at(-1)?.rssMib ?? NaN)
  ]
}

/**
 * Brings all calls to their end.
 * @throws when anything is left of them
 */
async function rest (population: Population, bench: Bench, fresh: Rest): Promise<Rest> {
  await population.stop()
  await delay(REST_MS)
  const now = await inspect(bench)
  const left = Object.entries(now.left)
    .map(([what, count]) => ({ what, more: count - (fresh.left[what] ?? 0) }))
    .filter(({ more }) => more > 0)
  if (left.length > 0) throw new Error(`left when all had hung up: ${left.map(({ what, more }) => `${more} ${what}`).join(', ')}`)
  return now
}

async function inspect ({ server, model }: Bench): Promise<Rest> {
  // What waits for a finalizer is only collected the next time.
  await server.probe({ gc: true })
  const { calls: live = NaN, heldBytes, resources } = await server.probe({ gc: true })
  const { requests, completed, cancelled, open } = await model.stats()
  const { TCPSocketWrap: sockets = 0, ...others } = resources
  return {
    heldMib: heldBytes / MIB,
    connections: open,
    left: { ...others, 'live calls': live, sockets: sockets - open, 'model requests': requests - completed - cancelled }
  }
}
