/**
 * Each turn as a bar over time, from the moment in which it was asked for. All bars have one scale.
 */
import { append, byId, hideHint, make } from './element.js'
import type { TurnState } from '../page-messages.js'

const list = byId('turns')
/** What the whole width stands for, in ms. Grows with the longest turn. */
let scale = 500
const rows = new Map<number, { readonly row: HTMLElement, turn: TurnState }>()

/** A new call. */
export function clearWaterfall (): void {
  list.replaceChildren()
  rows.clear()
  scale = 500
}

/** @param elapsedMs since the turn was asked for */
export function drawTurn (turn: TurnState, elapsedMs: number): void {
  const known = rows.get(turn.index)
  const row = known?.row ?? make('li', 'turn')
  if (known === undefined) {
    append(list, row)
    hideHint('turns')
  }
  rows.set(turn.index, { row, turn })
  const length = turn.heard === undefined ? elapsedMs : lengthOf(turn)
  // In steps, so that the others are not drawn anew each time.
  const isTooLong = length > scale
  while (length > scale) scale *= 1.5
  draw(row, turn, elapsedMs)
  if (isTooLong) for (const other of rows.values()) if (other.row !== row) draw(other.row, other.turn, lengthOf(other.turn))
}

function lengthOf ({ wordsMs, durationMs = 0, heard }: TurnState): number {
  return Math.max(durationMs, heard === undefined ? 0 : endOfSpeech(wordsMs, heard))
}

function endOfSpeech (wordsMs: readonly number[], heard: string): number {
  return wordsMs[Math.min(wordsMs.length, heard.match(/\S+/g)?.length ?? 0) - 1] ?? 0
}

function draw (row: HTMLElement, turn: TurnState, elapsedMs: number): void {
  const { id, reason, text, outcome, wordsMs, heard, firstTokenMs, firstSentenceMs, durationMs } = turn
  const now = heard === undefined ? elapsedMs : lengthOf(turn)
  const end = Math.min(durationMs ?? now, scale)
  const token = Math.min(firstTokenMs ?? end, end)
  const sentence = Math.min(firstSentenceMs ?? end, end)
  const track = make('div', 'track')
  const bar = (kind: string, from: number, to: number): void => {
    if (to <= from && kind !== 'cut') return
    const span = make('span', kind)
    span.style.left = `${from / scale * 100}%`
    if (kind !== 'cut') span.style.width = `${(to - from) / scale * 100}%`
    track.append(span)
  }
  bar('waiting', 0, token)
  bar('token', token, sentence)
  bar('rest', sentence, end)
  const lastSpoken = heard === undefined ? Math.min(wordsMs.at(-1) ?? 0, now) : endOfSpeech(wordsMs, heard)
  if (firstTokenMs !== undefined) bar('spoken', token, Math.min(lastSpoken, scale))
  const isCut = outcome !== 'streaming' && outcome !== 'completed'
  if (isCut) bar('cut', Math.max(0, Math.min(Math.max(end, lastSpoken), scale * 0.995)), 0)
  track.setAttribute('aria-hidden', 'true')

  const what = make('div', 'what')
  const shown = make('span', 'outcome', outcome)
  shown.dataset['outcome'] = outcome
  what.append(make('q', '', text === '' ? `${reason} ${String(id)}` : text), shown)
  const times = [['first token', firstTokenMs], ['first sentence', firstSentenceMs], [outcome === 'completed' ? 'complete' : 'stopped', durationMs]] as const
  row.replaceChildren(what, track, make('div', 'times', times.flatMap(([name, ms]) => ms === undefined ? [] : [`${name} ${Math.round(ms)} ms`]).join(' · ') || 'asked'))
}
