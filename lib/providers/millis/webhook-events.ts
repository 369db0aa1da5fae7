/**
 * What Millis' webhooks tell, and what they may be answered.
 */
import type { Redact } from '../../speech/redact.js'
import { digestOf, type Notice, type Sent } from '../../webhooks/event.js'
import { entriesOf, redactedEvent } from '../../webhooks/redaction.js'
import type { JsonObject } from '../../contract/json.js'
import { sessionIdOf } from './frames.js'

/** One entry of the conversation at Millis. */
export type MillisChatEntry = Sent<{ role: string, content: string }>

/** A call at Millis is over. */
export interface MillisWebhookEvent {
  readonly provider: 'millis'
  readonly event: 'call_ended'
  /** Millis' session_id, the same as in `call.id`. */
  readonly callId: string | undefined
  /** What was said; undefined where it could not be read: `call.chat` is the text as it was sent. */
  readonly chat: readonly MillisChatEntry[] | undefined
  readonly call: Sent<{
    session_id: string
    agent_id: string
    call_id: string
    call_status: string
    error_message: string
    /** Seconds. */
    duration: number
    /** JSON. */
    chat: string
    voip: unknown
    recording: Sent<{ recording_url: string }>
    metadata: unknown
  }>
}

/** A call that is about to begin at Millis. */
export interface PrefetchSession {
  /** Millis' session_id, which will be `call.id`. */
  readonly callId: string | undefined
  readonly agentId: string | undefined
  readonly from: string | undefined
  readonly to: string | undefined
  /** What was attached to the call when it was created. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What Millis is to know before a call begins, in Millis' words. */
export interface PrefetchReply {
  /** Laid over the call's own; becomes `call.metadata`. */
  metadata?: Readonly<Record<string, unknown>>
  /** For the prompt of a model that Millis itself asks. */
  extra_prompt?: string
}

/** The app's hooks for Millis' webhooks. What they throw or reject with is logged. */
export interface MillisWebhookHooks {
  /**
   * Millis is about to begin a call, and asks what is to be known of it. When it fails, or takes longer than 2,000 ms, the
   * call begins without.
   */
  onPrefetch? (session: PrefetchSession): PrefetchReply | void | Promise<PrefetchReply | void>
}

/** Reads the body of Millis' end-of-call webhook, which has no name for its event. */
export function readMillisEvent (call: JsonObject): MillisWebhookEvent {
  return { provider: 'millis', event: 'call_ended', callId: sessionIdOf(call['session_id']), chat: entriesOf(call['chat']), call }
}

/** What Millis tells, which is the end of a call alone. */
export function millisNotice (call: JsonObject): Notice<MillisWebhookEvent> {
  const event = readMillisEvent(call)
  const { provider, event: name, callId } = event
  return {
    event,
    identity: callId === undefined ? undefined : digestOf(JSON.stringify([provider, name, callId])),
    redacted: redact => redactedMillisEvent(event, redact)
  }
}

/** The event as it may be stored. */
export function redactedMillisEvent (event: MillisWebhookEvent, redact: Redact): MillisWebhookEvent {
  return redactedEvent(event, redact)
}
