/**
 * The frames of both sides, as they stand on the wire.
 */
import { append, byId, hideHint, make } from './element.js'
import type { ToPage } from '../page-messages.js'

type Frame = Extract<ToPage, { type: 'frame' }>

/** The oldest ones go: a page that is left open must not grow for ever. */
const MAX_FRAMES = 500

const list = byId('frames')
const filter = byId<HTMLInputElement>('filter')
const keepalives = byId<HTMLInputElement>('keepalives')
const shown = new Map<HTMLElement, { readonly json: string, readonly kind: string }>()

filter.addEventListener('input', apply)
keepalives.addEventListener('change', apply)

/** A new call. */
export function clearFrames (): void {
  list.replaceChildren()
  shown.clear()
  count()
}

/** Shows one, unless it is filtered out. */
export function showFrame ({ from, frame, atMs }: Frame): void {
  hideHint('frames')
  const json = JSON.stringify(frame)
  const kind = kindOf(frame)
  const item = make('li', from)
  const details = make('details')
  const summary = make('summary')
  summary.append(make('time', '', `${(atMs / 1000).toFixed(3)} s`), make('span', '', from === 'server' ? '←' : '→'), make('span', 'kind', kind), make('span', 'brief', briefOf(frame)))
  details.append(summary)
  // Written when it is looked at: most never are.
  details.addEventListener('toggle', () => { if (details.open && details.childElementCount === 1) details.append(make('pre', '', JSON.stringify(frame, undefined, 2))) })
  item.append(details)
  shown.set(item, { json: json.toLowerCase(), kind })
  if (shown.size > MAX_FRAMES) {
    const [oldest] = shown.keys()
    oldest!.remove()
    shown.delete(oldest!)
  }
  item.hidden = !isWanted(item)
  append(list, item)
  count()
}

function kindOf (frame: unknown): string {
  const { interaction_type: asked, response_type: answered, type } = (typeof frame === 'object' && frame !== null ? frame : {}) as Record<string, unknown>
  return String(asked ?? answered ?? type ?? 'not a frame')
}

// Without the kind, which stands before it.
function briefOf (frame: unknown): string {
  if (typeof frame !== 'object' || frame === null) return String(frame)
  return JSON.stringify({ ...frame, interaction_type: undefined, response_type: undefined, type: undefined })
}

function isWanted (item: HTMLElement): boolean {
  const { json, kind } = shown.get(item)!
  return (kind !== 'ping_pong' || keepalives.checked) && json.includes(filter.value.trim().toLowerCase())
}

function apply (): void {
  for (const item of shown.keys()) item.hidden = !isWanted(item)
  count()
}

function count (): void {
  const visible = Array.from(shown.keys()).filter(item => !item.hidden).length
  byId('frame-count').textContent = `${visible} of ${shown.size}`
}
