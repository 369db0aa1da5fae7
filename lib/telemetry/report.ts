/**
 * What is known of a turn and of a call once they are over. No content in them.
 */
import type { AbortReason } from '../errors.js'
import type { CallCeiling } from './refusals.js'

/** How a turn ended: it said all it wanted, the agent threw, or it was aborted, be it by a deadline. */
export type TurnOutcome = 'completed' | 'error' | AbortReason

/** The record of one turn, given to `onTurnEnd`. Times in ms, from when the provider's request was read. */
export interface TurnReport {
  readonly outcome: TurnOutcome
  /** First frame with words in it; undefined when nothing was said. */
  readonly firstFrameMs: number | undefined
  readonly durationMs: number
  /** Characters that were sent. */
  readonly characters: number
  /** What the agent threw, when the outcome is `error`; a DeadlineError, when it is `deadline`. */
  readonly error?: unknown
}

/** The record of one call, given to `onCallEnd`. */
export interface CallSummary {
  /** The close code of the provider's socket. */
  readonly code: number
  readonly durationMs: number
  readonly turns: number
  /** How often the provider's connection broke and it dialled again. */
  readonly reconnects: number
  /** Frames that broke the protocol and were ignored. */
  readonly malformedFrames: number
  /** The ceiling that the call reached, where that ended it. */
  readonly limit?: CallCeiling
}
