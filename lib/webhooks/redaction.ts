/**
 * Webhooks as they may be stored: what was said in a call, and what somebody made of it, redacted wherever it stands. What the
 * app attached itself (`metadata`, `retell_llm_dynamic_variables`, `custom_attributes`) nobody said: it stays, and so do the
 * numbers of a call, ids, times, and links to recordings and logs, which hold all that was said.
 */
import type { Redact } from '../call/redaction.js'
import { isObject } from '../providers/frame.js'
import { chatOf } from './events.js'
import type { WebhookEvent } from './hooks.js'

type Names = ReadonlySet<string>

const NONE: Names = new Set()
const SENTIMENT: Names = new Set(['user_sentiment'])
/** Of an utterance, or of a tool's call. */
const ENTRY: Names = new Set(['role', 'type', 'name', 'id', 'tool_call_id', 'message_id', 'created_timestamp', 'time_sec'])

/** Members in which all is somebody's words, at both providers; and the members of these, or of their entries, that are none. */
const SPOKEN: ReadonlyMap<string, Names> = new Map([
  ['transcript', NONE],
  ['collected_dynamic_variables', NONE],
  ['error_message', NONE],
  ['call_analysis', SENTIMENT],
  ['chat_analysis', SENTIMENT],
  ['transcript_object', ENTRY],
  ['transcript_with_tool_calls', ENTRY],
  ['scrubbed_transcript_with_tool_calls', ENTRY],
  ['message_with_tool_calls', ENTRY],
  ['chat', ENTRY],
  ['function_calls', ENTRY]
])

const ATTACHED: Names = new Set(['metadata', 'retell_llm_dynamic_variables', 'custom_attributes'])

/** Members of an entry that are left out: nothing can be recognised in single words and single keys. */
const SPELT: Names = new Set(['words', 'digit'])

/** The same event, in new objects. */
export function redactedEvent (event: WebhookEvent, redact: Redact): WebhookEvent {
  return told(event) as WebhookEvent

  function told (value: unknown): unknown {
    if (Array.isArray(value)) return value.map(told)
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, ATTACHED.has(name) ? member : toldMember(name, member)]))
  }

  function toldMember (name: string, member: unknown): unknown {
    const plain = SPOKEN.get(name)
    // A chat at Retell is what a call is.
    if (plain === undefined || (event.provider === 'retell' && name === 'chat' && isObject(member))) return told(member)
    const chat = name === 'chat' && typeof member === 'string' ? chatOf(member) : undefined
    return chat === undefined ? said(member, plain) : JSON.stringify(said(chat, plain))
  }

  function said (value: unknown, plain: Names): unknown {
    if (typeof value === 'string') return redact(value)
    if (typeof value === 'number') return saidNumber(value)
    if (Array.isArray(value)) return value.map(entry => said(entry, plain))
    if (!isObject(value)) return value
    const members = Object.entries(value).filter(([name]) => plain !== ENTRY || !SPELT.has(name))
    return Object.fromEntries(members.map(([name, member]) => [name, plain.has(name) && typeof member !== 'object' ? member : said(member, NONE)]))
  }

  // Somebody's card is a number to JSON.
  function saidNumber (number: number): number | string {
    const text = String(number)
    const redacted = redact(text)
    return redacted === text ? number : redacted
  }
}
