/** The clock of a caller. Its methods are called without `this`. */
export interface Clock {
  /** In ms, from an arbitrary origin. */
  now (): number
  setTimeout (act: () => void, ms: number): unknown
  clearTimeout (timer: never): void
}

/** Real time. Looks the global functions up at each use, so that tests can replace them. */
export const realClock: Clock = {
  now: () => performance.now(),
  setTimeout: (act, ms) => setTimeout(act, ms),
  clearTimeout: (timer: NodeJS.Timeout | undefined) => clearTimeout(timer)
}
