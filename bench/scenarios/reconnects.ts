/**
 * One call with the pauses of real talk between its turns, in one of which the caller cuts in: does the connection to the
 * model outlive that? On loopback a new one costs next to nothing; against a real endpoint each costs two or three round
 * trips before the first token.
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { higher, lower, type Scenario, turn } from './scenario.js'

/** From the greeting to the first turn. */
const FIRST_PAUSE_MS = 2_000
const PAUSES_MS = [5_000, 7_000, 9_000, 11_000, 14_000]
/** After this pause the answer is talked over in the middle, and asked for again. */
const CUT_IN_AFTER_MS = 9_000
const TOKENS = 20

export const reconnects: Scenario = {
  name: 'reconnects',
  model: `paced-200-20-${TOKENS}`,
  apart: true,
  baselines: ['baseline', 'undici'],
  slow: true,
  once: true,
  async run ({ server, model }) {
    const crowd = new Crowd(options => new RetellCaller(options), server, TOKENS, new Tally())
    await crowd.dial(1)
    const [caller] = crowd.callers
    if (caller === undefined) throw new Error('no caller')
    await crowd.wait(FIRST_PAUSE_MS)
    const greeted = await model.stats()
    await turn(caller)
    const before = await model.stats()
    for (const pauseMs of PAUSES_MS) {
      await crowd.wait(pauseMs)
      if (pauseMs === CUT_IN_AFTER_MS) await caller.ask().heard(TOKENS / 2)
      await turn(caller)
    }
    const after = await model.stats()
    crowd.hangUp()
    return [
      higher('model connections open before the first turn', '', greeted.open),
      lower('new model connections in the 5 turns after the first', '', after.connections - before.connections)
    ]
  }
}
