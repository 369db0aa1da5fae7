/**
 * Updates of the transcript that nobody in the server wants: what does it cost to receive and ignore them? They come
 * in bursts, as many as a turn of a real call brings, each burst closed by a keep-alive that shows they were read.
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { updateFrames } from '../callers/updates.js'
import { Crowd } from '../crowd.js'
import { calls, lower, type Scenario, turn, warmUpMs } from './scenario.js'

const BYTES = 6 * 1024
const UPDATES_A_TURN = 50
const TOKENS = 50

export const updates: Scenario = {
  name: 'updates',
  model: `bunch-${TOKENS}`,
  baselines: ['baseline'],
  async run ({ server, size }) {
    const frames = updateFrames(BYTES, UPDATES_A_TURN)
    const mib = frames.reduce((sum, frame) => sum + frame.length, 0) / 2 ** 20 / frames.length
    const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())
    await crowd.dial(calls(size, 20))
    crowd.talk(caller => caller.updateAll(frames))
    await crowd.wait(warmUpMs(size))
    const { counts, cpuMs } = await crowd.measure(size.seconds * 1000)
    await crowd.stop()
    // The calls have to be none the worse for it.
    await Promise.all(crowd.callers.map(turn))
    crowd.hangUp()
    return [
      lower('server CPU per update of 6 KiB', 'us', cpuMs / counts.updates * 1000),
      lower('server CPU per MiB of such updates', 'ms', cpuMs / counts.updates / mib)
    ]
  }
}
