/**
 * One call with the pauses of real talk between its turns: does the connection to the model outlive them? On loopback
 * a new one costs next to nothing; against a real endpoint each costs two or three round trips before the first token.
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { lower, type Scenario, turn } from './scenario.js'

const PAUSES_MS = [5_000, 7_000, 9_000, 11_000, 14_000]

export const reconnects: Scenario = {
  name: 'reconnects',
  model: 'paced-200-20-20',
  slow: true,
  async run ({ server, model }) {
    const crowd = new Crowd(options => new RetellCaller(options), server, 20, new Tally())
    await crowd.dial(1)
    const [caller] = crowd.callers
    if (caller === undefined) throw new Error('no caller')
    await turn(caller)
    const before = await model.stats()
    for (const pauseMs of PAUSES_MS) {
      await crowd.wait(pauseMs)
      await turn(caller)
    }
    const after = await model.stats()
    crowd.hangUp()
    return [lower('new model connections in the 5 turns after the first', '', after.connections - before.connections)]
  }
}
