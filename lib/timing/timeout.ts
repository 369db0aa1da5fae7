/**
 * Timeouts that a blocked event loop does not trigger.
 */

/** The source of time: the global object, or a clock that a test controls. */
export interface Clock {
  readonly performance: { now (): number }
  setTimeout (act: () => void, ms: number): NodeJS.Timeout
  clearTimeout (timer: NodeJS.Timeout | undefined): void
  setInterval (act: () => void, ms: number): NodeJS.Timeout
  clearInterval (timer: NodeJS.Timeout | undefined): void
}

/**
 * Calls `late` after `ms`. If the event loop was blocked, pending input is handled first, since it arrived in time.
 * @returns a function that cancels the timeout
 */
export function whenLate (ms: number, late: () => void, clock: Clock = globalThis): () => void {
  let soon: NodeJS.Immediate | undefined
  const timer = clock.setTimeout(() => { soon = setImmediate(late) }, ms)
  return () => {
    clock.clearTimeout(timer)
    clearImmediate(soon)
  }
}

/** Settles as `work` does, or resolves with `otherwise` after `ms`. Does not cancel `work`. */
export async function within<T, U = undefined> (
  ms: number,
  work: Promise<T>,
  otherwise = undefined as U,
  clock?: Clock
): Promise<T | U> {
  let settle!: () => void
  const late = new Promise<U>(resolve => { settle = whenLate(ms, () => resolve(otherwise), clock) })
  try {
    return await Promise.race([work, late])
  } finally {
    settle()
  }
}
