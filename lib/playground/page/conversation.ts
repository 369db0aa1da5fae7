/**
 * What was said, as the caller hears it: words that are not spoken yet are pale, those that never were are struck out.
 */
import { append, byId, make } from './element.js'
import type { TurnState } from '../page-messages.js'

const list = byId('conversation')
const announcer = byId('announcer')
const turns = new Map<number, { readonly item: HTMLElement, shown: string }>()

/** A new call. */
export function clearConversation (): void {
  list.replaceChildren()
  turns.clear()
  byId('hint').hidden = true
}

/** What the caller said. */
export function showCaller (text: string): void {
  append(list, make('li', 'caller', text))
}

/** Something that happened. */
export function showNote (text: string): void {
  append(list, make('li', 'note', text))
}

/** @param spoken how many characters were spoken */
export function showTurn ({ index, text, heard, outcome }: TurnState, spoken: number): void {
  if (text === '' && !turns.has(index)) return
  const { item, shown } = turns.get(index) ?? { item: make('li'), shown: '' }
  const isOver = heard !== undefined
  const until = isOver ? heard.length : spoken
  const state = `${text.length} ${until} ${outcome} ${isOver}`
  if (state === shown) return
  if (!turns.has(index)) append(list, item)
  turns.set(index, { item, shown: state })
  // Once, and not with each word.
  if (isOver) announcer.textContent = `Agent: ${heard}`
  item.className = `agent${outcome === 'streaming' ? ' live' : ''}`
  const rest = text.slice(until)
  const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 80
  item.replaceChildren(make('span', 'heard', text.slice(0, until)), ...rest === '' ? [] : [make(isOver ? 'del' : 'span', 'unspoken', rest)])
  if (isAtEnd) list.scrollTop = list.scrollHeight
}
