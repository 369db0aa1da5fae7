/**
 * Redacts webhooks: speech, and everything derived from speech, wherever it occurs. Data that the app attached (`metadata`,
 * `custom_attributes` and the like) stays, as do phone numbers, ids, times, and links to recordings and logs, which still
 * lead to all speech.
 */
import type { Redact } from '../speech/redact.js'
import { isObject, parseJson, type JsonObject } from '../contract/json.js'

type Names = ReadonlySet<string>

const NONE: Names = new Set()
const SENTIMENT: Names = new Set(['user_sentiment'])
/** Plain members of an utterance or a tool call. */
const ENTRY: Names = new Set(['role', 'type', 'name', 'id', 'tool_call_id', 'message_id', 'created_timestamp', 'time_sec'])

/** Members that hold speech, at any provider, each with its inner members that hold none. */
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

const ATTACHED = ['metadata', 'custom_attributes']

/** Members of an entry that are removed: a redactor recognises nothing in single words and single keys. */
const SPELT: Names = new Set(['words', 'digit'])

/** Rules of one provider. */
export interface RedactionRules {
  /** Names of members that the app attached, besides those that all providers have. */
  readonly attached?: readonly string[]
  /** True if an object in a member of this name is a call, not speech. */
  isCall? (name: string): boolean
}

/** The entries of a conversation, which may be JSON in a string; `undefined` where they cannot be read. */
export function entriesOf (conversation: unknown): JsonObject[] | undefined {
  const entries = typeof conversation === 'string' ? parseJson(conversation) : conversation
  return Array.isArray(entries) && entries.every(isObject) ? entries : undefined
}

/** Returns a redacted deep copy of an event. */
export function redactedEvent<Event extends object> (
  event: Event,
  redact: Redact,
  { attached = [], isCall = () => false }: RedactionRules = {}
): Event {
  const untouched: Names = new Set([...ATTACHED, ...attached])
  return told(event) as Event

  function told (value: unknown): unknown {
    if (Array.isArray(value)) return value.map(told)
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value)
      .map(([name, member]) => [name, untouched.has(name) ? member : toldMember(name, member)]))
  }

  function toldMember (name: string, member: unknown): unknown {
    const plain = SPOKEN.get(name)
    if (plain === undefined || (isObject(member) && isCall(name))) return told(member)
    const chat = name === 'chat' && typeof member === 'string' ? entriesOf(member) : undefined
    return chat === undefined ? said(member, plain) : JSON.stringify(said(chat, plain))
  }

  function said (value: unknown, plain: Names): unknown {
    if (typeof value === 'string') return redact(value)
    if (typeof value === 'number') return saidNumber(value)
    if (Array.isArray(value)) return value.map(entry => said(entry, plain))
    if (!isObject(value)) return value
    const members = Object.entries(value).filter(([name]) => plain !== ENTRY || !SPELT.has(name))
    return Object.fromEntries(members
      .map(([name, member]) => [name, plain.has(name) && typeof member !== 'object' ? member : said(member, NONE)]))
  }

  // A card number may be a JSON number.
  function saidNumber (number: number): number | string {
    const text = String(number)
    const redacted = redact(text)
    return redacted === text ? number : redacted
  }
}
