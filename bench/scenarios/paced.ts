/**
 * Calls at talking pace: what an ordinary day looks like. The server is far from busy, so this shows the cost of a
 * token and the delay the server adds, not how much it can take.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { readRedis } from '../redis-meter.js'
import { percentile } from '../statistics.js'
import { calls, lower, note, type Bench, type Figure, type Scenario, slowWarmUpMs, turnAfter } from './scenario.js'

const RESOLUTION_MS = 10
/** Of an answer. */
const TOKENS = 40

export const paced: Scenario = {
  name: 'paced',
  model: 'paced-200-20-40',
  baselines: ['baseline', 'undici'],
  async run ({ server, size }) {
    const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())
    await crowd.dial(calls(size, 200))
    // Long enough that the server is at half of a core at most: what is asked here is not how much it can take.
    const pauseMs = size.quick ? 200 : 2000
    crowd.talk(caller => turnAfter(caller, pauseMs))
    // Everybody's first turn has to be under way before the mix of speech and pauses is an even one.
    await crowd.wait(pauseMs * 1.5 + slowWarmUpMs(size))
    const harness = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    harness.enable()
    // No turn is shorter than a second, so shorter stretches would have no replies in them.
    const redis = await meterRedis(server)
    const { counts, cpuMs, loopDelayP99Ms } = await crowd.measure(Math.max(size.seconds, 1.2) * 1000)
    const shared = await redis?.(counts.tokens / TOKENS) ?? []
    harness.disable()
    await crowd.stop()
    crowd.hangUp()
    return [
      lower('server CPU per 1,000 tokens', 'ms', cpuMs / counts.tokens * 1000),
      lower('added to the first token, p50', 'ms', percentile(counts.addedMs, 0.5)),
      lower('added to the first token, p99', 'ms', percentile(counts.addedMs, 0.99)),
      lower('keep-alive answered, p99', 'ms', percentile(counts.keepaliveMs, 0.99)),
      lower('event-loop delay of the server, p99', 'ms', loopDelayP99Ms),
      note('event-loop delay of the callers, p99', 'ms', Math.max(0, harness.percentile(99) / 1e6 - RESOLUTION_MS)),
      ...shared
    ]
  }
}

/** What turns cost the Redis that a server shares with others. */
async function meterRedis ({ redis }: Bench['server']): Promise<((turns: number) => Promise<Figure[]>) | undefined> {
  if (redis === undefined) return undefined
  const before = await readRedis(redis)
  return async turns => {
    const after = await readRedis(redis)
    return [
      note('commands to Redis, per turn', '', (after.scripts - before.scripts) / turns),
      note('CPU of Redis, per 1,000 turns', 'ms', (after.cpuMs - before.cpuMs) / turns * 1000),
      note('what Redis keeps of a call grows by, per turn', 'B', (after.bytes - before.bytes) / turns)
    ]
  }
}

/** The same on a node that shares its calls, beside one that does not. */
export const clustered: Scenario = {
  ...paced,
  name: 'clustered',
  subject: 'clustered',
  baselines: ['plugin'],
  named: true
}

/** What telemetry costs whoever writes it by hand. */
export const telemetryByHand: Scenario = {
  ...paced,
  name: 'telemetry-by-hand',
  subject: 'undici-telemetry',
  baselines: ['undici'],
  named: true
}

/** The same with all telemetry on, beside the same without. */
export const telemetry: Scenario = {
  ...paced,
  name: 'telemetry',
  subject: 'telemetry',
  baselines: ['plugin'],
  named: true
}

/** And with the requests to the model instrumented, as the example app has them. */
export const instrumented: Scenario = { ...telemetry, name: 'instrumented', env: { INSTRUMENTED: '1' } }
