/**
 * Options of Millis' caller.
 */
import { namesOf } from '../../contract/option-names.js'
import { CALLER_OPTIONS, type CallerOptions } from '../caller-options.js'
import type { CalledRoute } from '../caller-provider.js'

/** Options of `MillisCaller.dial()`. */
export interface MillisCallerOptions extends CallerOptions {
  /** The path of an app's route, with its secret if it has one. Default `/millis`. */
  path?: string
  /** Default a random one. */
  sessionId?: string
  /** Default: none, as in a web call. */
  voip?: { from: string, to: string, direction?: 'inbound' | 'outbound', provider?: string }
  /** Default `{}`. */
  metadata?: Record<string, unknown>
  /** The id of the first stream; later ids count up. Default 4, which no server uses by itself. */
  firstStreamId?: number
  /** Sends `start_call`. Default true; some servers have seen calls without it. */
  introduces?: boolean
  /** Maximum of reconnects after a broken connection or a close code other than 1000. Default 0: Millis does not document any. */
  redials?: number
}

/** How this plugin admits Millis. */
export const MILLIS_ROUTE: CalledRoute = {
  label: 'Millis', path: '/millis', pathVariable: 'MILLIS_PATH', allowlistVariable: 'MILLIS_ALLOWLIST'
}

/** The names of Millis' options. */
export const MILLIS_OPTIONS = namesOf<MillisCallerOptions>({
  ...CALLER_OPTIONS, path: true, sessionId: true, voip: true, metadata: true, firstStreamId: true, introduces: true, redials: true
})
