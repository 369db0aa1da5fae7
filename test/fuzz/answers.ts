/**
 * All answers of the corpus, in all ways of delivery, over both providers, with and without the speech filter.
 */
import { cuts } from '../agents/openai/corpus/cuts.js'
import { servers } from '../agents/openai/corpus/index.js'
import { openReplay } from '../agents/openai/corpus/replay.js'

const CASES = (['retell', 'millis'] as const).flatMap(provider => [true, false].map(speakable => ({ provider, speakable })))

/** Replays at most so many answers, and says how it went. @returns whether all were heard as they were meant */
export async function replayAnswers (atMost: number): Promise<boolean> {
  const start = process.hrtime.bigint()
  let tried = 0
  let isClean = true
  for (const { provider, speakable } of CASES) {
    const replay = await openReplay(provider, speakable)
    for (const { name, recordings } of servers) {
      for (const recording of recordings) {
        for (const cut of cuts) {
          if (tried >= atMost) continue
          tried++
          const fault = await replay.play(recording, cut)
          if (fault === undefined) continue
          isClean = false
          process.stdout.write(`FOUND, ${provider}, ${speakable ? 'with' : 'without'} the filter, ${name}: ${recording.about}, ${cut.name}: ${fault}\n`)
        }
      }
    }
    await replay.close()
  }
  process.stdout.write(`${tried} answers in ${(Number(process.hrtime.bigint() - start) / 1e9).toFixed(1)} s\n`)
  return isClean
}
