/**
 * Calls in which nobody speaks: only keep-alives, every 2 s. What a call holds, and what it costs to keep.
 */
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { affordable } from '../open-files.js'
import { readRedis } from '../redis-meter.js'
import { lower, note, type Scenario } from './scenario.js'

const CALLS = 5_000
const AT_ONCE = 1_000
const KEEPALIVE_ROUND_MS = 2000

export const idle: Scenario = {
  name: 'idle',
  model: 'bunch-50',
  apart: true,
  baselines: ['baseline', 'route'],
  async run (bench) {
    const { server, size } = bench
    const count = affordable(size.calls ?? (size.quick ? 100 : CALLS), bench)
    const crowd = new Crowd(options => new RetellCaller(options), server, 50, new Tally())
    // The first calls compile code and fill pools that all later ones share.
    await crowd.dial(Math.ceil(count / 10))
    crowd.hangUp()
    await crowd.wait(200)
    const before = await server.probe({ gc: true })
    const keptBefore = server.redis && await readRedis(server.redis)
    // Whoever was dialled in one go would show where the collector stood in its cycle when the last call came.
    for (let left = count; left > 0; left -= AT_ONCE) {
      await crowd.dial(Math.min(left, AT_ONCE))
      await server.probe({ gc: true })
    }
    if (!size.quick) await crowd.wait(KEEPALIVE_ROUND_MS)
    const { counts, cpuMs } = await crowd.measure(size.quick ? KEEPALIVE_ROUND_MS : KEEPALIVE_ROUND_MS * 3)
    const after = await server.probe({ gc: true })
    const kept = server.redis && await readRedis(server.redis)
    crowd.hangUp()
    return [
      note('calls', '', count),
      lower('resident memory of the process', 'MiB', after.rssBytes / 2 ** 20),
      lower('resident memory per call', 'KiB', (after.rssBytes - before.rssBytes) / 1024 / count),
      lower('heap and buffers held per call', 'KiB', (after.heldBytes - before.heldBytes) / 1024 / count),
      lower('server CPU per 1,000 keep-alives', 'ms', cpuMs / counts.keepalives * 1000),
      ...(kept === undefined || keptBefore === undefined ? [] : [lower('what Redis keeps, per call', 'KiB', (kept.bytes - keptBefore.bytes) / 1024 / count)])
    ]
  }
}

/** The same on a node that shares its calls, beside one that does not. */
export const clusteredIdle: Scenario = {
  ...idle,
  name: 'clustered-idle',
  subject: 'clustered',
  baselines: ['plugin'],
  named: true
}
