/**
 * Facts of a turn's answer that its agent knows and its report tells.
 */
import type { Call, Turn } from '../contract/agent.js'
import type { TurnReport } from './report.js'

/** No content in them. Undefined is unknown. */
type AnswerFacts = { [Name in 'agent' | 'server' | 'httpStatus' | 'finishReason']?: TurnReport[Name] | undefined }

const collections = new WeakMap<Call, { readonly id: Turn['id'], readonly facts: AnswerFacts }>()

/** Starts a turn, the only live one of its call. */
export function collectAnswerFacts ({ call, id }: Turn): void {
  collections.set(call, { id, facts: {} })
}

/** Adds facts. Those of a turn that is over, or of no call, are dropped. */
export function noteAnswerFacts ({ call, id, signal }: Turn, more: AnswerFacts): void {
  const collection = collections.get(call)
  if (collection !== undefined && collection.id === id && !signal.aborted) Object.assign(collection.facts, more)
}

/** What is known of the answer of a turn. */
export function answerFactsOf ({ call, id }: Turn): Pick<TurnReport, 'agent' | 'server' | 'httpStatus' | 'finishReason'> {
  const collection = collections.get(call)
  if (collection === undefined || collection.id !== id) return {}
  return Object.fromEntries(Object.entries(collection.facts).filter(([, fact]) => fact !== undefined))
}
