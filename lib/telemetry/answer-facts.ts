/**
 * Facts about a turn's answer that the agent notes for the turn's report.
 */
import type { Call, Turn } from '../contract/agent.js'
import type { TurnReport } from './report.js'

/** They hold no content. Undefined means unknown. */
type AnswerFacts = { [Name in 'agent' | 'server' | 'httpStatus' | 'finishReason']?: TurnReport[Name] | undefined }

const collections = new WeakMap<Call, { readonly id: Turn['id'], readonly facts: AnswerFacts }>()

/** Starts to collect for a turn. A call has one live turn at most. */
export function collectAnswerFacts ({ call, id }: Turn): void {
  collections.set(call, { id, facts: {} })
}

/** Adds facts. Facts of a turn that is over, or that has no call, are dropped. */
export function noteAnswerFacts ({ call, id, signal }: Turn, more: AnswerFacts): void {
  const collection = collections.get(call)
  if (collection !== undefined && collection.id === id && !signal.aborted) Object.assign(collection.facts, more)
}

/** The facts that are known about a turn's answer. */
export function answerFactsOf ({ call, id }: Turn): Pick<TurnReport, 'agent' | 'server' | 'httpStatus' | 'finishReason'> {
  const collection = collections.get(call)
  if (collection === undefined || collection.id !== id) return {}
  return Object.fromEntries(Object.entries(collection.facts).filter(([, fact]) => fact !== undefined))
}
