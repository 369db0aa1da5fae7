/**
 * One call has lasted for hours, and its updates have grown to 1 MiB. What do the first words of the other calls wait?
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { updateFrames } from '../callers/updates.js'
import { Crowd } from '../crowd.js'
import { startServer, type Server } from '../processes.js'
import { percentile } from '../statistics.js'
import { calls, lower, note, type Scenario, turnAfter, warmUpMs } from './scenario.js'

const BYTES = 2 ** 20
const EVERY_MS = 200
const TOKENS = 20

export const longCall: Scenario = {
  name: 'long-call',
  model: `paced-100-10-${TOKENS}`,
  baselines: ['baseline'],
  async run ({ server, model, size }) {
    const [frame] = updateFrames(BYTES, 1)
    if (frame === undefined) throw new Error('no frame')
    const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())
    await crowd.dial(calls(size, 50))
    const dialLong = async (where: Server): Promise<RetellCaller> => {
      const one = new Crowd(options => new RetellCaller(options), where, TOKENS, new Tally())
      await one.dial(1)
      return one.callers[0]!
    }
    const long = await dialLong(server)
    const elsewhere = await startServer('plugin', model, longCall.model)
    const aside = await dialLong(elsewhere)
    crowd.talk(caller => turnAfter(caller, 300))
    await crowd.wait(500 + warmUpMs(size))
    const ms = size.seconds * 1000
    const p99During = async (to?: RetellCaller): Promise<number> => {
      const sending = setInterval(() => to?.update(frame), EVERY_MS)
      const { counts } = await crowd.measure(ms)
      clearInterval(sending)
      return percentile(counts.addedMs, 0.99)
    }
    const without = await p99During()
    const during = await p99During(long)
    // What it is to the callers, and to the machine, to send so much.
    const meanwhile = await p99During(aside)
    await crowd.stop()
    // Alone, because next to the turns' own CPU time that of the updates would drown in noise.
    const frames = Array.from({ length: Math.ceil(size.seconds * 4) }, () => frame)
    await long.updateAll(frames.slice(0, 1))
    const before = await server.probe()
    await long.updateAll(frames)
    const after = await server.probe()
    for (const caller of [long, aside]) caller.hangUp()
    crowd.hangUp()
    await elsewhere.stop()
    const mib = frames.length * frame.length / 2 ** 20
    return [
      lower('added to the first token of others, p99, without', 'ms', without),
      lower('added to the first token of others, p99, with', 'ms', during),
      note('added to the first token of others, p99, with them to another server', 'ms', meanwhile),
      lower('server CPU per MiB of updates', 'ms', (after.cpuUs - before.cpuUs) / 1000 / mib)
    ]
  }
}
