/**
 * Millis' chat history in words of no provider. Roles are undocumented, so what public servers saw is mapped.
 */
import type { Utterance } from '../../contract/agent.js'
import { isObject, type JsonObject } from '../../contract/json.js'
import type { Transcript } from '../codec.js'

const ROLES: Readonly<Record<string, string>> = {
  assistant: 'agent',
  agent: 'agent',
  ai: 'agent',
  bot: 'agent',
  model: 'agent',
  user: 'user',
  human: 'user',
  caller: 'user',
  customer: 'user',
  system: 'system',
  tool: 'tool',
  function: 'tool'
}

/** The transcript that came with a request. A bare string, seen in no log but handled by public code, is one user turn. */
export function millisTranscript (transcript: unknown[] | string): Transcript {
  const utterances = (): Utterance[] => typeof transcript === 'string'
    ? [{ role: 'user', content: transcript }]
    : transcript.filter(isObject).flatMap(toUtterance)
  return {
    utterances,
    entries: () => utterances().map(({ role, content }) => ({ kind: 'speech', role, content }))
  }
}

function toUtterance (entry: JsonObject): Utterance | [] {
  const content = textOf(entry['content'])
  if (typeof entry['role'] !== 'string' || content === undefined) return []
  const role = entry['role'].toLowerCase()
  return { ...entry, role: Object.hasOwn(ROLES, role) ? ROLES[role]! : role, content }
}

function textOf (content: unknown): string | undefined {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  return content
    .map(part => typeof part === 'string' ? part : isObject(part) && typeof part['text'] === 'string' ? part['text'] : '')
    .join('')
}
