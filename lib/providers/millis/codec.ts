/**
 * Millis' words to ours and back.
 */
import type { TerminalAction } from '../../contract/agent.js'
import { ActionError } from '../../contract/errors.js'
import { isObject, nonEmpty, type JsonObject } from '../../contract/json.js'
import { directionOf, malformed, parseFrame, unknownFrame, violation } from '../frame.js'
import type { ActionFrames, CallFacts, Feature, LeavingAction, Codec, ProviderEvent, SpeechOptions, TurnId } from '../codec.js'
import { millisInbound, sessionIdOf, type MillisControlFrames, type MillisFrame } from './frames.js'
import { millisTranscript } from './transcript.js'

/** Actions that its protocol has a frame for. */
export const MILLIS_FEATURES: ReadonlySet<Feature> = new Set<Feature>(['flush', 'pause'])

/** One socket of Millis. */
export class MillisCodec implements Codec {
  readonly provider = 'millis'
  readonly hangsUp = false
  // What it does with it is not documented; 1001 says what is the case.
  readonly redialCode = 1001
  readonly features = MILLIS_FEATURES
  // Before start_call there is no stream id that a frame could carry.
  readonly opening = []

  readonly #control: MillisControlFrames

  constructor (control: MillisControlFrames) {
    this.#control = control
  }

  decode (data: Buffer, binary: boolean): ProviderEvent {
    const frame = parseFrame(data, binary)
    if (typeof frame === 'string') return malformed(frame)
    switch (frame['type']) {
      case 'start_call':
        return started(frame)
      case 'stream_request':
        return asked(flat(frame))
      case 'partial_transcript':
        return partial(flat(frame))
      case 'playback_finished':
        return streamEvent('played', flat(frame))
      case 'interrupt':
        return streamEvent('interrupted', flat(frame))
      default:
        return unknownFrame(frame['type'])
    }
  }

  speech (id: TurnId, text: string, options: SpeechOptions = {}): string {
    return encode({
      type: 'stream_response',
      data: {
        stream_id: id,
        content: text,
        ...(options.flush && { flush: true as const }),
        ...(options.pauseMs !== undefined && { pause: options.pauseMs }),
        end_of_stream: false
      }
    })
  }

  completion (id: TurnId, text: string, spoken: boolean, action?: TerminalAction): ActionFrames {
    const last = encode({
      type: 'stream_response',
      data: { stream_id: id, content: text, ...(text !== '' && { flush: true as const }), end_of_stream: true }
    })
    if (action === undefined) return { now: [last], afterPlayback: [] }
    const frame = this.#actionFrame(id, action)
    // Whether the control frames cut queued audio is unknown, so they wait until it was played.
    return spoken || text !== '' ? { now: [last], afterPlayback: [frame] } : { now: [last, frame], afterPlayback: [] }
  }

  control (_n: number, last: TurnId | undefined, action: LeavingAction): ActionFrames {
    if (last !== undefined && action.say !== '') return this.completion(last, action.say, false, action)
    return { now: [this.#actionFrame(last, action)], afterPlayback: [] }
  }

  #actionFrame (id: TurnId | undefined, action: TerminalAction): string {
    const frame = action.action === 'transfer-call'
      ? this.#control.transferCall(id, action.destination)
      : this.#control.endCall(id)
    if (!isObject(frame)) throw new ActionError('millis.controlFrames: a function returned no object')
    return JSON.stringify(frame)
  }
}

function encode (frame: MillisFrame): string {
  return JSON.stringify(frame)
}

// Most frames have their members under `data`, `interrupt` has them on top, and no version is promised.
// Only the members that are read are copied: a frame from a stranger may have a million others.
function flat (frame: JsonObject): JsonObject {
  const data = frame['data']
  if (!isObject(data)) return frame
  const members: JsonObject = {}
  for (const name of MEMBERS) {
    const holder = Object.hasOwn(data, name) ? data : frame
    if (Object.hasOwn(holder, name)) members[name] = holder[name]
  }
  return members
}

const MEMBERS = ['stream_id', 'session_id', 'metadata', 'voip', 'transcript', 'is_final']

function started (raw: JsonObject): ProviderEvent {
  const schema = millisInbound.start_call
  const frame = flat(raw)
  if (!schema.Check(frame)) return violation(schema, 'start_call', frame)
  const voip = isObject(frame.voip) ? frame.voip : {}
  const id = sessionIdOf(frame.session_id)
  const facts: CallFacts = {
    from: nonEmpty(voip['from']),
    to: nonEmpty(voip['to']),
    direction: directionOf(voip['direction']),
    metadata: isObject(frame.metadata) ? frame.metadata : undefined,
    variables: undefined,
    details: isObject(raw['data']) ? raw['data'] : raw
  }
  return {
    type: 'started',
    ...(id !== undefined && { id }),
    ...(frame.stream_id !== undefined && frame.stream_id !== null && { greeting: frame.stream_id }),
    resumed: false,
    facts
  }
}

function asked (frame: JsonObject): ProviderEvent {
  const schema = millisInbound.stream_request
  if (!schema.Check(frame)) return violation(schema, 'stream_request', frame)
  return { type: 'asked', id: frame.stream_id, reason: 'response', transcript: millisTranscript(frame.transcript) }
}

function partial (frame: JsonObject): ProviderEvent {
  const schema = millisInbound.partial_transcript
  if (!schema.Check(frame)) return violation(schema, 'partial_transcript', frame)
  return { type: 'update', read: () => ({ partial: frame.transcript, final: frame.is_final ?? false }) }
}

function streamEvent (type: 'played' | 'interrupted', frame: JsonObject): ProviderEvent {
  const schema = millisInbound.interrupt
  return schema.Check(frame) ? { type, id: frame.stream_id } : violation(schema, type, frame)
}
