/**
 * The secrets that we share with whoever may ask.
 */
import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Makes the check of what a caller presents as the secret. How long the check takes tells neither how much of it was
 * right, nor which one, nor how long a secret is.
 * @param secrets each one is right: while a secret is changed there are two. An empty one is matched by nothing
 * @returns `undefined` when there is no secret to know
 */
export function secretCheck (secrets: readonly string[]): ((candidate: string | undefined) => boolean) | undefined {
  if (secrets.length === 0) return undefined
  const expected = secrets.map(digest)
  return candidate => {
    if (candidate === undefined || candidate === '') return false
    const presented = digest(candidate)
    return expected.filter(each => timingSafeEqual(each, presented)).length > 0
  }
}

/** The secrets of a comma-separated list. One with nothing in it is none: everybody has it. */
export function secretsOf (list: string): string[] {
  return list.split(',').map(entry => entry.trim()).filter(entry => entry !== '')
}

// Digests are of one length, which is what timingSafeEqual asks for.
function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
