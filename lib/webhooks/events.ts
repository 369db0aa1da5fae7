/**
 * From the bodies of the providers' webhooks to events. Lenient in: of what a provider may leave out nothing is missed.
 */
import { createHash } from 'node:crypto'
import { idOf } from '../contract/id.js'
import { isObject, parseJson, type JsonObject } from '../providers/frame.js'
import { sessionIdOf } from '../providers/millis/frames.js'
import type { MillisChatEntry, MillisWebhookEvent, RetellWebhookEvent, RetellWebhookName } from './hooks.js'

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

/** Reads the body of Millis' end-of-call webhook, which has no name for its event. */
export function readMillisEvent (call: JsonObject): MillisWebhookEvent {
  return { provider: 'millis', event: 'call_ended', callId: sessionIdOf(call['session_id']), chat: chatOf(call['chat']), call }
}

/** The entries of a conversation at Millis, which are JSON in a string, says Millis; `undefined` where they cannot be read. */
export function chatOf (chat: unknown): MillisChatEntry[] | undefined {
  const entries = typeof chat === 'string' ? parseJson(chat) : chat
  return Array.isArray(entries) && entries.every(isObject) ? entries : undefined
}

/**
 * What tells an event from another one, as Retell says: life-cycle events by name and call, transfers by their start and
 * destination as well. Millis tells the end of a call alone.
 * @returns a digest, since thousands are kept and an id may be as long as a body; `undefined` for what repeats by design, or may
 */
export function identityOf (event: RetellWebhookEvent | MillisWebhookEvent): string | undefined {
  const { provider, event: name, callId } = event
  if (callId === undefined || name === 'transcript_updated' || name === 'unknown') return undefined
  if (provider === 'millis' || !name.startsWith('transfer_')) return digestOf(JSON.stringify([provider, name, callId]))
  // It is not said whose start is meant, the transfer's or the call's.
  const { body, call } = event
  return digestOf(JSON.stringify([provider, name, callId, body['start_timestamp'] ?? call.start_timestamp, body.transfer_destination]))
}

/** Of one length, whatever the data. */
export function digestOf (data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64')
}
