/**
 * Calls that ask again as soon as they were answered, of a model that does not pause: how many tokens a core can carry.
 * Tokens are divided by the server's own CPU time, so that the callers and the model, who share the machine, do not count.
 */
import type { Caller, CallerOptions } from '../callers/caller.js'
import { MillisCaller } from '../callers/millis.js'
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import type { ServerName } from '../processes.js'
import { calls, higher, lower, type Scenario, turn, warmUpMs } from './scenario.js'

const TOKENS = 50

function throughput (name: string, model: string, baselines: readonly ServerName[], make: (options: CallerOptions) => Caller): Scenario {
  return {
    name,
    model: `${model}-${TOKENS}`,
    baselines,
    async run ({ server, size }) {
      const crowd = new Crowd(make, server, TOKENS, new Tally())
      await crowd.dial(calls(size, 50))
      crowd.talk(turn)
      await crowd.wait(warmUpMs(size))
      const { counts, cpuMs } = await crowd.measure(size.seconds * 1000)
      await crowd.stop()
      crowd.hangUp()
      return [
        higher('tokens per second of one core', '/s', counts.tokens / cpuMs * 1000),
        lower('server CPU per turn', 'ms', cpuMs / counts.replies)
      ]
    }
  }
}

/** The model writes each reply at once. */
export const bunch = throughput('bunch', 'bunch', ['baseline', 'undici'], options => new RetellCaller(options))

/** The model writes token by token, without a pause. */
export const stream = throughput('stream', 'stream', ['baseline', 'undici'], options => new RetellCaller(options))

/** The same as `bunch`, spoken in Millis' protocol. */
export const millis = throughput('millis', 'bunch', ['baseline'], options => new MillisCaller(options))
