/**
 * Retell's words to ours and back.
 */
import { ActionError, UnsupportedError } from '../../contract/errors.js'
import type { AgentConfig, TerminalAction, ToolAction, TranscriptUpdate, TurnReason } from '../../contract/agent.js'
import { isObject, nonEmpty, stringMembers, type JsonObject } from '../../contract/json.js'
import { directionOf, ignored, malformed, parseFrame, unknownFrame, violation } from '../frame.js'
import {
  FEATURES, type ActionFrames, type CallFacts, type Codec, type Feature, type LeavingAction, type ProviderEvent, type SpeechOptions
} from '../codec.js'
import { retellInbound, retellOutbound, type RetellFrame, type RetellResponse } from './frames.js'
import { retellTranscript, retellUtterances } from './transcript.js'
import { withoutWordTimings } from './word-timings.js'

/** The id of the begin message. Until a response with it comes the agent says nothing. */
const BEGIN_ID = 0

// A call that Retell reports as ongoing began before this socket did; its own start may be reported a moment late.
const RESUMED_AFTER_MS = 15_000

const CONFIG: RetellFrame = {
  response_type: 'config',
  config: { auto_reconnect: true, call_details: true, transcript_with_tool_calls: true }
}

const OPENING = [JSON.stringify(CONFIG)]

/** All but a flush: Retell decides by itself when it speaks. */
export const RETELL_FEATURES: ReadonlySet<Feature> = new Set(FEATURES.filter(feature => feature !== 'flush'))

/** @param waitMs how long the begin message waits for `call_details` */
export function retellBegin (waitMs: number): NonNullable<Codec['begin']> {
  return { id: BEGIN_ID, waitMs }
}

/** One socket of Retell. */
export class RetellCodec implements Codec {
  readonly provider = 'retell'
  readonly hangsUp = true
  readonly features = RETELL_FEATURES
  readonly opening = OPENING
  readonly begin: NonNullable<Codec['begin']>

  // Ids count up on one socket; starting below 0 lets a first request with id 0 through.
  #lastId = -1

  /** @param begin the same for all of them, made by {@link retellBegin} */
  constructor (begin: NonNullable<Codec['begin']>) {
    this.begin = begin
  }

  decode (data: Buffer, binary: boolean): ProviderEvent {
    const told = binary ? undefined : toldKind(data)
    if (told === 'update_only') return { type: 'update', read: () => readUpdate(data) }
    const frame = parseFrame(data, binary, told === undefined ? undefined : withoutWordTimings)
    if (typeof frame === 'string') return malformed(frame)
    const kind = frame['interaction_type']
    switch (kind) {
      case 'ping_pong':
      case 'pingpong':
        return keepalive(frame)
      case 'call_details':
        return started(frame)
      case 'update_only':
        return { type: 'update', read: () => toUpdate(frame) }
      case 'response_required':
        return this.#asked(frame, 'response')
      case 'reminder_required':
        return this.#asked(frame, 'reminder')
      default:
        return unknownFrame(kind)
    }
  }

  #asked (frame: JsonObject, reason: TurnReason): ProviderEvent {
    const schema = retellInbound.response_required
    if (!schema.Check(frame)) return violation(schema, `${reason}_required`, frame)
    if (frame.response_id <= this.#lastId) return ignored('response_id is not newer than the last one')
    this.#lastId = frame.response_id
    return { type: 'asked', id: frame.response_id, reason, transcript: retellTranscript(frame) }
  }

  speech (id: number, text: string, options?: SpeechOptions): string {
    // Most frames are one of these, and written out they cost a third.
    if (options === undefined) return `{"response_type":"response","response_id":${id},"content":${JSON.stringify(text)},"content_complete":false}`
    return encode({
      response_type: 'response',
      response_id: id,
      content: options.pauseMs === undefined ? text : text + dashes(options.pauseMs),
      content_complete: false,
      ...(options.uninterruptible && { no_interruption_allowed: true as const })
    })
  }

  completion (id: number, text: string, _spoken: boolean, action?: TerminalAction): ActionFrames {
    const response = { response_type: 'response', response_id: id, content: text, content_complete: true } as const
    if (action === undefined) return now(encode(response))
    if (action.action === 'press-digits') {
      // Digits go out after the content, on a frame that has none.
      const digits = encode({ ...response, content: '', digit_to_press: action.digits })
      return text === '' ? now(digits) : now(this.speech(id, text), digits)
    }
    // Last words, action and completion in one frame: Retell loses actions that trail behind on an empty one. They are
    // shielded, because an interruption, be it "right", discards the action without a word.
    return now(encode({
      ...response,
      ...(text !== '' && { no_interruption_allowed: true as const }),
      ...(action.action === 'transfer-call' && action.showCaller && { show_transferee_as_caller: true as const }),
      ...actionField(action)
    }))
  }

  toolRecord (action: ToolAction): string {
    if (action.action === 'tool-call') {
      return encode({ response_type: 'tool_call_invocation', tool_call_id: action.id, name: action.name, arguments: action.arguments })
    }
    return encode({
      response_type: 'tool_call_result',
      tool_call_id: action.id,
      content: action.content,
      ...(action.successful !== undefined && { successful: action.successful })
    })
  }

  interjection (n: number, text: string, uninterruptible: boolean): string {
    return encode({
      response_type: 'agent_interrupt',
      interrupt_id: n,
      content: text,
      content_complete: true,
      ...(uninterruptible && { no_interruption_allowed: true as const })
    })
  }

  control (n: number, _last: number | undefined, action: LeavingAction): ActionFrames {
    // show_transferee_as_caller is a member of `response` alone.
    if (action.action === 'transfer-call' && action.showCaller) throw new UnsupportedError('showCaller outside a turn', this.provider)
    return now(encode({
      response_type: 'agent_interrupt',
      interrupt_id: n,
      content: action.say,
      content_complete: true,
      no_interruption_allowed: true,
      ...actionField(action)
    }))
  }

  metadata (metadata: Record<string, unknown>): string {
    let json: string | undefined
    try {
      json = JSON.stringify(metadata)
    } catch {
      throw new ActionError('sendMetadata: metadata cannot be written as JSON')
    }
    // An object may write itself as something else, as a Date does.
    if (json?.startsWith('{') !== true) throw new ActionError('sendMetadata: metadata must be a JSON object')
    return `{"response_type":"metadata","metadata":${json}}`
  }

  agentConfig (config: AgentConfig): string {
    const frame = { response_type: 'update_agent', agent_config: config } as const
    const error = retellOutbound.update_agent.Errors(frame).First()
    if (error !== undefined) {
      const member = error.path.slice('/agent_config/'.length)
      throw new ActionError(`updateAgent: ${member === '' ? 'config' : member}: ${error.message}`)
    }
    return encode(frame)
  }
}

function encode (frame: RetellFrame): string {
  return JSON.stringify(frame)
}

function now (...frames: string[]): ActionFrames {
  return { now: frames, afterPlayback: [] }
}

function actionField (action: LeavingAction): Pick<RetellResponse, 'end_call' | 'transfer_number'> {
  switch (action.action) {
    case 'end-call':
      return { end_call: true }
    case 'transfer-call':
      return { transfer_number: action.destination }
  }
}

// Retell's way of writing a pause is a dash with spaces around it, repeated for a longer one.
function dashes (ms: number): string {
  return `${' -'.repeat(Math.ceil(ms / 1000))} `
}

/**
 * Which of the frames it is that repeat the whole call, up to 1 MiB each, and most of them many times a turn. Told from the
 * first or the last bytes, without parsing. A key that stands right behind the first brace, or right before the last, is a
 * member of the outermost object and in no string, since quotes in strings are escaped.
 */
function toldKind (data: Buffer): string | undefined {
  const told = KIND_AT_HEAD.exec(data.toString('latin1', 0, 64)) ?? KIND_AT_TAIL.exec(data.toString('latin1', Math.max(0, data.length - 64)))
  return told?.[1]
}
const KIND_AT_HEAD = /^\s*\{\s*"interaction_type"\s*:\s*"(update_only|response_required|reminder_required)"\s*[,}]/
const KIND_AT_TAIL = /[,{]\s*"interaction_type"\s*:\s*"(update_only|response_required|reminder_required)"\s*\}\s*$/

function readUpdate (data: Buffer): TranscriptUpdate | undefined {
  const frame = parseFrame(data, false, withoutWordTimings)
  return typeof frame === 'string' ? undefined : toUpdate(frame)
}

function toUpdate (frame: JsonObject): TranscriptUpdate | undefined {
  if (!retellInbound.update_only.Check(frame)) return undefined
  return {
    transcript: retellUtterances(frame.transcript),
    ...(frame.turntaking === 'user_turn' && { floor: 'user' as const }),
    ...(frame.turntaking === 'agent_turn' && { floor: 'agent' as const })
  }
}

function keepalive (frame: JsonObject): ProviderEvent {
  // Retell derives the round-trip time from its own timestamp, and gives up a connection on which no answer comes.
  const sent = frame['timestamp']
  const timestamp = typeof sent === 'string' ? parseFloat(sent) : sent
  return { type: 'keepalive', reply: encode({ response_type: 'ping_pong', timestamp: typeof timestamp === 'number' && Number.isFinite(timestamp) ? timestamp : Date.now() }) }
}

function started (frame: JsonObject): ProviderEvent {
  const schema = retellInbound.call_details
  if (!schema.Check(frame)) return violation(schema, 'call_details', frame)
  const call: JsonObject = frame.call
  const facts: CallFacts = {
    from: nonEmpty(call['from_number']),
    to: nonEmpty(call['to_number']),
    direction: directionOf(call['direction']),
    metadata: isObject(call['metadata']) ? call['metadata'] : undefined,
    variables: stringMembers(call['retell_llm_dynamic_variables']),
    details: call
  }
  return { type: 'started', resumed: isResumed(call), facts }
}

function isResumed (call: JsonObject): boolean {
  if (call['call_status'] !== 'ongoing') return false
  const start = call['start_timestamp']
  return typeof start !== 'number' || Date.now() - start > RESUMED_AFTER_MS
}
