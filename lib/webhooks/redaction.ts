/**
 * Webhooks as they may be stored: what was said in a call, and what somebody made of it, redacted wherever it stands.
 */
import type { Redact } from '../call/redaction.js'
import type { WebhookEvent } from './hooks.js'

/** Members in which all texts are somebody's words, at both providers. */
const SPOKEN: ReadonlySet<string> = new Set([
  'transcript', 'transcript_object', 'transcript_with_tool_calls', 'call_analysis', 'chat_analysis', 'chat', 'message_with_tool_calls', 'function_calls'
])

/** Members of these that are none. */
const PLAIN: ReadonlySet<string> = new Set(['role', 'type', 'name', 'id', 'tool_call_id', 'user_sentiment'])

/** Nothing can be recognised in single words, each with the time at which it was said. */
const WORDS = 'words'

/** The same event, in new objects. */
export function redactedEvent (event: WebhookEvent, redact: Redact): WebhookEvent {
  return redacted(event, false) as WebhookEvent

  function redacted (value: unknown, isSpoken: boolean): unknown {
    if (typeof value === 'string') return isSpoken ? redact(value) : value
    if (Array.isArray(value)) return value.map(entry => redacted(entry, isSpoken))
    if (typeof value !== 'object' || value === null) return value
    const members = Object.entries(value).filter(([name]) => name !== WORDS)
    return Object.fromEntries(members.map(([name, member]) => [name, redacted(member, (isSpoken || SPOKEN.has(name)) && !PLAIN.has(name))]))
  }
}
