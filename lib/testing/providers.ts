/**
 * The list of providers whose side the test kit can play.
 */
import type { CallerProvider } from './caller-provider.js'
import { millis } from './millis/provider.js'
import { retell } from './retell/provider.js'

/** All providers; the first is the default. */
export const callerProviders = [retell, millis] as const satisfies readonly CallerProvider[]

/** The name of a provider whose calls can be placed. */
export type CallerProviderName = typeof callerProviders[number]['name']

/** The names of all providers. */
export const CALLER_PROVIDER_NAMES = callerProviders.map(({ name }) => name)

/** The names for error messages: `a or b`. */
export const ONE_OF_THEM = CALLER_PROVIDER_NAMES.join(' or ')

/** @returns undefined if there is no provider of this name */
export function callerProvider (name: string): CallerProvider | undefined {
  return callerProviders.find(provider => provider.name === name)
}
