/**
 * The common form of all providers' webhook events.
 */
import { createHash } from 'node:crypto'
import type { Redact } from '../speech/redact.js'

/** A provider's object as it was sent, unchecked: any of these members may be missing. */
export type Sent<Members> = Readonly<Partial<Members> & Record<string, unknown>>

/** One event of a provider's webhook. */
export interface ReceivedEvent {
  readonly provider: string
  readonly event: string
  /** The call's id; undefined where the webhook has none. */
  readonly callId: string | undefined
}

/** An event with what the receiver needs to handle it without knowing the provider. */
export interface Notice<Event extends ReceivedEvent = ReceivedEvent> {
  readonly event: Event
  /** A digest that is equal for repetitions; undefined where equal bodies may be different events. */
  readonly identity: string | undefined
  /** Returns the event with all speech redacted. */
  redacted (redact: Redact): Event
}

/** A digest in place of the data: thousands are kept, and an id may be as long as a body. */
export function digestOf (data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64')
}
