/**
 * `node:diagnostics_channel`: what happens, for whoever watches from outside of the app. Nothing is made for it that nobody
 * subscribed to. There is no content in what is published, but the call and the turn themselves lead to it.
 */
import { channel } from 'node:diagnostics_channel'
import type { Call, Turn } from '../contract/agent.js'
import type { CallRecord, TurnReport } from './report.js'

/** What `fastify-voice-agent:call:start` is told when a call has begun. */
export interface CallStartMessage {
  readonly call: Call
}

/** What `fastify-voice-agent:turn:start` is told when a turn is accepted. */
export interface TurnStartMessage {
  readonly turn: Turn
}

/** What `fastify-voice-agent:turn:first-token` is told at the agent's first word, or tool call. */
export interface FirstTokenMessage {
  readonly turn: Turn
  /** As in {@link TurnReport}. */
  readonly firstTokenMs: number
}

/** What `fastify-voice-agent:turn` is told when a turn is over. */
export interface TurnMessage {
  readonly turn: Turn
  readonly report: TurnReport
}

/** What `fastify-voice-agent:call` is told when a call is over. */
export interface CallMessage {
  readonly call: Call
  readonly summary: CallRecord
}

export const callStartChannel = channel('fastify-voice-agent:call:start')
export const turnStartChannel = channel('fastify-voice-agent:turn:start')
export const firstTokenChannel = channel('fastify-voice-agent:turn:first-token')
export const turnChannel = channel('fastify-voice-agent:turn')
export const callChannel = channel('fastify-voice-agent:call')
