import type { Turn } from '../agent.js'
import { logFailure } from '../telemetry/failure.js'

/** What the caller hears when the agent failed: a line, or a function that finds one. */
export type Fallback = string | ((turn: Turn, error: unknown) => string)

/** Makes a function that always has a line, also where the app's own function fails. */
export function createFallback (fallback: Fallback | undefined, greeting: string, apology: string): (turn: Turn, error: unknown) => string {
  const lineOf = (turn: Turn): string => turn.reason === 'greeting' ? greeting : apology
  if (fallback === undefined) return lineOf
  if (typeof fallback === 'string') return () => fallback
  return (turn, error) => {
    try {
      const line: unknown = fallback(turn, error)
      if (typeof line === 'string') return line
      turn.log.error('the fallback function returned no string')
    } catch (error) {
      logFailure(turn.log, error, 'the fallback function failed')
    }
    return lineOf(turn)
  }
}
