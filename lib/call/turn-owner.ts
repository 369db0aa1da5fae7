/**
 * What a turn needs of its call.
 */
import type { Call, Reply, TerminalAction, Turn } from '../contract/agent.js'
import type { Feature } from '../providers/codec.js'
import type { TurnReport } from '../telemetry/report.js'
import type { CallTelemetry } from '../telemetry/telemetry.js'
import type { DeadlineSettings } from './deadlines.js'
import type { MessagesOptions } from './messages.js'
import type { LiveTurn } from './turn.js'

/** What the turns of all calls share. A plain object: its functions are called without it. */
export interface TurnSettings extends Omit<MessagesOptions, 'spoken'> {
  readonly deadlines: DeadlineSettings
  /** Calls the user's agent. */
  ask (turn: Turn): Reply
  /** What the caller hears when the agent failed. Never throws. */
  fallback (turn: Turn, error: unknown): string
  /** What the caller hears while the agent is silent; `''` is nothing. Never throws. */
  filler (turn: Turn): string
}

/** Whose turn it is. */
export interface TurnOwner extends Call, Pick<MessagesOptions, 'spoken'> {
  readonly settings: TurnSettings
  /** Set once the call has begun, where anybody is to be told. */
  readonly telemetry: CallTelemetry | undefined
  /** Tells the agent's author, once per call, of something the provider lacks. */
  lacks (feature: Feature): void
  /** Called once, ahead of the agent's first word or tool call. */
  turnBegun (turn: LiveTurn): void
  /** Called after each filler of a live turn. */
  saidInPassing (turn: LiveTurn): void
  /** Called once, when the turn is over. `afterPlayback` are frames that wait for its last words to be played. */
  turnEnded (turn: LiveTurn, report: TurnReport, afterPlayback: readonly string[], action?: TerminalAction): void
}
