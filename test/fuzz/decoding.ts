/**
 * What must hold of whatever a decoder makes of the frames of one socket.
 */
import type { Provider, TurnReason } from '../../lib/contract/agent.js'
import { toMessages } from '../../lib/call/messages.js'
import type { Spoken } from '../../lib/call/spoken.js'
import { isObject, type JsonObject } from '../../lib/contract/json.js'
import { retellOutbound } from '../../lib/providers/retell/frames.js'
import { withoutWordTimings } from '../../lib/providers/retell/word-timings.js'
import type { Entry, ProviderEvent, Transcript, TurnId } from '../../lib/providers/codec.js'
import { newCodec } from '../helpers/call.js'
import { messageFaults } from '../helpers/valid-messages.js'
import { CANARY, type WireFrame } from './frames.js'

/** Which event a frame with this discriminator may be, besides one that is ignored. */
const KINDS: Readonly<Record<Provider, ReadonlyMap<unknown, ProviderEvent['type']>>> = {
  retell: new Map([
    ['ping_pong', 'keepalive'], ['pingpong', 'keepalive'], ['call_details', 'started'], ['update_only', 'update'],
    ['response_required', 'asked'], ['reminder_required', 'asked']
  ]),
  millis: new Map([
    ['start_call', 'started'], ['stream_request', 'asked'], ['partial_transcript', 'update'], ['playback_finished', 'played'], ['interrupt', 'interrupted']
  ])
}

// What an agent may have said and done before: a filler, a tool the samples know, and one they do not.
const SPOKEN: readonly Spoken[] = [
  { text: 'Hello. ', inPassing: [], tools: [] },
  {
    text: 'One moment. Yes?',
    inPassing: [[0, 12]],
    tools: [
      { id: 't', name: 'n', arguments: '{}', at: 12, runsOnce: false, result: 'done' },
      { id: 'own', name: 'n', arguments: '', at: 16, runsOnce: true, result: undefined }
    ],
    place: { utterances: 1, more: 0 }
  }
]

const PROTOTYPES = [Object.prototype, Array.prototype, Function.prototype].map(prototype => ({ prototype, keys: Reflect.ownKeys(prototype).length }))

/** Decodes frames one after the other, reads what is lazily read, and tells all that is wrong; empty when nothing is. */
export function decodingFaults (provider: Provider, frames: readonly WireFrame[]): string[] {
  const codec = newCodec(provider)
  const faults: string[] = []
  let last: TurnId = -Infinity
  for (const frame of frames) {
    try {
      const event = codec.decode(frame.data, frame.binary)
      judge(provider, frame, event, faults)
      if (event.type !== 'asked') continue
      // Millis promises no order.
      if (provider === 'retell' && event.id <= last) faults.push('a stale request is answered')
      last = event.id
    } catch (error) {
      faults.push(`it throws: ${(error as Error).stack}`)
    }
  }
  if (PROTOTYPES.some(({ prototype, keys }) => Reflect.ownKeys(prototype).length !== keys)) faults.push('a prototype is polluted')
  return faults
}

function judge (provider: Provider, { data, binary }: WireFrame, event: ProviderEvent, faults: string[]): void {
  const expect = (fulfilled: boolean, promise: string): void => { if (!fulfilled) faults.push(promise) }
  const parsed = binary ? undefined : parse(data)
  const expected = KINDS[provider].get(parsed?.[provider === 'retell' ? 'interaction_type' : 'type'])
  // An update is told from its first or last bytes.
  const isTold = event.type === 'ignored' || event.type === expected || (event.type === 'update' && provider === 'retell' && !binary)
  expect(isTold, `a frame is ${event.type}, not ${expected}`)
  switch (event.type) {
    case 'keepalive':
      expect(retellOutbound.ping_pong.Check(JSON.parse(event.reply)), 'a keepalive is answered with a wrong frame')
      break
    case 'started':
      expect(event.id === undefined || isPrintable(event.id), 'a call has an odd id')
      expect(event.id === undefined || isExact(members(parsed)['session_id'], event.id), 'a call has the id of another')
      expect(event.greeting === undefined || event.greeting === members(parsed)['stream_id'], 'a greeting has an id that nobody gave it')
      expect(event.facts.metadata === undefined || isObject(event.facts.metadata), 'metadata is no object')
      expect(Object.values(event.facts.variables ?? {}).every(value => typeof value === 'string'), 'a variable is no string')
      expect([event.facts.from, event.facts.to].every(number => number === undefined || (typeof number === 'string' && number !== '')), 'a number is none')
      break
    case 'asked':
      expect(event.id === (provider === 'retell' ? parsed?.['response_id'] : members(parsed)['stream_id']), 'a turn has an id that nobody gave it')
      expect(typeof event.id === 'string' || Number.isFinite(event.id), 'an id cannot be written as JSON')
      heard(event.transcript, event.reason, expect)
      break
    case 'update': {
      const update = event.read()
      expect(update?.transcript?.every(isUtterance) ?? true, 'an utterance is none')
      expect(update?.partial === undefined || typeof update.partial === 'string', 'a partial transcript is no text')
      break
    }
    case 'interrupted':
    case 'played':
      expect(event.id === members(parsed)['stream_id'], 'a turn has an id that nobody gave it')
      break
    case 'ignored':
      expect(!event.why.includes(CANARY) && !event.why.includes('\n') && event.why.length <= 80, `content is told: ${event.why}`)
      break
    default:
      faults.push(`no event is ${(event as { type: string }).type}`)
  }
}

function heard (transcript: Transcript, reason: TurnReason, expect: (fulfilled: boolean, promise: string) => void): void {
  expect(transcript.utterances().every(isUtterance), 'an utterance is none')
  const entries = transcript.entries()
  for (const spoken of [[], SPOKEN]) {
    for (const leadingAssistant of [false, true]) {
      const work = { reads: 0 }
      const messages = toMessages(counted(entries, work), reason, { leadingAssistant, afterTool: 'Done.', spoken })
      const [fault] = messageFaults(messages)
      expect(fault === undefined, `a model would reject the messages: ${fault}`)
      expect(work.reads <= READS_PER_ENTRY * (entries.length + 1), `${work.reads} reads for ${entries.length} entries`)
    }
  }
}

// For each entry, its index and its value in a few passes.
const READS_PER_ENTRY = 30

/** The same entries, and how often somebody looks at one. */
function counted (entries: readonly Entry[], work: { reads: number }): readonly Entry[] {
  return new Proxy(entries, {
    get (target, key) {
      work.reads++
      return Reflect.get(target, key)
    }
  })
}

function isUtterance (utterance: { role: unknown, content: unknown }): boolean {
  return typeof utterance.role === 'string' && typeof utterance.content === 'string'
}

function parse (data: Buffer): JsonObject | undefined {
  const text = data.toString()
  // The timings of words are not read, so that what is wrong with them does not count.
  for (const read of [text, withoutWordTimings(text)]) {
    try {
      const value: unknown = JSON.parse(read)
      return isObject(value) ? value : undefined
    } catch {}
  }
  return undefined
}

/** Millis puts members under `data`, or not. */
function members (frame: JsonObject | undefined): JsonObject {
  return isObject(frame?.['data']) ? { ...frame, ...frame['data'] } : frame ?? {}
}

function isPrintable (id: string): boolean {
  return id.length <= 256 && /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(id) && Buffer.from(id).toString() === id
}

// Numbers that JSON.parse may have rounded are the id of more than one call.
function isExact (given: unknown, id: string): boolean {
  return typeof given === 'number' ? Number.isSafeInteger(given) && String(given) === id : given === id
}
