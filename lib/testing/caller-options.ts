/**
 * Options that all providers' callers have.
 */
import { namesOf } from '../contract/option-names.js'
import type { Clock } from './clock.js'

/** Options of every provider's caller. */
export interface CallerOptions {
  /** Default real time. */
  clock?: Clock
  /** How long the text of a reply may take, in ms; speaking it may take longer. Default 10,000. */
  timeoutMs?: number
  /** The pace at which the agent's words are spoken. Default as fast as they arrive, so that tests do not wait; people speak about 160. */
  wordsPerMinute?: number
  /** Headers of the handshake. Default none: the providers send none of their own. */
  headers?: Readonly<Record<string, string>>
  /** The caller's address when the target is an app. Default the provider's own address, or 127.0.0.1 if it publishes none. */
  address?: string
  /** How often the first connection is tried, 3 s apart. Default 1, so that tests fail at once; some providers try 3 times. */
  attempts?: number
  /** Delay before a reconnect, in ms. Default 0, so that tests do not wait; the providers do not document theirs. */
  redialMs?: number
}

/** When to talk over a reply. */
export interface InterruptOptions {
  /** After this many spoken words. Default 1. */
  afterWords?: number
  /** After this time of speech, in ms; replaces `afterWords`. */
  afterMs?: number
}

/** The names of {@link CallerOptions}. */
export const CALLER_OPTIONS = {
  clock: true, timeoutMs: true, wordsPerMinute: true, headers: true, address: true, attempts: true, redialMs: true
} as const satisfies Record<keyof CallerOptions, true>

/** The names of {@link InterruptOptions}. */
export const INTERRUPT_OPTIONS = namesOf<InterruptOptions>({ afterWords: true, afterMs: true })
