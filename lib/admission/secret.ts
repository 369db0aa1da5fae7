/**
 * Checks of shared secrets.
 */
import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Makes the check of a presented secret. The time it takes reveals neither how much of it was right, nor which secret matched, nor
 * how long a secret is.
 * @param secrets each one is valid, so that one can be replaced without a gap. An empty candidate never matches
 * @returns `undefined` when there is no secret
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

/** The secrets of a comma-separated list. Blank entries are skipped. */
export function secretsOf (list: string): string[] {
  return list.split(',').map(entry => entry.trim()).filter(entry => entry !== '')
}

// Digests have one length, as timingSafeEqual requires.
function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
