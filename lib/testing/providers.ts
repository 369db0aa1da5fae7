/**
 * The list of providers whose side the test kit can play.
 */
import type { CallerProvider } from './caller-provider.js'
import { millis } from './millis/provider.js'
import { retell } from './retell/provider.js'

/** All of them, the default first. */
export const callerProviders = [retell, millis] as const satisfies readonly CallerProvider[]

/** The name of one of them. */
export type CallerProviderName = typeof callerProviders[number]['name']

/** All names. */
export const CALLER_PROVIDER_NAMES = callerProviders.map(({ name }) => name)

/** For people: `a or b`. */
export const ONE_OF_THEM = CALLER_PROVIDER_NAMES.join(' or ')

/** @returns undefined where there is none of this name */
export function callerProvider (name: string): CallerProvider | undefined {
  return callerProviders.find(provider => provider.name === name)
}
