/**
 * Retell as a provider of calls.
 */
import type { CallerProvider } from '../caller-provider.js'
import { RetellCaller } from './caller.js'
import { RETELL_OPTIONS, RETELL_ROUTE } from './options.js'

export const retell = {
  ...RETELL_ROUTE,
  name: 'retell',
  options: RETELL_OPTIONS,
  reportsTools: true,
  hasReminders: true,
  webCall: callId => ({ callId, callType: 'web_call' }),
  place: (target, options) => RetellCaller.place(target, options),
  dial: (url, options) => RetellCaller.dial(url, options)
} as const satisfies CallerProvider<'retell'>
