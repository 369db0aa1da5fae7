/**
 * What Retell's caller may be told.
 */
import { namesOf } from '../../contract/option-names.js'
import { CALLER_OPTIONS, type CallerOptions } from '../caller-options.js'
import type { CalledRoute } from '../caller-provider.js'

/** Options of `RetellCaller.dial()`. */
export interface RetellCallerOptions extends CallerOptions {
  /** The path of an app's route. Default `/llm-websocket`. */
  path?: string
  /** Default a random one. */
  callId?: string
  /** Default `phone_call`. */
  callType?: 'phone_call' | 'web_call'
  /** For phone calls. Default +14155550101. */
  from?: string
  /** For phone calls. Default +14155550199. */
  to?: string
  /** For phone calls. Default `inbound`. */
  direction?: 'inbound' | 'outbound'
  /** Default `{}`. */
  metadata?: Record<string, unknown>
  /** Dynamic variables. Default `{}`. */
  variables?: Record<string, string>
}

/** How this plugin admits Retell. */
export const RETELL_ROUTE: CalledRoute = {
  label: 'Retell', path: '/llm-websocket', pathVariable: 'RETELL_PATH', allowlistVariable: 'RETELL_ALLOWLIST'
}

/** The names of Retell's options. */
export const RETELL_OPTIONS = namesOf<RetellCallerOptions>({
  ...CALLER_OPTIONS, path: true, callId: true, callType: true, from: true, to: true, direction: true, metadata: true, variables: true
})
