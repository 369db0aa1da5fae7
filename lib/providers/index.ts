/**
 * The list of providers. Each has a folder; what else is to be known of it outside stands here.
 */
import { millis, type MillisOptions } from './millis/provider.js'
import type { MillisWebhookEvent, MillisWebhookHooks } from './millis/webhook-events.js'
import { retell, type RetellOptions } from './retell/provider.js'
import type { RetellWebhookEvent, RetellWebhookHooks } from './retell/webhook-events.js'
import type { ProviderDefinition } from './provider.js'

/** All providers, in the order in which they are named. */
export const providers: readonly ProviderDefinition[] = [retell, millis]

/** Their names, in the same order. */
export const PROVIDER_NAMES = providers.map(({ name }) => name)

/** The settings of all of them. */
export const providerSettings = { ...retell.settings, ...millis.settings }

/** The options of the providers. `false` switches a provider off: it has no route. */
export interface ProviderOptions {
  /** Retell's routes; `false` = none. */
  retell?: false | RetellOptions
  /** Millis' routes; `false` = none. */
  millis?: false | MillisOptions
}

/** What a provider's webhook tells. */
export type WebhookEvent = RetellWebhookEvent | MillisWebhookEvent

/** The app's hooks for the providers' webhooks. What they throw or reject with is logged. */
export interface WebhookHooks extends RetellWebhookHooks, MillisWebhookHooks {
  /**
   * A provider tells what happened to a call. Runs after the provider was answered, once for each event that this process
   * hears of, and is not run again when it fails.
   */
  onWebhook? (event: WebhookEvent): void | Promise<void>
}
