/**
 * `npm run fuzz`: many more frames, calls and answers of models than the tests have time for. Exits with 1 when something was found, which it
 * prints together with how to see it again, and with 2 when it was called wrongly.
 */
import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import FakeTimers from '@sinonjs/fake-timers'
import fc from 'fast-check'
import type { Provider } from '../../lib/contract/agent.js'
import { play } from '../contract/world.js'
import { replayAnswers } from './answers.js'
import { anyCall } from './calls.js'
import { decodingFaults } from './decoding.js'
import { anyFrame } from './frames.js'
import { FACTOR, growths } from './growth.js'

const USAGE = `npm run fuzz -- [options]

  --frames N   frames to decode, at least (300000)
  --calls N    whole calls to play (6000)
  --answers N  answers of models to replay, all there are being some 4,000 (all)
  --seed N     of the first batch; the others count up (1)
`

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const PROVIDERS: readonly Provider[] = ['retell', 'millis']
const FRAMES_PER_SOCKET = 20

// A seed is worth so many: a finding is seen again by playing its batch.
const SOCKETS_PER_BATCH = 1_000
const CALLS_PER_BATCH = 500

interface Batch {
  /** How many frames, or calls, were tried. */
  readonly tried: number
  /** A finding, told in words. */
  readonly finding?: string
}

function number (option: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${option} is a whole number`)
  return value
}

function readOptions (): { frames: number, calls: number, answers: number, seed: number } {
  try {
    const { values: { frames, calls, answers, seed } } = parseArgs({
      options: {
        frames: { type: 'string', default: '300000' },
        calls: { type: 'string', default: '6000' },
        answers: { type: 'string', default: '1000000' },
        seed: { type: 'string', default: '1' }
      }
    })
    return { frames: number('frames', frames), calls: number('calls', calls), answers: number('answers', answers), seed: number('seed', seed) }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

function findingOf<T> ({ failed, seed, counterexample, errorInstance }: fc.RunDetails<[T]>, provider: Provider): Pick<Batch, 'finding'> {
  if (!failed) return {}
  return { finding: `${provider}, seed ${seed}: ${JSON.stringify(counterexample, bytesInBase64)}\n${(errorInstance as Error).message}` }
}

// As the corpus has them.
function bytesInBase64 (_key: string, value: unknown): unknown {
  const isBytes = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value
  return isBytes ? Buffer.from(value.data as number[]).toString('base64') : value
}

function decode (provider: Provider, seed: number, atMost: number): Batch {
  let tried = 0
  const sockets = Math.min(SOCKETS_PER_BATCH, Math.ceil(atMost / FRAMES_PER_SOCKET))
  const details = fc.check(fc.property(fc.array(anyFrame(provider), { minLength: FRAMES_PER_SOCKET, maxLength: FRAMES_PER_SOCKET }), frames => {
    tried += frames.length
    assert.deepEqual(decodingFaults(provider, frames), [])
  }), { numRuns: sockets, seed })
  return { tried, ...findingOf(details, provider) }
}

async function call (provider: Provider, seed: number, atMost: number, clock: FakeTimers.Clock): Promise<Batch> {
  const details = await fc.check(fc.asyncProperty(anyCall(provider), async scenario => {
    assert.deepEqual(await play(scenario, clock), [])
  }), { numRuns: Math.min(CALLS_PER_BATCH, atMost), seed })
  return { tried: details.numRuns, ...findingOf(details, provider) }
}

/** Runs batches until so many were tried, and says how it goes. @returns whether nothing was found */
async function fuzz (what: string, many: number, firstSeed: number, batch: (provider: Provider, seed: number, atMost: number) => Batch | Promise<Batch>): Promise<boolean> {
  const start = process.hrtime.bigint()
  let tried = 0
  let quarter = 0
  let isClean = true
  for (let seed = firstSeed; ; seed++) {
    while (quarter <= 4 && tried >= many * quarter / 4) {
      const seconds = Number(process.hrtime.bigint() - start) / 1e9
      collectGarbage()
      const speed = seconds > 1 ? `, ${Math.round(tried / seconds)} a second` : ''
      process.stdout.write(`${tried} ${what} in ${seconds.toFixed(1)} s${speed}; ${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB resident\n`)
      quarter++
    }
    if (tried >= many) return isClean
    for (const provider of PROVIDERS) {
      const { tried: more, finding } = await batch(provider, seed, many - tried)
      tried += more
      if (finding === undefined) continue
      isClean = false
      process.stdout.write(`FOUND, ${finding}\n`)
    }
  }
}

const { frames, calls, answers, seed } = readOptions()
const unhandled: unknown[] = []
process.on('unhandledRejection', reason => { unhandled.push(reason) })

let isClean = await fuzz('frames', frames, seed, decode)
for (const { what, growth, isLinear } of frames > 0 ? growths() : []) {
  process.stdout.write(`${isLinear ? '' : 'FOUND, '}${what}: ${FACTOR} times as much takes ${growth.toFixed(1)} times as long\n`)
  isClean &&= isLinear
}
// Timers of the calls are a clock's, so that hours of calls pass in seconds.
const clock = FakeTimers.install({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
isClean = await fuzz('calls', calls, seed, (provider, seed, atMost) => call(provider, seed, atMost, clock)) && isClean
clock.uninstall()
isClean = await replayAnswers(answers) && isClean
for (const reason of unhandled) process.stdout.write(`FOUND, nobody handled: ${String(reason)}\n`)
process.exitCode = isClean && unhandled.length === 0 ? 0 : 1
