/**
 * What all webhooks of providers have in common once they are read.
 */
import { createHash } from 'node:crypto'
import type { Redact } from '../speech/redact.js'

/** A provider's own object as it was sent, unchecked: of what is named here anything may be missing. */
export type Sent<Members> = Readonly<Partial<Members> & Record<string, unknown>>

/** What a provider's webhook tells. */
export interface ReceivedEvent {
  readonly provider: string
  readonly event: string
  /** That of the call; undefined where the webhook names none. */
  readonly callId: string | undefined
}

/** An event, and what the receiver does with it without knowing its provider. */
export interface Notice<Event extends ReceivedEvent = ReceivedEvent> {
  readonly event: Event
  /** The same for each repetition, a digest; undefined where events that look alike may be several. */
  readonly identity: string | undefined
  /** The event as it may be stored. */
  redacted (redact: Redact): Event
}

/** A digest: thousands are kept, and an id may be as long as a body. */
export function digestOf (data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64')
}
