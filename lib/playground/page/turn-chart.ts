/**
 * The last turns of a call as bars, each as high as its first token was late. How they ended is told by shapes and words.
 */
import { make } from './element.js'
import type { TurnFigures } from '../live-call-events.js'

const GOOD_MS = 500
const FAIR_MS = 1_000

const BAR = 9
const STEP = 12
const HEIGHT = 40
/** For the signs below the bars. */
const FOOT = 12

type Kind = 'completed' | 'cut' | 'failed'

/** How each kind of end is marked. */
export const SIGNS: Readonly<Record<Kind, string>> = { completed: '', cut: '◇', failed: '×' }

/** Whether an answer came as people expect it. */
export function paceOf (ms: number): 'good' | 'fair' | 'slow' {
  return ms < GOOD_MS ? 'good' : ms < FAIR_MS ? 'fair' : 'slow'
}

/** Did a turn say all it wanted, was it cut off, or did it fail? */
export function kindOf (outcome: TurnFigures['outcome']): Kind {
  if (outcome === 'completed') return 'completed'
  return outcome === 'error' || outcome === 'deadline' ? 'failed' : 'cut'
}

/** A picture, and a line that counts what did not come to its end. */
export function turnChart (turns: readonly TurnFigures[]): Element[] {
  const scale = Math.max(FAIR_MS, ...turns.map(({ firstTokenMs = 0 }) => firstTokenMs))
  const picture = shape('svg', { class: 'bars', width: turns.length * STEP, height: HEIGHT + FOOT, role: 'img', 'aria-label': `First tokens, the last one last: ${turns.map(describe).join('; ')}` })
  turns.forEach((turn, index) => {
    const { firstTokenMs, outcome } = turn
    const x = index * STEP + (STEP - BAR) / 2
    const group = shape('g', { 'data-kind': kindOf(outcome) })
    const title = shape('title', {})
    title.textContent = describe(turn)
    group.append(title)
    if (firstTokenMs !== undefined) {
      const height = Math.max(2, firstTokenMs / scale * HEIGHT)
      group.append(shape('rect', { x: x + 0.5, y: HEIGHT - height, width: BAR - 1, height, 'data-pace': paceOf(firstTokenMs) }))
    }
    const [left, top, right, bottom] = [x + 1, HEIGHT + 3, x + BAR - 1, HEIGHT + FOOT - 2]
    const [middleX, middleY] = [(left + right) / 2, (top + bottom) / 2]
    if (kindOf(outcome) === 'failed') group.append(shape('path', { d: `M${left} ${top}L${right} ${bottom}M${right} ${top}L${left} ${bottom}` }))
    if (kindOf(outcome) === 'cut') group.append(shape('path', { d: `M${middleX} ${top}L${right} ${middleY}L${middleX} ${bottom}L${left} ${middleY}Z` }))
    picture.append(group)
  })
  const counts = new Map<TurnFigures['outcome'], number>()
  for (const { outcome } of turns) if (outcome !== 'completed') counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
  return [picture, make('span', 'times', Array.from(counts, ([outcome, count]) => `${SIGNS[kindOf(outcome)]} ${count} ${outcome}`).join(' · '))]
}

function describe ({ firstTokenMs, outcome }: TurnFigures): string {
  return `${firstTokenMs === undefined ? 'none' : `${Math.round(firstTokenMs)} ms`}, ${outcome}`
}

function shape (tag: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value))
  return element
}
