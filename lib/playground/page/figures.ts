/**
 * Figures of all calls together.
 */
import { byId, write } from './element.js'
import type { RecentTurn, TurnFigures } from '../live-call-events.js'

/** As many as the server remembers. */
const MAX_RECENT = 100
const MINUTE_MS = 60_000

let recent: Array<{ readonly at: number } & Pick<TurnFigures, 'outcome' | 'firstTokenMs'>> = []

/** With what was before the page was opened, the oldest first. */
export function beginFigures (turns: readonly RecentTurn[], now: number): void {
  recent = turns.map(({ agoMs, ...turn }) => ({ ...turn, at: now - agoMs }))
}

/** One more turn is over. */
export function countTurn (turn: TurnFigures, now: number): void {
  recent.push({ ...turn, at: now })
  if (recent.length > MAX_RECENT) recent.shift()
}

/** As of now: what is older than a minute is no longer counted as of this minute. */
export function showFigures (now: number): void {
  const tokens = recent.flatMap(({ firstTokenMs }) => firstTokenMs ?? []).sort((a, b) => a - b)
  const count = (...outcomes: Array<TurnFigures['outcome']>): number => recent.filter(({ outcome }) => outcomes.includes(outcome)).length
  write(byId('rate'), String(Math.round(turnsAMinute(now))))
  write(byId('p50'), percentile(tokens, 0.5))
  write(byId('p95'), percentile(tokens, 0.95))
  write(byId('superseded'), recent.length === 0 ? '–' : `${Math.round(count('superseded') / recent.length * 100)} %`)
  write(byId('errors'), String(count('error', 'deadline')))
}

// Where there are more in a minute than are remembered, those tell how many.
function turnsAMinute (now: number): number {
  const inMinute = recent.filter(({ at }) => at > now - MINUTE_MS)
  return inMinute.length < MAX_RECENT ? inMinute.length : MAX_RECENT / (now - inMinute[0]!.at) * MINUTE_MS
}

function percentile (sorted: readonly number[], part: number): string {
  const ms = sorted[Math.ceil(sorted.length * part) - 1]
  return ms === undefined ? '–' : `${Math.round(ms)} ms`
}
