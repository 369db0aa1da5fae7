/**
 * What can wait until the event loop has dealt with all that it read.
 */
import { clearImmediate, setImmediate } from 'node:timers'

/** Something that has work to do by then. */
export interface Late {
  /** Must not throw. */
  flush (): void
}

const waiting: Late[] = []
let immediate: NodeJS.Immediate | undefined

/** Has it flushed in this turn of the event loop, behind all that was read in it. */
export function atLoopEnd (late: Late): void {
  if (waiting.push(late) === 1) immediate = setImmediate(flushAll)
}

/** Lets go first what others have put off, with `setImmediate`, until this turn of the event loop ends. */
export function letOthersFirst (): void {
  if (immediate === undefined) return
  clearImmediate(immediate)
  immediate = setImmediate(flushAll)
}

function flushAll (): void {
  immediate = undefined
  for (const late of waiting.splice(0)) late.flush()
}
