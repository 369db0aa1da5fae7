/**
 * Lots that can be drawn again.
 */

/** Numbers from 0 to 1, the same with the same seed (mulberry32). */
export function lots (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = state + 0x6d2b79f5 >>> 0
    let mixed = Math.imul(state ^ state >>> 15, state | 1)
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61)
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
}

/** All of them, in an order that is drawn. */
export function shuffled<T> (values: readonly T[], random: () => number): T[] {
  return values.map(value => ({ value, at: random() })).toSorted((a, b) => a.at - b.at).map(({ value }) => value)
}

export function between (min: number, max: number, random: () => number): number {
  return min + random() * (max - min)
}
