/**
 * The same talk on servers with few calls and with many: does a token, or a call, cost more where there are more of them?
 * Talk is at the pace of `paced` up to its load and no further, since with all of 5,000 calls talking a core would be full
 * and show queues instead of costs. What the other calls cost in silence is measured first, and left out.
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd, measured } from '../crowd.js'
import { affordable } from '../open-files.js'
import type { Server } from '../processes.js'
import type { ProbeReport } from '../servers/probe.js'
import { SteadyPace } from '../steady-pace.js'
import { type Bench, calls, type Figure, lower, note, type Scenario, turn } from './scenario.js'

const CALLS = [10, 100, 1_000, 5_000]
const TOKENS = 40
/** Of one call, as in `paced`: a turn of a second, and two seconds of pause. */
const TURNS_A_SECOND = 1 / 3
/** Of all calls: those of 200, as in `paced`. */
const MOST_TURNS_A_SECOND = 200 * TURNS_A_SECOND
/** Everything is compiled by then, which few calls alone would take minutes for. */
const WARM_UP_CALLS = 100
const WARM_UP_MS = 5_000
const KEEPALIVE_ROUND_MS = 2_000
/** Callers and model have a core or two with the server; beyond this share of one it is likely to wait for them. */
const SATURATED = 0.6

export const scale: readonly Scenario[] = CALLS.map(count => ({
  name: `scale-${count}`,
  group: 'scale',
  model: `paced-200-20-${TOKENS}`,
  alone: true,
  run: bench => run(bench, count)
}))

async function run (bench: Bench, wanted: number): Promise<Figure[]> {
  const { server, size, progress } = bench
  const count = affordable(calls(size, wanted), bench)
  const ms = Math.max(size.seconds, 1.2) * 1000
  const tally = new Tally()
  const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, tally)
  const others = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())

  // Memory comes first: a process that has talked has room for calls that it does not give back in between.
  await others.dial(calls(size, WARM_UP_CALLS))
  others.hangUp()
  await others.wait(200)
  const before = await memoryOf(server)
  await crowd.dial(count)
  const after = await memoryOf(server)

  await others.dial(calls(size, WARM_UP_CALLS))
  const warmUp = talkOf(others, calls(size, MOST_TURNS_A_SECOND))
  await warmUp.wait(size.quick ? 300 : WARM_UP_MS)
  await warmUp.stop()
  others.hangUp()
  await crowd.wait(size.quick ? 200 : KEEPALIVE_ROUND_MS)
  const silent = await crowd.measure(ms)

  const talk = talkOf(crowd, Math.min(count * TURNS_A_SECOND, MOST_TURNS_A_SECOND))
  // A turn lasts a second: by then as many end as begin.
  await talk.wait(size.quick ? 300 : 1_500)
  const talking = await measured(server, tally, async () => { await Promise.all([talk.wait(ms), crowd.wait(ms)]) })
  await talk.stop()
  crowd.hangUp()

  const busy = talking.cpuMs / talking.seconds / 1000
  if (busy > SATURATED) progress(`scale-${wanted}: SATURATED, the server took ${Math.round(busy * 100)} % of a core; its costs are not those of a server that keeps up\n`)
  const silence = silent.cpuMs / silent.seconds * talking.seconds
  return [
    note('calls', '', count),
    lower('server CPU per 1,000 tokens, beyond that of silent calls', 'ms', (talking.cpuMs - silence) / talking.counts.tokens * 1000),
    lower('server CPU per second of 1,000 silent calls', 'ms', silent.cpuMs / silent.seconds / count * 1000),
    lower('resident memory per call', 'KiB', (after.rssBytes - before.rssBytes) / 1024 / count),
    lower('heap and buffers held per call', 'KiB', (after.heldBytes - before.heldBytes) / 1024 / count),
    note('event-loop delay of the server, p99', 'ms', talking.loopDelayP99Ms),
    note(`of one core in use (saturated above ${SATURATED * 100})`, '%', busy * 100)
  ]
}

async function memoryOf (server: Server): Promise<ProbeReport> {
  // What waits for a finalizer is only collected the next time.
  await server.probe({ gc: true })
  return await server.probe({ gc: true })
}

/** The callers speak one after the other, at a steady pace. */
function talkOf (crowd: Crowd<RetellCaller>, turnsASecond: number): SteadyPace {
  let next = 0
  return new SteadyPace(turnsASecond, async () => {
    const caller = crowd.callers[next++ % crowd.callers.length]
    if (caller !== undefined) await turn(caller)
  })
}
