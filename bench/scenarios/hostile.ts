/**
 * Well-behaved calls beside hundreds of sockets that do all that is known to hurt a server, one after the other. Does
 * memory grow, are callers kept waiting, and is anything left when they have gone?
 */
import { setTimeout as delay } from 'node:timers/promises'
import { attack, attacksBegun } from '../callers/attacks.js'
import { RetellCaller } from '../callers/retell.js'
import { Tally } from '../callers/tally.js'
import { Crowd } from '../crowd.js'
import { Population } from '../population.js'
import { median, percentile } from '../statistics.js'
import { type Bench, calls, lower, note, type Scenario, slowWarmUpMs, turnAfter } from './scenario.js'

const CALLS = 50
const ATTACKERS = 200
const PAUSE_MS = 2_000
const MIN_SECONDS = 20
const SAMPLE_MS = 2_000
/** Who reached a ceiling is read no more, and hung up on after 20 s; who does not answer that, within 10 s more. */
const REST_MS = 35_000
const MIB = 2 ** 20

export const hostile: Scenario = {
  name: 'hostile',
  model: 'paced-200-20-40',
  alone: true,
  once: true,
  env: {
    MAX_FRAMES_PER_SECOND: '100',
    // No attacker waits to be dialled again.
    RECONNECT_GRACE_MS: '0'
  },
  async run (bench) {
    const { server, size, progress } = bench
    const ms = Math.max(size.seconds, size.quick ? 4 : MIN_SECONDS) * 1000
    const tally = new Tally()
    const crowd = new Crowd(options => new RetellCaller(options), server, 40, tally)
    await crowd.dial(calls(size, CALLS))
    crowd.talk(caller => turnAfter(caller, size.quick ? 200 : PAUSE_MS))
    await crowd.wait(slowWarmUpMs(size))
    const alone = await crowd.measure(size.quick ? 2_000 : Math.min(ms, 20_000))
    const before = await rest(bench)

    const population = new Population(calls(size, ATTACKERS), 1_000, async stopping => await attack(server.url, stopping))
    await crowd.wait(slowWarmUpMs(size))
    const begunBefore = attacksBegun()
    const resident: number[] = []
    const delays: number[] = []
    const measuring = crowd.measure(ms)
    const sampling = (async () => {
      for (const startedAt = performance.now(); performance.now() - startedAt < ms - SAMPLE_MS;) {
        await population.wait(Math.min(SAMPLE_MS, ms / 4))
        const { rssBytes, loopDelayP99Ms } = await server.probe()
        resident.push(rssBytes / MIB)
        delays.push(loopDelayP99Ms)
        if (resident.length % 10 === 0) progress(`resident ${(rssBytes / MIB).toFixed(1)} MiB after ${attacksBegun() - begunBefore} attacks\n`)
      }
    })()
    const [under] = await Promise.all([measuring, sampling])
    const attacks = attacksBegun() - begunBefore
    await population.stop()
    await crowd.wait(REST_MS)
    await crowd.stop()
    const after = await rest(bench)
    crowd.hangUp()
    if (after.sockets > before.sockets) throw new Error(`${after.sockets - before.sockets} sockets are left of ${attacks} attacks`)
    if (after.calls !== before.calls) throw new Error(`${after.calls - before.calls} calls are left of ${attacks} attacks`)
    const quarter = Math.ceil(resident.length / 4)
    return [
      note('attacks', '', attacks),
      note('answers heard beside them', '', under.counts.replies),
      lower('added to the first token, p99, without attacks', 'ms', percentile(alone.counts.addedMs, 0.99)),
      lower('added to the first token, p99, under attack', 'ms', percentile(under.counts.addedMs, 0.99)),
      lower('added to the first token, p50, under attack', 'ms', percentile(under.counts.addedMs, 0.5)),
      lower('event-loop delay of the server, p99, median of stretches of 2 s', 'ms', median(delays)),
      lower('event-loop delay of the server, p99, worst stretch', 'ms', Math.max(...delays)),
      note('server CPU under attack', '% of a core', under.cpuMs / under.seconds / 10),
      note('resident memory before', 'MiB', before.rssMib),
      note('resident memory, first quarter, median', 'MiB', median(resident.slice(0, quarter))),
      note('resident memory, last quarter, median', 'MiB', median(resident.slice(-quarter))),
      note('resident memory, most', 'MiB', Math.max(...resident)),
      note('resident memory afterwards', 'MiB', after.rssMib),
      lower('heap and buffers left', 'MiB', after.heldMib - before.heldMib),
      lower('sockets left', '', after.sockets - before.sockets),
      lower('open files left', '', after.files - before.files)
    ]
  }
}

async function rest ({ server, model }: Bench): Promise<{ calls: number, sockets: number, files: number, rssMib: number, heldMib: number }> {
  await server.probe({ gc: true })
  await delay(200)
  const { calls = NaN, heldBytes, rssBytes, openFiles, resources } = await server.probe({ gc: true })
  const { open } = await model.stats()
  return {
    calls,
    // Connections to the model come and go.
    sockets: (resources['TCPSocketWrap'] ?? 0) - open,
    files: openFiles - open,
    rssMib: rssBytes / MIB,
    heldMib: heldBytes / MIB
  }
}
