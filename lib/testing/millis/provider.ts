/**
 * Millis as a provider of calls.
 */
import type { CallerProvider } from '../caller-provider.js'
import { MillisCaller } from './caller.js'
import { MILLIS_OPTIONS, MILLIS_ROUTE } from './options.js'

export const millis = {
  ...MILLIS_ROUTE,
  name: 'millis',
  options: MILLIS_OPTIONS,
  reportsTools: false,
  hasReminders: false,
  webCall: sessionId => ({ sessionId }),
  place: (target, options) => MillisCaller.place(target, options),
  dial: (url, options) => MillisCaller.dial(url, options)
} as const satisfies CallerProvider<'millis'>
