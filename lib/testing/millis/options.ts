/**
 * What Millis' caller may be told.
 */
import { namesOf } from '../../contract/option-names.js'
import { CALLER_OPTIONS, type CallerOptions } from '../caller-options.js'
import type { CalledRoute } from '../caller-provider.js'

/** Options of `MillisCaller.dial()`. */
export interface MillisCallerOptions extends CallerOptions {
  /** Of the route of an app, with its secret where it has one. Default `/millis`. */
  path?: string
  /** Default a made-up one. */
  sessionId?: string
  /** Default a web call, which has none. */
  voip?: { from: string, to: string, direction?: 'inbound' | 'outbound', provider?: string }
  /** Default `{}`. */
  metadata?: Record<string, unknown>
  /** The first stream's id, from which they count up. Default 4, which no server makes up. */
  firstStreamId?: number
  /** Sends `start_call`. Default true; some servers have met calls without. */
  introduces?: boolean
  /** How often it dials again, where the server breaks the connection or closes it with another code than 1000. Default 0: whether Millis does is not documented. */
  redials?: number
}

/** How this plugin lets Millis in. */
export const MILLIS_ROUTE: CalledRoute = {
  label: 'Millis', path: '/millis', pathVariable: 'MILLIS_PATH', allowlistVariable: 'MILLIS_ALLOWLIST'
}

/** The names of Millis' options. */
export const MILLIS_OPTIONS = namesOf<MillisCallerOptions>({
  ...CALLER_OPTIONS, path: true, sessionId: true, voip: true, metadata: true, firstStreamId: true, introduces: true, redials: true
})
