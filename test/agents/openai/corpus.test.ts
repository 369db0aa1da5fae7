/**
 * Answers in the shapes of 26 models' servers, delivered in eleven ways to callers of both providers. This is a sample of all combinations;
 * `npm run fuzz` replays them all.
 */
import t from 'tap'
import { cuts } from './corpus/cuts.js'
import { servers } from './corpus/index.js'
import { openReplay } from './corpus/replay.js'

const replays = await Promise.all(([['retell', true], ['millis', false], ['millis', true], ['retell', false]] as const).map(async ([provider, speakable]) => await openReplay(provider, speakable)))
t.teardown(() => Promise.all(replays.map(replay => replay.close())))

t.test('the corpus has 26 servers, and no more answers than are looked after', async t => {
  t.equal(new Set(servers.map(({ name }) => name)).size, 26)
  t.ok(servers.flatMap(({ recordings }) => recordings).length <= 120)
})

for (const [number, { name, recordings }] of servers.entries()) {
  t.test(`answers of ${name} are heard as they were meant, however they are delivered`, async t => {
    for (const [index, recording] of recordings.entries()) {
      for (const [place, cut] of cuts.entries()) {
        // Every server, answer and cut meets every provider and both filters over time.
        const replay = replays[(number + index + place) % replays.length]!
        t.equal(await replay.play(recording, cut), undefined, `${recording.about}, ${cut.name}`)
      }
    }
  })
}
