/**
 * What is said in the agent's stead, when it failed or keeps the caller waiting.
 */
import type { Turn } from '../contract/agent.js'
import { findLine } from '../speech/line.js'

/** What the caller hears when the agent failed: a line, or a function that finds one. `''` is silence. */
export type Fallback = string | ((turn: Turn, error: unknown) => string)

/** What the caller hears while the agent is silent: a line, or a function that finds one. `''` is silence. */
export type Filler = string | ((turn: Turn) => string)

/** Makes a function that always has a line, also where the app's own function fails. */
export function createFallback (fallback: Fallback | undefined, greeting: string, apology: string): (turn: Turn, error: unknown) => string {
  const lineOf = (turn: Turn): string => turn.reason === 'greeting' ? greeting : apology
  if (fallback === undefined) return lineOf
  if (typeof fallback === 'string') return () => fallback
  return (turn, error) => findLine(turn.log, 'fallback', () => fallback(turn, error)) ?? lineOf(turn)
}

/** Makes a function that has a line where a caller waits for an answer, and none where the app's own function fails. */
export function createFiller (filler: Filler): (turn: Turn) => string {
  return turn => {
    if (turn.reason !== 'response') return ''
    return typeof filler === 'string' ? filler : findLine(turn.log, 'filler', () => filler(turn)) ?? ''
  }
}
