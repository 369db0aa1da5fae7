/**
 * Waiting, but not for ever.
 */

/** Where time comes from: the global object, or a clock that a test winds. */
export interface Clock {
  readonly performance: { now (): number }
  setTimeout (act: () => void, ms: number): NodeJS.Timeout
  clearTimeout (timer: NodeJS.Timeout | undefined): void
  setInterval (act: () => void, ms: number): NodeJS.Timeout
  clearInterval (timer: NodeJS.Timeout | undefined): void
}

/**
 * Calls back after so many ms. Where the event loop stood still meanwhile, what has come is read first: it is not late.
 * @returns what ends the wait
 */
export function whenLate (ms: number, late: () => void, clock: Clock = globalThis): () => void {
  let soon: NodeJS.Immediate | undefined
  const timer = clock.setTimeout(() => { soon = setImmediate(late) }, ms)
  return () => {
    clock.clearTimeout(timer)
    clearImmediate(soon)
  }
}

/** What comes of something, or `otherwise` where that takes longer. */
export async function within<T, U = undefined> (ms: number, work: Promise<T>, otherwise = undefined as U, clock?: Clock): Promise<T | U> {
  let settle!: () => void
  const late = new Promise<U>(resolve => { settle = whenLate(ms, () => resolve(otherwise), clock) })
  try {
    return await Promise.race([work, late])
  } finally {
    settle()
  }
}
