/**
 * One call has lasted for hours, and its updates have grown to 1 MiB. What do the first words of the other calls wait?
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { updateFrames } from '../callers/updates.js'
import { Crowd } from '../crowd.js'
import { percentile } from '../statistics.js'
import { calls, lower, type Scenario, turnAfter, warmUpMs } from './scenario.js'

const BYTES = 2 ** 20
const EVERY_MS = 200
const TOKENS = 20

export const longCall: Scenario = {
  name: 'long-call',
  model: `paced-100-10-${TOKENS}`,
  baselines: ['baseline'],
  async run ({ server, size }) {
    const [frame] = updateFrames(BYTES, 1)
    if (frame === undefined) throw new Error('no frame')
    const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())
    const others = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())
    await crowd.dial(calls(size, 50))
    await others.dial(1)
    const [long] = others.callers
    if (long === undefined) throw new Error('no caller')
    crowd.talk(caller => turnAfter(caller, 300))
    await crowd.wait(500 + warmUpMs(size))
    const ms = size.seconds * 1000
    const without = await crowd.measure(ms)
    const sending = setInterval(() => long.update(frame), EVERY_MS)
    const during = await crowd.measure(ms)
    clearInterval(sending)
    await crowd.stop()
    // Alone, because next to the turns' own CPU time that of the updates would drown in noise.
    const frames = Array.from({ length: Math.ceil(size.seconds * 4) }, () => frame)
    await long.updateAll(frames.slice(0, 1))
    const before = await server.probe()
    await long.updateAll(frames)
    const after = await server.probe()
    others.hangUp()
    crowd.hangUp()
    const mib = frames.length * frame.length / 2 ** 20
    return [
      lower('added to the first token of others, p99, without', 'ms', percentile(without.counts.addedMs, 0.99)),
      lower('added to the first token of others, p99, with', 'ms', percentile(during.counts.addedMs, 0.99)),
      lower('server CPU per MiB of updates', 'ms', (after.cpuUs - before.cpuUs) / 1000 / mib)
    ]
  }
}
