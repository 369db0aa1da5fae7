/**
 * The shared secret of the routes.
 */
import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Makes the check of what a caller presents as the secret. How long the check takes tells neither how much of it was
 * right nor how long the secret is.
 * @param secret an empty one is matched by nothing
 * @returns `undefined` when there is no secret to know
 */
export function secretCheck (secret: string | undefined): ((candidate: string | undefined) => boolean) | undefined {
  if (secret === undefined) return undefined
  const expected = digest(secret)
  return candidate => candidate !== undefined && candidate !== '' && timingSafeEqual(digest(candidate), expected)
}

// Digests are of one length, which is what timingSafeEqual asks for.
function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
