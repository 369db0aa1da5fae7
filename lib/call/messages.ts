/**
 * Transcript and tool entries to chat-completions messages: a list that every model takes, whatever the providers report.
 */
import type { ChatMessage, TurnReason } from '../agent.js'
import type { Entry } from '../protocols/protocol.js'
import { withoutPassing, type Spoken } from './spoken.js'

/** Stands where a model wants to read a user and the caller has not said anything. */
export const CALL_CONNECTED = '(The call has connected.)'

/** Ends the messages of a `reminder` turn. */
export const CALLER_SILENT = '(The caller has been silent for a while. Nudge them in one short sentence; do not repeat an answer already given.)'

/** Ends the messages of a `response` turn for which no word of the caller came. */
export const CALLER_UNHEARD = '(The caller said nothing that could be understood.)'

/** Options of {@link toMessages}. */
export interface MessagesOptions {
  /** May the list start with the assistant? Many models want a user message first. */
  readonly leadingAssistant: boolean
  /** What the agent's turns said so far: what they said in passing is left out. */
  readonly spoken: readonly Spoken[]
}

/** Never promoted to instructions (system), never told without the call they answer (tool, function). */
const UNSPOKEN_ROLES: ReadonlySet<string> = new Set(['system', 'tool', 'function'])

/** For a call cut off before its result was recorded: models reject a call without one. */
const NO_RESULT = '{"error":"no result was recorded"}'

/** For a tool that returned nothing: some model servers reject blank text anywhere. */
const NO_OUTPUT = '(no output)'

/**
 * Converts a conversation into messages for a turn. Pure, and linear in the number of entries: a call lasts up to two
 * hours, and each of its turns may ask.
 *
 * The list is never empty, starts with the user (unless `leadingAssistant`), and ends with the user or with a tool's
 * result, so that the model has something to answer.
 */
export function toMessages (entries: readonly Entry[], reason: TurnReason, options: MessagesOptions): ChatMessage[] {
  const messages: ChatMessage[] = []
  const results = firstResults(entries)
  const meant = withoutPassing(options.spoken)
  const seen = new Set<string>()

  for (const entry of entries) {
    switch (entry.kind) {
      case 'speech':
        if (entry.role === 'agent') say(messages, 'assistant', meant(entry.content))
        else if (!UNSPOKEN_ROLES.has(entry.role)) say(messages, 'user', entry.content)
        break
      case 'note':
        say(messages, 'user', entry.content)
        break
      case 'tool-call':
        if (seen.has(entry.id)) break
        seen.add(entry.id)
        messages.push(call(entry), { role: 'tool', tool_call_id: entry.id, content: results.get(entry.id) ?? NO_RESULT })
        break
      case 'tool-result':
        // Told right after its call, as models reject anything in between.
        break
    }
  }

  const last = messages.at(-1)
  if (reason === 'reminder') say(messages, 'user', CALLER_SILENT)
  else if (last === undefined || (reason === 'greeting' && last.role !== 'user')) say(messages, 'user', CALL_CONNECTED)
  else if (last.role === 'assistant') say(messages, 'user', CALLER_UNHEARD)

  if (!options.leadingAssistant && messages[0]?.role !== 'user') messages.unshift({ role: 'user', content: CALL_CONNECTED })
  return messages
}

/** What each call returned, by its id. Where a provider reports two results, the first stands. */
function firstResults (entries: readonly Entry[]): Map<string, string> {
  const results = new Map<string, string>()
  for (const entry of entries) {
    if (entry.kind !== 'tool-result' || results.has(entry.id)) continue
    results.set(entry.id, entry.content.trim() === '' ? NO_OUTPUT : entry.content)
  }
  return results
}

/** Adds speech; models that insist on alternation reject two messages of one role in a row. */
function say (messages: ChatMessage[], role: 'user' | 'assistant', speech: string): void {
  const content = speech.trim()
  if (content === '') return
  const last = messages.at(-1)
  // An assistant that is last is always text: a call is pushed together with its result.
  if (last?.role === role) messages[messages.length - 1] = { role, content: `${last.content} ${content}` }
  else messages.push({ role, content })
}

function call ({ id, name, arguments: args }: Extract<Entry, { kind: 'tool-call' }>): ChatMessage {
  // Models that call a tool without parameters often write nothing, and then cannot read that nothing as JSON.
  return { role: 'assistant', content: null, tool_calls: [{ id, type: 'function', function: { name, arguments: args.trim() === '' ? '{}' : args } }] }
}
