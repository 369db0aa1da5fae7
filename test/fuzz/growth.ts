/**
 * How the time that a frame takes grows with its size. Of the messages the tests count the work; of the decoders only the
 * time can be measured, which is no test's business.
 */
import type { Provider } from '../../lib/contract/agent.js'
import { toMessages } from '../../lib/call/messages.js'
import { newCodec } from '../helpers/call.js'

const retellAsks = (transcript: string, tools = '[]'): string =>
  `{"interaction_type":"response_required","response_id":1,"transcript":${transcript},"transcript_with_tool_calls":${tools}}`
const millisAsks = (transcript: string): string => `{"type":"stream_request","data":{"stream_id":1,"transcript":${transcript}}}`
const list = (entry: (n: number) => string, many: number): string => `[${Array.from({ length: many }, (_, n) => entry(n)).join()}]`
const talk = (n: number): string => `{"role":"${n % 2 === 0 ? 'user' : 'agent'}","content":"word ${n} "}`

/** Frames of about `size` bytes that would hurt a careless reader. */
const FRAMES: ReadonlyArray<readonly [what: string, provider: Provider, frame: (size: number) => string]> = [
  ['retell, nested lists', 'retell', size => retellAsks('['.repeat(size / 2) + ']'.repeat(size / 2))],
  ['retell, lists that are never closed', 'retell', size => '['.repeat(size)],
  ['retell, lists that are closed in strings', 'retell', size => '["]",'.repeat(size / 5)],
  ['retell, words that are lists in lists', 'retell', size => retellAsks(`[{"words":${'['.repeat(size / 2)}${']'.repeat(size / 2)}}]`)],
  ['retell, words with brackets', 'retell', size => retellAsks(list(() => '{"words":[{"word":"]","end":1}]}', size / 32))],
  ['retell, words that never end', 'retell', size => retellAsks('{"words":["]",'.repeat(size / 14))],
  ['retell, backslashes', 'retell', size => retellAsks(`[{"words":["${'\\\\'.repeat(size / 2)}]"]}]`)],
  ['retell, blanks in front', 'retell', size => `${' '.repeat(size)}{"interaction_type":"update_only","transcript":[]}`],
  ['retell, blanks behind', 'retell', size => `{"a":1,"interaction_type":"update_only"}${' '.repeat(size)}`],
  ['retell, one number', 'retell', size => `{"interaction_type":"ping_pong","timestamp":${'1'.repeat(size)}}`],
  ['retell, a timestamp as text', 'retell', size => `{"interaction_type":"ping_pong","timestamp":"${'1'.repeat(size)}"}`],
  ['retell, a discriminator', 'retell', size => `{"interaction_type":"${'a'.repeat(size)}"}`],
  ['retell, members', 'retell', size => `{${list(n => `"k${n}":1`, size / 10).slice(1, -1)},"interaction_type":"call_details"}`],
  ['retell, utterances', 'retell', size => retellAsks(list(talk, size / 40))],
  ['retell, utterances of one side', 'retell', size => retellAsks(list(n => `{"role":"user","content":"w${n}"}`, size / 40))],
  ['retell, tool calls', 'retell', size => retellAsks('[]', list(n => `{"role":"tool_call_invocation","tool_call_id":"${n}","name":"n"}`, size / 60))],
  ['retell, blank words', 'retell', size => retellAsks(`[{"role":"user","content":"${' '.repeat(size)}x${' '.repeat(size)}"}]`)],
  ['retell, an update', 'retell', size => `{"interaction_type":"update_only","transcript":${list(talk, size / 40)}}`],
  ['millis, utterances', 'millis', size => millisAsks(list(talk, size / 40))],
  ['millis, parts of an utterance', 'millis', size => millisAsks(`[{"role":"user","content":${list(() => '{"text":"a"}', size / 14)}}]`)],
  ['millis, a role', 'millis', size => millisAsks(`[{"role":"${'İ'.repeat(size / 2)}","content":"Hi"}]`)],
  ['millis, lists in lists', 'millis', size => millisAsks('['.repeat(size / 2) + ']'.repeat(size / 2))],
  ['millis, a session id', 'millis', size => `{"type":"start_call","data":{"session_id":"${'x'.repeat(size)}"}}`]
]

const SMALL_BYTES = 64 * 1024
/** How many times as much the larger frame is. */
export const FACTOR = 16
const RUNS = 7
// What is quadratic takes 256 times as long; garbage and caches do much to what is linear, and a busy machine does the rest.
const MOST = FACTOR ** 2 / 2

/** The growth of each. */
export function * growths (): Generator<{ what: string, growth: number, isLinear: boolean }> {
  for (const [what, provider, frame] of FRAMES) {
    const small = Buffer.from(frame(SMALL_BYTES))
    const large = Buffer.from(frame(FACTOR * SMALL_BYTES))
    fastest(provider, small)
    const growth = fastest(provider, large) / fastest(provider, small)
    yield { what, growth, isLinear: growth < MOST }
  }
}

/** How much CPU time a frame takes at best, in µs, with all that is read of it later. */
function fastest (provider: Provider, data: Buffer): number {
  let best = Infinity
  for (let run = 0; run < RUNS; run++) {
    const before = process.cpuUsage()
    const event = newCodec(provider).decode(data, false)
    if (event.type === 'update') event.read()
    if (event.type === 'asked') {
      event.transcript.utterances()
      toMessages(event.transcript.entries(), event.reason, { leadingAssistant: false, afterTool: 'Done.', spoken: [] })
    }
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, user + system)
  }
  return best
}
