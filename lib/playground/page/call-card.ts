/**
 * One call: its turn, as a bar that grows for as long as the caller waits, and those before.
 */
import { kindOf, paceOf, SIGNS, turnChart } from './turn-chart.js'
import { make, write } from './element.js'
import type { LiveCallEvent, CallState, LiveTurn, TurnFigures } from '../live-call-events.js'

/** What the whole width of a bar stands for. Who waits longer than that waits too long, however much longer. */
const SCALE_MS = 3_000

/** As many as the server remembers. */
const MAX_TURNS = 20

/** Nothing moves but in steps, where people do not want it to. */
const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)')
const STEP_MS = 500

/** Shows a call until another takes its place: one that is over is shown by another. */
export class CallCard {
  readonly element = make('li', 'card')
  readonly #id = make('span', 'id')
  readonly #direction = make('span', 'soft')
  readonly #lasted = make('span', 'soft')
  readonly #turn = make('div', 'turn')
  readonly #what = make('span')
  readonly #outcome = make('span', 'outcome')
  readonly #waiting = make('span')
  readonly #rest = make('span', 'rest')
  readonly #sentence = make('span', 'sentence')
  readonly #times = make('div', 'times')
  readonly #chart = make('div', 'chart')

  readonly #beganAt: number
  readonly #last: TurnFigures[]
  #turns: number
  #live: LiveTurn | undefined
  #askedAt = 0

  constructor ({ id, provider, direction, ageMs, turns, current, last, code, limit }: CallState, now: number) {
    this.#beganAt = now - ageMs
    this.#turns = turns
    this.#last = [...last]
    const head = make('div', 'head')
    head.append(make('strong', '', provider), this.#id, this.#direction, this.#lasted)
    const what = make('div', 'what')
    what.append(this.#what, this.#outcome)
    const track = make('div', 'track')
    track.setAttribute('aria-hidden', 'true')
    track.append(this.#waiting, this.#rest, this.#sentence)
    this.#turn.append(what, track, this.#times)
    this.#turn.hidden = true
    this.element.append(head, this.#turn, this.#chart)
    if (code !== undefined) this.element.append(make('p', 'hint', `Closed with ${code}${limit === undefined ? '' : `: ceiling ${limit}`}`))
    this.#name(id, direction)
    this.#showLast()
    if (current !== undefined) this.#begin(current, now)
    this.draw(now)
  }

  turnStarted ({ id, direction, turn }: Extract<LiveCallEvent, { type: 'turn-start' }>, now: number): void {
    this.#name(id, direction)
    this.#turns++
    this.#begin(turn, now)
    this.draw(now)
  }

  answered (firstTokenMs: number, now: number): void {
    if (this.#live !== undefined) this.#live = { ...this.#live, firstTokenMs }
    this.draw(now)
  }

  turnEnded (turn: TurnFigures): void {
    this.#live = undefined
    this.#last.push(turn)
    if (this.#last.length > MAX_TURNS) this.#last.shift()
    this.#showLast()
  }

  /** What moves by itself. */
  draw (now: number): void {
    const seconds = Math.floor((now - this.#beganAt) / 1000)
    write(this.#lasted, `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')} · ${plural(this.#turns, 'turn')}`)
    if (this.#live === undefined) return
    const ms = now - this.#askedAt
    const elapsedMs = reducedMotion.matches ? Math.floor(ms / STEP_MS) * STEP_MS : ms
    this.#drawTurn(this.#live, elapsedMs)
  }

  #name (id: string, direction: CallState['direction']): void {
    write(this.#id, id)
    this.#id.title = id
    write(this.#direction, direction ?? '')
  }

  #begin (turn: LiveTurn, now: number): void {
    this.#live = turn
    this.#askedAt = now - turn.ageMs
  }

  #showLast (): void {
    const turn = this.#last.at(-1)
    if (turn === undefined) return
    this.#drawTurn(turn, turn.durationMs)
    this.#chart.replaceChildren(...turnChart(this.#last))
  }

  #drawTurn (turn: LiveTurn | TurnFigures, elapsedMs: number): void {
    const { id, reason, firstTokenMs } = turn
    const over = 'outcome' in turn ? turn : undefined
    const waitedMs = firstTokenMs ?? elapsedMs
    this.#turn.hidden = false
    write(this.#what, `${reason} ${id ?? ''}`)
    const state = firstTokenMs === undefined ? 'waiting' : 'streaming'
    write(this.#outcome, over === undefined ? state : `${SIGNS[kindOf(over.outcome)]} ${over.outcome}`)
    this.#outcome.dataset['kind'] = over === undefined ? state : kindOf(over.outcome)
    this.#waiting.dataset['pace'] = paceOf(waitedMs)
    place(this.#waiting, 0, waitedMs)
    place(this.#rest, waitedMs, elapsedMs)
    this.#sentence.hidden = over?.firstSentenceMs === undefined
    place(this.#sentence, over?.firstSentenceMs ?? 0)
    const times = [
      firstTokenMs === undefined ? over === undefined ? `waiting ${Math.round(waitedMs)} ms` : 'no token' : `first token ${Math.round(firstTokenMs)} ms, ${paceOf(firstTokenMs)}`,
      ...(over === undefined ? [] : [timeOf('filler', over.fillerMs), timeOf('first sentence', over.firstSentenceMs), timeOf('total', over.durationMs), over.tools === 0 ? [] : plural(over.tools, 'tool call')].flat())
    ]
    write(this.#times, times.join(' · '))
  }
}

function place (bar: HTMLElement, fromMs: number, toMs?: number): void {
  const percent = (ms: number): number => Math.min(ms / SCALE_MS, 1) * 100
  bar.style.left = `${percent(fromMs)}%`
  if (toMs !== undefined) bar.style.width = `${Math.max(0, percent(toMs) - percent(fromMs))}%`
}

function timeOf (name: string, ms: number | undefined): string[] {
  return ms === undefined ? [] : [`${name} ${Math.round(ms)} ms`]
}

function plural (count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
