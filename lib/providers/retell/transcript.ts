/**
 * Retell's transcripts in words of no provider. Nothing is promised of an entry, so each is looked at before use.
 */
import type { Utterance } from '../../contract/agent.js'
import { idOf } from '../../contract/id.js'
import { isObject, nonEmpty, type JsonObject } from '../../contract/json.js'
import type { Entry, Transcript } from '../codec.js'

// Retell records what it did itself as tools of its own; a model that was given no such tools rejects them.
const OWN_ACTIONS: ReadonlySet<string> = new Set(['end_call', 'transfer_call', 'press_digit'])

/** The transcript that came with a request. `transcript_with_tool_calls` is the better one for a model, where it is there. */
export function retellTranscript (frame: { transcript: unknown[], transcript_with_tool_calls?: unknown }): Transcript {
  return {
    utterances: () => retellUtterances(frame.transcript),
    entries: () => toEntries(isFilled(frame.transcript_with_tool_calls) ? frame.transcript_with_tool_calls : frame.transcript)
  }
}

/** Entries of `transcript` that have a role and text, as they are. */
export function retellUtterances (transcript: readonly unknown[]): Utterance[] {
  return transcript.filter((entry): entry is JsonObject & Utterance =>
    isObject(entry) && typeof entry['role'] === 'string' && typeof entry['content'] === 'string')
}

function isFilled (entries: unknown): entries is unknown[] {
  return Array.isArray(entries) && entries.length > 0
}

// A caller waits meanwhile, and lists that are made only to be joined are most of the time that it takes.
function toEntries (transcript: readonly unknown[]): Entry[] {
  const entries: Entry[] = []
  for (const told of transcript) {
    const entry = isObject(told) ? toEntry(told) : undefined
    if (entry !== undefined) entries.push(entry)
  }
  return entries
}

function toEntry (entry: JsonObject): Entry | undefined {
  const role = entry['role']
  const content = entry['content']
  if (typeof role !== 'string') return undefined
  switch (role) {
    case 'tool_call_invocation': {
      const id = idOf(entry['tool_call_id'])
      const name = idOf(entry['name'])
      if (id === undefined || name === undefined || OWN_ACTIONS.has(name)) return undefined
      return { kind: 'tool-call', id, name, arguments: typeof entry['arguments'] === 'string' ? entry['arguments'] : '{}' }
    }
    case 'tool_call_result': {
      const id = idOf(entry['tool_call_id'])
      if (id === undefined) return undefined
      return {
        kind: 'tool-result',
        id,
        content: typeof content === 'string' ? content : '',
        ...(typeof entry['successful'] === 'boolean' && { successful: entry['successful'] })
      }
    }
    case 'dtmf': {
      const digit = nonEmpty(entry['digit'])
      return digit === undefined ? undefined : { kind: 'note', content: `(pressed ${digit})` }
    }
    case 'node_transition':
      return undefined
    case 'injected':
      return typeof content === 'string' ? { kind: 'note', content } : undefined
    default:
      return typeof content === 'string' ? { kind: 'speech', role, content } : undefined
  }
}
