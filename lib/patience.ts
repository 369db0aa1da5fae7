/**
 * Waiting, but not for ever.
 */

/**
 * Calls back after so many ms. Where the event loop stood still meanwhile, what has come is read first: it is not late.
 * @returns what ends the wait
 */
export function whenLate (ms: number, late: () => void): () => void {
  let soon: NodeJS.Immediate | undefined
  const timer = setTimeout(() => { soon = setImmediate(late) }, ms)
  return () => {
    clearTimeout(timer)
    clearImmediate(soon)
  }
}

/** What comes of something, or `otherwise` where that takes longer. */
export async function within<T, U = undefined> (ms: number, work: Promise<T>, otherwise = undefined as U): Promise<T | U> {
  let settle!: () => void
  const late = new Promise<U>(resolve => { settle = whenLate(ms, () => resolve(otherwise)) })
  try {
    return await Promise.race([work, late])
  } finally {
    settle()
  }
}
