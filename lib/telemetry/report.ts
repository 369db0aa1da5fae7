/**
 * What is known of a turn and of a call once they are over. No content in them, but for a call's transcript.
 */
import type { Provider, TurnReason, Utterance } from '../contract/agent.js'
import type { AbortReason } from '../contract/errors.js'
import type { CallCeiling } from './refusals.js'

/** How a turn ended: it said all it wanted, the agent threw, or it was aborted, be it by a deadline. */
export type TurnOutcome = 'completed' | 'error' | AbortReason

/** One tool call of a turn. */
export interface ToolReport {
  readonly id: string
  readonly name: string
  /** When it was called. */
  readonly startMs: number
  /** Undefined where it had not returned when the turn ended. */
  readonly durationMs: number | undefined
  /** What `toolResult` was told. */
  readonly successful: boolean | undefined
}

/**
 * The record of one turn, given to `onTurnEnd`. Times are in ms, by one monotonic clock, from when the provider's request
 * was read; undefined is never.
 */
export interface TurnReport {
  readonly callId: string
  readonly provider: Provider
  readonly turnId: string | number
  readonly reason: TurnReason
  readonly outcome: TurnOutcome
  /** When the provider asked, in ms since 1970. */
  readonly askedAt: number
  /** The agent was called: it waits for `onCallStart`. */
  readonly agentCalledMs: number | undefined
  /** The agent's first word of an answer, or its first tool call. */
  readonly firstTokenMs: number | undefined
  /** The first frame with words of an answer in it; the fallback's, where there was none. */
  readonly firstFrameMs: number | undefined
  /** The first words that cover a wait: a filler's. */
  readonly fillerMs: number | undefined
  /** The end of the first sentence, where voices begin to speak; of the answer, where it has none. */
  readonly firstSentenceMs: number | undefined
  /** The last frame, the completion included. */
  readonly lastFrameMs: number | undefined
  readonly durationMs: number
  /** Pieces of speech that the agent yielded. */
  readonly tokens: number
  readonly frames: number
  /** Characters that were sent. */
  readonly characters: number
  /** Characters of the model's that were no speech, and were neither spoken nor kept: reasoning, calls of tools as text and the like. */
  readonly unspokenCharacters: number
  /** In the order in which they were called. */
  readonly tools: readonly ToolReport[]
  /** What the agent yielded of its model by `usage()`: the last one, and all tokens together. */
  readonly model: string | undefined
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  /** Which agent of a `failover()` was asked last: its place in the list, from 0. */
  readonly agent?: number
  /** Host and port of the model's server that the built-in agent asked last. */
  readonly server?: string
  /** The HTTP status of that server's last response. */
  readonly httpStatus?: number
  /** How that response ended, in the server's word: `stop`, `length`, `tool_calls`…; `other` where the word is not a known one. */
  readonly finishReason?: string
  /** The most that the provider had not taken yet, in bytes. */
  readonly sendBufferPeakBytes: number
  /** What the agent threw, when the outcome is `error`; a DeadlineError, when it is `deadline`. */
  readonly error?: unknown
}

/** The record of one call, without what was said. */
export interface CallRecord {
  readonly callId: string
  readonly provider: Provider
  /** When its first socket opened, in ms since 1970. */
  readonly startedAt: number
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
  /** It is no end: the call goes on on another node, or is left to one. */
  readonly handedOver?: true
}

/** The record of one call, given to `onCallEnd`. */
export interface CallSummary extends CallRecord {
  /** As the provider reported it last, with what the agent said since. The caller may have heard less of that. */
  readonly transcript: readonly Utterance[]
}

/** A report as it is logged: what is bound to the log is left out; so are tools' names, which a model may have made up. */
export function toLogLine ({ callId, provider, error, askedAt, turnId, tools, ...figures }: TurnReport): object {
  const line: Record<string, unknown> = { turnId: loggedId(turnId) }
  for (const name in figures) {
    const value = figures[name as keyof typeof figures]
    line[name] = typeof value === 'number' && name.endsWith('Ms') ? Math.round(value * 10) / 10 : value
  }
  if (tools.length > 0) line['tools'] = tools.length
  return line
}

/** A turn's id as it may stand in a log: a text that a provider would not choose is left out. */
export function loggedId (id: string | number): string | number | undefined {
  return typeof id === 'number' || /^[\da-f-]{1,64}$/i.test(id) ? id : undefined
}
