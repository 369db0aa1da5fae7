/**
 * The outcome of a tool call, in words for the model.
 */
import type { TerminalAction } from '../contract/agent.js'
import { DeadlineError } from '../contract/errors.js'
import type { Tool } from './tool.js'

/** The outcome of a tool call. */
export interface ToolOutcome {
  /** For the model; never blank. */
  readonly content: string
  readonly successful: boolean
  /** True if the tool refused by a ToolError: nothing was done. */
  readonly refused?: boolean
  /** The action that the tool returned, if it ends the turn. The agent must yield it. */
  readonly action?: TerminalAction
}

/** The content for a tool that returned nothing. */
export const DONE = 'Done.'

/** The outcome of a tool that was cancelled or exceeded its timeout. */
export function unfinished ({ sideEffects }: Tool, reason: unknown): ToolOutcome {
  const what = reason instanceof DeadlineError ? `no result within ${reason.ms} ms` : 'cancelled'
  return failed(sideEffects ? `${what}: whether it took effect is not known` : what)
}

/** The outcome of a tool that ran on a lost node. */
export function lost (): ToolOutcome {
  return failed('the server that ran it is gone: whether it took effect is not known')
}

/** The outcome of a tool call that failed. */
export function failed (error: string): ToolOutcome {
  return { content: JSON.stringify({ error }), successful: false }
}

/** An earlier result, with a note so that the model does not take it for a second run. */
export function noted (outcome: ToolOutcome, note: string): ToolOutcome {
  return outcome.successful ? { ...outcome, content: `${outcome.content}\n(${note})` } : outcome
}
