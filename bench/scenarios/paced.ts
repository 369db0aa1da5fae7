/**
 * Calls at talking pace: what an ordinary day looks like. The server is far from busy, so this shows the cost of a
 * token and the delay the server adds, not how much it can take.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { percentile } from '../statistics.js'
import { calls, lower, note, type Scenario, slowWarmUpMs, turnAfter } from './scenario.js'

const RESOLUTION_MS = 10

export const paced: Scenario = {
  name: 'paced',
  model: 'paced-200-20-40',
  baselines: ['baseline', 'undici'],
  async run ({ server, size }) {
    const crowd = new Crowd(options => new RetellCaller(options), server, 40, new Tally())
    await crowd.dial(calls(size, 200))
    // Long enough that the server is at half of a core at most: what is asked here is not how much it can take.
    const pauseMs = size.quick ? 200 : 2000
    crowd.talk(caller => turnAfter(caller, pauseMs))
    // Everybody's first turn has to be under way before the mix of speech and pauses is an even one.
    await crowd.wait(pauseMs * 1.5 + slowWarmUpMs(size))
    const harness = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    harness.enable()
    // No turn is shorter than a second, so shorter stretches would have no replies in them.
    const { counts, cpuMs, loopDelayP99Ms } = await crowd.measure(Math.max(size.seconds, 1.2) * 1000)
    harness.disable()
    await crowd.stop()
    crowd.hangUp()
    return [
      lower('server CPU per 1,000 tokens', 'ms', cpuMs / counts.tokens * 1000),
      lower('added to the first token, p50', 'ms', percentile(counts.addedMs, 0.5)),
      lower('added to the first token, p99', 'ms', percentile(counts.addedMs, 0.99)),
      lower('keep-alive answered, p99', 'ms', percentile(counts.keepaliveMs, 0.99)),
      lower('event-loop delay of the server, p99', 'ms', loopDelayP99Ms),
      note('event-loop delay of the callers, p99', 'ms', Math.max(0, harness.percentile(99) / 1e6 - RESOLUTION_MS))
    ]
  }
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
