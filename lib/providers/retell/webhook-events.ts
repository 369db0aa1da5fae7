/**
 * What Retell's webhooks tell, and what they may be answered.
 */
import type { Redact } from '../../speech/redact.js'
import { idOf } from '../../contract/id.js'
import { digestOf, type Notice, type Sent } from '../../webhooks/event.js'
import { redactedEvent } from '../../webhooks/redaction.js'
import { isObject, type JsonObject } from '../../contract/json.js'

/** Retell's call, as its REST API tells of it. */
export type RetellWebhookCall = Sent<{
  call_id: string
  call_type: 'web_call' | 'phone_call'
  agent_id: string
  call_status: string
  direction: 'inbound' | 'outbound'
  from_number: string
  to_number: string
  /** Times in ms since 1970. */
  start_timestamp: number
  end_timestamp: number
  duration_ms: number
  disconnection_reason: string
  transcript: string
  transcript_object: ReadonlyArray<Sent<{ role: string, content: string }>>
  recording_url: string
  public_log_url: string
  /** With `call_analyzed` only. */
  call_analysis: Sent<{ call_summary: string, user_sentiment: string, call_successful: boolean, in_voicemail: boolean, custom_analysis_data: unknown }>
  metadata: unknown
  retell_llm_dynamic_variables: Readonly<Record<string, string>>
}>

/** Retell's events, by the names it has for them; `unknown` is one that this version does not know. */
export type RetellWebhookName =
  | 'call_started' | 'call_ended' | 'call_analyzed'
  | 'transcript_updated'
  | 'transfer_started' | 'transfer_bridged' | 'transfer_cancelled' | 'transfer_ended'
  | 'chat_started' | 'chat_ended' | 'chat_analyzed'
  | 'unknown'

/** Something happened to a call at Retell. */
export interface RetellWebhookEvent {
  readonly provider: 'retell'
  readonly event: RetellWebhookName
  /** That of the call, or of the chat. */
  readonly callId: string | undefined
  readonly call: RetellWebhookCall
  /** All that was sent, with what stands beside the call. */
  readonly body: Sent<{ event: string, transfer_destination: unknown, transfer_option: unknown, transcript_with_tool_calls: readonly unknown[] }>
}

/** A call that rings at Retell. */
export interface InboundCall {
  /** Older payloads have none. */
  readonly callId: string | undefined
  readonly from: string | undefined
  readonly to: string | undefined
  /** The number's default agent. */
  readonly agentId: string | undefined
  /** Retell's own object (`call_inbound`), untouched. */
  readonly details: Readonly<Record<string, unknown>>
}

/** Who takes a call that rings, and what they know of it, in Retell's words. All of it turns up in `call.details`. */
export interface InboundCallReply {
  override_agent_id?: string
  override_agent_version?: number | string
  /** Become `call.variables`. Sent as text, which is all that Retell takes; null and undefined are left out. */
  dynamic_variables?: Readonly<Record<string, string | number | boolean | null | undefined>>
  /** Becomes `call.metadata`. */
  metadata?: Readonly<Record<string, unknown>>
  agent_override?: Readonly<Record<string, unknown>>
}

/** The app's hooks for Retell's webhooks. What they throw or reject with is logged. */
export interface RetellWebhookHooks {
  /**
   * The phone rings at Retell, which asks who takes the call. When it fails, or takes longer than 8,000 ms, the number's
   * default agent does. May run twice for a call: when Retell did not hear the answer, it asks again.
   */
  onInboundCall? (call: InboundCall): InboundCallReply | void | Promise<InboundCallReply | void>
}

const RETELL_NAMES: ReadonlySet<string> = new Set<RetellWebhookName>([
  'call_started', 'call_ended', 'call_analyzed', 'transcript_updated',
  'transfer_started', 'transfer_bridged', 'transfer_cancelled', 'transfer_ended',
  'chat_started', 'chat_ended', 'chat_analyzed'
])

/** Reads a body that has an `event`. Older ones have the call under `data`. */
export function readRetellEvent (body: JsonObject & { event: string }): RetellWebhookEvent {
  const call = [body['call'], body['chat'], body['data']].find(isObject) ?? {}
  return {
    provider: 'retell',
    event: RETELL_NAMES.has(body.event) ? body.event as RetellWebhookName : 'unknown',
    callId: idOf(call['call_id']) ?? idOf(call['chat_id']),
    call,
    body
  }
}

/** What Retell tells, with what tells it from another event. */
export function retellNotice (body: JsonObject & { event: string }): Notice<RetellWebhookEvent> {
  const event = readRetellEvent(body)
  return { event, identity: identityOf(event), redacted: redact => redactedRetellEvent(event, redact) }
}

/**
 * Retell's rule: life-cycle events are told apart by name and call, transfers by their start and destination as well.
 * @returns undefined for what repeats by design, or may
 */
function identityOf ({ provider, event: name, callId, call, body }: RetellWebhookEvent): string | undefined {
  if (callId === undefined || name === 'transcript_updated' || name === 'unknown') return undefined
  if (!name.startsWith('transfer_')) return digestOf(JSON.stringify([provider, name, callId]))
  // Retell does not say whose start is meant, the transfer's or the call's.
  return digestOf(JSON.stringify([provider, name, callId, body['start_timestamp'] ?? call.start_timestamp, body.transfer_destination]))
}

/** The event as it may be stored. A chat at Retell is what a call is, and not somebody's words. */
export function redactedRetellEvent (event: RetellWebhookEvent, redact: Redact): RetellWebhookEvent {
  return redactedEvent(event, redact, { attached: ['retell_llm_dynamic_variables'], isCall: name => name === 'chat' })
}
