/**
 * What came of a tool call, in words for the model.
 */
import type { TerminalAction } from '../contract/agent.js'
import { DeadlineError } from '../contract/errors.js'
import type { Tool } from './tool.js'

/** What came of a tool call. */
export interface ToolOutcome {
  /** For the model; never blank. */
  readonly content: string
  readonly successful: boolean
  /** The tool refused, by a ToolError: nothing was done. */
  readonly refused?: boolean
  /** What the tool returned, where that ends the turn: to be yielded. */
  readonly action?: TerminalAction
}

/** What the model is told of a tool that has nothing to tell. */
export const DONE = 'Done.'

/** What the model is told of a tool that was stopped, or exceeded its deadline. */
export function unfinished ({ sideEffects }: Tool, reason: unknown): ToolOutcome {
  const what = reason instanceof DeadlineError ? `no result within ${reason.ms} ms` : 'cancelled'
  return failed(sideEffects ? `${what}: whether it took effect is not known` : what)
}

/** What the model is told of a tool that ran on a node that is gone. */
export function lost (): ToolOutcome {
  return failed('the server that ran it is gone: whether it took effect is not known')
}

/** What the model is told of a call that came to nothing. */
export function failed (error: string): ToolOutcome {
  return { content: JSON.stringify({ error }), successful: false }
}

/** A result that was there before, for a model that may think it asked for it once more. */
export function noted (outcome: ToolOutcome, note: string): ToolOutcome {
  return outcome.successful ? { ...outcome, content: `${outcome.content}\n(${note})` } : outcome
}
