/**
 * Events for observers outside of the app, through `node:diagnostics_channel`. Messages are made only where there is a subscriber. They
 * hold no content, but the call and the turn in them lead to it.
 */
import { channel } from 'node:diagnostics_channel'
import type { Call, Turn } from '../contract/agent.js'
import type { CallRecord, TurnReport } from './report.js'

/** The message of `fastify-voice-agent:call:start`: a call has begun. */
export interface CallStartMessage {
  readonly call: Call
}

/** The message of `fastify-voice-agent:turn:start`: a turn is accepted. */
export interface TurnStartMessage {
  readonly turn: Turn
}

/** The message of `fastify-voice-agent:turn:first-token`: the agent's first word or tool call. */
export interface FirstTokenMessage {
  readonly turn: Turn
  /** As in {@link TurnReport}. */
  readonly firstTokenMs: number
}

/** The message of `fastify-voice-agent:turn`: a turn is over. */
export interface TurnMessage {
  readonly turn: Turn
  readonly report: TurnReport
}

/** The message of `fastify-voice-agent:call`: a call is over. */
export interface CallMessage {
  readonly call: Call
  readonly summary: CallRecord
}

export const callStartChannel = channel('fastify-voice-agent:call:start')
export const turnStartChannel = channel('fastify-voice-agent:turn:start')
export const firstTokenChannel = channel('fastify-voice-agent:turn:first-token')
export const turnChannel = channel('fastify-voice-agent:turn')
export const callChannel = channel('fastify-voice-agent:call')
