/**
 * `node:diagnostics_channel`: what is over, for whoever watches from outside of the app. Nothing is made for it that
 * nobody subscribed to.
 */
import { channel } from 'node:diagnostics_channel'
import type { Call, Turn } from '../agent.js'
import type { CallSummary, TurnReport } from './report.js'

/** What `fastify-voice-agent:turn` is told when a turn is over. */
export interface TurnMessage {
  readonly turn: Turn
  readonly report: TurnReport
}

/** What `fastify-voice-agent:call` is told when a call is over. */
export interface CallMessage {
  readonly call: Call
  readonly summary: CallSummary
}

export const turnChannel = channel('fastify-voice-agent:turn')
export const callChannel = channel('fastify-voice-agent:call')
