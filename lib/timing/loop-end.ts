/**
 * Work that waits until the event loop has handled all input of the current turn.
 */
import { clearImmediate, setImmediate } from 'node:timers'

/** An object with deferred work. */
export interface Late {
  /** If it throws, that is an uncaught exception, and the remaining objects are flushed in the next turn. */
  flush (): void
}

/** The longest deferral by {@link letOthersFirst}, which may be called in every turn. About the gap between two tokens. */
const MOST_MS = 20

const waiting: Late[] = []
let immediate: NodeJS.Immediate | undefined
let waitingSince = 0

/** Flushes `late` at the end of this turn of the event loop, after all input of the turn. */
export function atLoopEnd (late: Late): void {
  waiting.push(late)
  if (immediate !== undefined) return
  immediate = setImmediate(flushAll)
  waitingSince = performance.now()
}

/** Moves the flush behind all `setImmediate` callbacks that are queued so far. */
export function letOthersFirst (): void {
  if (immediate === undefined || performance.now() - waitingSince > MOST_MS) return
  clearImmediate(immediate)
  immediate = setImmediate(flushAll)
}

function flushAll (): void {
  immediate = undefined
  const due = waiting.splice(0)
  try {
    for (let late = due.shift(); late !== undefined; late = due.shift()) late.flush()
  } finally {
    due.forEach(atLoopEnd)
  }
}
