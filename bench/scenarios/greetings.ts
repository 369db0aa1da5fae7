/**
 * New calls at a steady pace, each up to its greeting: what a call costs before anybody has said a word.
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { measured, nextCall } from '../crowd.js'
import { percentile } from '../statistics.js'
import { SteadyPace } from '../steady-pace.js'
import { calls, lower, note, type Scenario, slowWarmUpMs, warmUpMs } from './scenario.js'

/** A small part of what a server can take. */
const PER_SECOND = 200

export const greetings: Scenario = {
  name: 'greetings',
  model: 'bunch-50',
  baselines: ['route'],
  async run ({ server, size }) {
    const tally = new Tally()
    async function call (): Promise<void> {
      const caller = new RetellCaller({ url: server.url, call: nextCall(), tokens: 50, tally })
      await caller.begin()
      caller.hangUp()
    }
    // What runs seldom is compiled late.
    const rush = new SteadyPace(calls(size, PER_SECOND * 4), call)
    await rush.wait(slowWarmUpMs(size))
    await rush.stop()
    const coming = new SteadyPace(calls(size, PER_SECOND), call)
    await coming.wait(warmUpMs(size))
    const { counts, cpuMs, seconds, loopDelayP99Ms } = await measured(server, tally, () => coming.wait(size.seconds * 1000))
    await coming.stop()
    const greeted = counts.greetingMs.length
    return [
      lower('server CPU per new call', 'ms', cpuMs / greeted),
      lower('open to the first frame of the greeting, p50', 'ms', percentile(counts.greetingMs, 0.5)),
      lower('open to the first frame of the greeting, p99', 'ms', percentile(counts.greetingMs, 0.99)),
      lower('event-loop delay of the server, p99', 'ms', loopDelayP99Ms),
      note('new calls per second', '/s', greeted / seconds)
    ]
  }
}
