/** The longest time that a timer can wait, in ms; with more it would not wait at all. */
export const LONGEST_MS = 2_147_483_647

/** Is it a number of ms that a timer can wait? */
export function isDuration (ms: unknown): ms is number {
  return typeof ms === 'number' && ms >= 0 && ms <= LONGEST_MS
}
