/**
 * What all providers' callers may be told.
 */
import { namesOf } from '../contract/option-names.js'
import type { Clock } from './clock.js'

/** Options of all providers' callers. */
export interface CallerOptions {
  /** Default the real one. */
  clock?: Clock
  /** How long to wait for all of a reply, in ms; to be spoken it may take longer. Default 10,000. */
  timeoutMs?: number
  /** How fast the agent's words are spoken. Default as fast as they come, so that no test waits; people speak some 160. */
  wordsPerMinute?: number
  /** Headers of the handshake. Default none: the providers send none of their own. */
  headers?: Readonly<Record<string, string>>
  /** Where the call seems to come from, where an app is called. Default the provider's own address, or 127.0.0.1 where it publishes none. */
  address?: string
  /** How often the first connection is tried, 3 s apart. Default 1, so that a test knows at once; some providers try 3 times. */
  attempts?: number
  /** How long it takes until a line that broke is dialled again, in ms. Default 0, so that no test waits; what the providers take is not documented. */
  redialMs?: number
}

/** Where a reply is to be talked over. */
export interface InterruptOptions {
  /** Once so many words of it were spoken. Default 1. */
  afterWords?: number
  /** Once it was spoken for so long, in ms; instead of `afterWords`. */
  afterMs?: number
}

/** Of {@link CallerOptions}. */
export const CALLER_OPTIONS = {
  clock: true, timeoutMs: true, wordsPerMinute: true, headers: true, address: true, attempts: true, redialMs: true
} as const satisfies Record<keyof CallerOptions, true>

export const INTERRUPT_OPTIONS = namesOf<InterruptOptions>({ afterWords: true, afterMs: true })
