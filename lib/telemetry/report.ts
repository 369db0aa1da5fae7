/**
 * The records of a turn and of a call. They hold no content, except for a call's transcript.
 */
import type { Provider, TurnReason, Utterance } from '../contract/agent.js'
import type { AbortReason } from '../contract/errors.js'
import type { CallCeiling } from './refusals.js'

/** How a turn ended: the agent finished, the agent threw, or the turn was aborted (a deadline aborts too). */
export type TurnOutcome = 'completed' | 'error' | AbortReason

/** One tool call of a turn. */
export interface ToolReport {
  readonly id: string
  readonly name: string
  /** When it was called. */
  readonly startMs: number
  /** Undefined if the tool had not returned when the turn ended. */
  readonly durationMs: number | undefined
  /** The `successful` of `toolResult()`. */
  readonly successful: boolean | undefined
}

/**
 * The record of one turn, given to `onTurnEnd`. Times are in ms of a monotonic clock since the provider's request was read; undefined
 * means never.
 */
export interface TurnReport {
  readonly callId: string
  readonly provider: Provider
  readonly turnId: string | number
  readonly reason: TurnReason
  readonly outcome: TurnOutcome
  /** When the provider asked, in ms since 1970. */
  readonly askedAt: number
  /** When the agent was called, which is after `onCallStart`. */
  readonly agentCalledMs: number | undefined
  /** The agent's first word of an answer, or its first tool call. */
  readonly firstTokenMs: number | undefined
  /** The first frame with words of the answer, or else of the fallback. */
  readonly firstFrameMs: number | undefined
  /** The first words of a filler. */
  readonly fillerMs: number | undefined
  /** The end of the first sentence, where voices begin to speak; the end of the answer if no sentence ends before. */
  readonly firstSentenceMs: number | undefined
  /** The last frame, the completion included. */
  readonly lastFrameMs: number | undefined
  readonly durationMs: number
  /** Pieces of speech that the agent yielded. */
  readonly tokens: number
  readonly frames: number
  /** Characters that were sent. */
  readonly characters: number
  /** Characters of the model that are not speech, such as reasoning or tool calls as text. They are neither spoken nor kept. */
  readonly unspokenCharacters: number
  /** In the order in which they were called. */
  readonly tools: readonly ToolReport[]
  /** From `usage()`: the last model, and the sum of all tokens. */
  readonly model: string | undefined
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  /** The agent of a `failover()` that was asked last: its index in the list. */
  readonly agent?: number
  /** Host and port of the model's server that the built-in agent asked last. */
  readonly server?: string
  /** The HTTP status of that server's last response. */
  readonly httpStatus?: number
  /** The `finish_reason` of that response: `stop`, `length`, `tool_calls`…; `other` if the value is not a known one. */
  readonly finishReason?: string
  /** The most bytes that waited to be sent to the provider. */
  readonly sendBufferPeakBytes: number
  /** The agent's error if the outcome is `error`, a DeadlineError if it is `deadline`. */
  readonly error?: unknown
}

/** The record of one call, without its transcript. */
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
  /** The limit that ended the call, if one did. */
  readonly limit?: CallCeiling
  /** True if the call has not ended: another node continues it, or may. */
  readonly handedOver?: true
}

/** The record of one call, given to `onCallEnd`. */
export interface CallSummary extends CallRecord {
  /** The provider's last report, and the agent's words since. The caller may not have heard all of those. */
  readonly transcript: readonly Utterance[]
}

/** A report for the log: without the members that the logger is bound to, and without tools' names, which a model may have made up. */
export function toLogLine ({ callId, provider, error, askedAt, turnId, tools, ...figures }: TurnReport): object {
  const line: Record<string, unknown> = { turnId: loggedId(turnId) }
  for (const name in figures) {
    const value = figures[name as keyof typeof figures]
    line[name] = typeof value === 'number' && name.endsWith('Ms') ? Math.round(value * 10) / 10 : value
  }
  if (tools.length > 0) line['tools'] = tools.length
  return line
}

/** A turn's id for the log. Undefined for text that does not look like an id: it may quote a caller. */
export function loggedId (id: string | number): string | number | undefined {
  return typeof id === 'number' || /^[\da-f-]{1,64}$/i.test(id) ? id : undefined
}
