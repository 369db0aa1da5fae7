/**
 * Retell's signature of a webhook (docs.retellai.com/features/secure-webhook): the HMAC-SHA256, keyed with an API key, of the
 * body as it was sent and the time in ms.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** Where Retell puts it: `v={ms},d={64 hex digits}`. */
export const SIGNATURE_HEADER = 'x-retell-signature'

/** How old a signature may be, or how far ahead of our clock, in ms. Retell's own bound, inclusive. */
export const MAX_SKEW_MS = 5 * 60_000

/** What the header says; still to be checked. */
export interface Signature {
  /** When it was made, in ms, as it was signed. */
  readonly timestamp: string
  readonly digest: Buffer
}

// All that it lets through Retell's SDK does, too, which would accept zeros before the timestamp: those would make two headers of one.
const FORM = /^v=([1-9]\d{0,15}),d=([0-9a-fA-F]{64})$/

/** Takes the header apart, or returns `undefined` where it is not of this form. Never throws. */
export function readSignature (header: unknown): Signature | undefined {
  const [, timestamp, digest] = typeof header === 'string' ? FORM.exec(header) ?? [] : []
  return timestamp === undefined ? undefined : { timestamp, digest: Buffer.from(digest!, 'hex') }
}

/** By how much the sender's clock and ours differ, with the time that the request took, in ms. */
export function skewOf ({ timestamp }: Signature): number {
  return Math.abs(Date.now() - Number(timestamp))
}

/**
 * Makes the check of a body, in constant time.
 * @param keys each of which is as good, so that one may be replaced by another; none may be empty, as everybody can sign with that
 */
export function signatureCheck (keys: readonly string[]): (body: Buffer, signature: Signature) => boolean {
  return (body, { timestamp, digest }) =>
    keys.some(key => timingSafeEqual(createHmac('sha256', key).update(body).update(timestamp).digest(), digest))
}
