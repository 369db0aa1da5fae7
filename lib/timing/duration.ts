/** The longest delay of a timer, in ms; Node fires a timer with a longer one at once. */
export const LONGEST_MS = 2_147_483_647

/** True for a number of ms that a timer accepts. */
export function isDuration (ms: unknown): ms is number {
  return typeof ms === 'number' && ms >= 0 && ms <= LONGEST_MS
}
