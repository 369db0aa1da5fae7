/**
 * Waiting for an answer that comes over a socket.
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
