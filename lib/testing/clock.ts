/** Where a caller's time comes from. Its members are called without it. */
export interface Clock {
  /** In ms, from any beginning. */
  now (): number
  setTimeout (act: () => void, ms: number): unknown
  clearTimeout (timer: never): void
}

/** Real time. Looked up when it is used, so that a test may replace the global functions. */
export const realClock: Clock = {
  now: () => performance.now(),
  setTimeout: (act, ms) => setTimeout(act, ms),
  clearTimeout: (timer: NodeJS.Timeout | undefined) => clearTimeout(timer)
}
