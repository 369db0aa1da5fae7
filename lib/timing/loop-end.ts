/**
 * What can wait until the event loop has dealt with all that it read.
 */
import { clearImmediate, setImmediate } from 'node:timers'

/** Something that has work to do by then. */
export interface Late {
  /** Where it throws, that is an uncaught exception, and others are flushed in the next turn. */
  flush (): void
}

/** Nobody is put off for longer: others may come first in each turn of the loop. As much as a token takes to come. */
const MOST_MS = 20

const waiting: Late[] = []
let immediate: NodeJS.Immediate | undefined
let waitingSince = 0

/** Has it flushed in this turn of the event loop, behind all that was read in it. */
export function atLoopEnd (late: Late): void {
  waiting.push(late)
  if (immediate !== undefined) return
  immediate = setImmediate(flushAll)
  waitingSince = performance.now()
}

/** Lets go first what others have put off, with `setImmediate`, until this turn of the event loop ends. */
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
