/**
 * The caller barges in on every turn: at once, before the first token, and at several points of the reply. The newer
 * request is answered in full. A frame of a dead turn after the server has read the newer request fails the run; what
 * is counted here is waste.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { percentile } from '../statistics.js'
import { calls, lower, type Scenario, warmUpMs } from './scenario.js'

const FIRST_MS = 60
const TOKENS = 20

export const supersede: Scenario = {
  name: 'supersede',
  model: `paced-${FIRST_MS}-10-${TOKENS}`,
  apart: true,
  baselines: ['baseline'],
  async run ({ server, model, size }) {
    const tally = new Tally()
    const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, tally)
    // Few enough that no frame waits in a queue: a busy server wastes more, which is another matter.
    await crowd.dial(calls(size, 20))
    crowd.talk(bargeIn)
    await crowd.wait(500 + warmUpMs(size))
    await crowd.stop()
    await crowd.wait(100)
    const before = await model.stats()
    crowd.talk(bargeIn)
    const { counts, cpuMs } = await crowd.measure(size.seconds * 1000)
    await crowd.stop()
    // The model hears of the last cancellation a moment later than the caller of the last answer.
    await crowd.wait(100)
    const after = await model.stats()
    // The model's counts reach from standstill to standstill, so the callers' must as well.
    const tail = tally.take()
    const superseded = counts.superseded + tail.superseded
    const unheard = after.completed - before.completed - counts.replies - tail.replies
    crowd.hangUp()
    return [
      lower('frames wasted per 1,000 barge-ins', '', counts.lateFrames / counts.superseded * 1000),
      lower('model requests not cancelled', '', unheard),
      lower('model requests not cancelled per 1,000 barge-ins', '', unheard / superseded * 1000),
      lower('new model connections per 1,000 requests', '', (after.connections - before.connections) / (after.requests - before.requests) * 1000),
      lower('added to the first token, p99', 'ms', percentile(counts.addedMs, 0.99)),
      lower('server CPU per 1,000 barge-ins', 'ms', cpuMs / counts.superseded * 1000)
    ]
  }
}

const POINTS: readonly ((caller: RetellCaller) => Promise<void>)[] = [
  async caller => { caller.ask() },
  async caller => {
    caller.ask()
    await delay(FIRST_MS / 2)
  },
  caller => caller.ask().heard(1),
  caller => caller.ask().heard(5),
  caller => caller.ask().heard(TOKENS - 2)
]

let round = 0

async function bargeIn (caller: RetellCaller): Promise<void> {
  await delay(50 * Math.random())
  await POINTS[round++ % POINTS.length]?.(caller)
  const reply = caller.ask()
  caller.fence()
  await caller.hear(reply)
}
