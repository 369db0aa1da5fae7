/**
 * The page of live calls: shows what its server tells, as it happens.
 */
import { CallCard } from './call-card.js'
import { byId, write } from './element.js'
import { beginFigures, countTurn, showFigures } from './figures.js'
import type { LiveCallEvent } from '../live-call-events.js'

const EVENTS: ReadonlyArray<LiveCallEvent['type']> = ['snapshot', 'call-start', 'turn-start', 'first-token', 'turn-end', 'call-end']

/** Where the browser does not come back by itself. */
const RETRY_MS = 2_000

/** As many as the server remembers. */
const MAX_ENDED = 20

const calls = byId('calls')
const ended = byId('ended')
const status = byId('status')
const banner = byId('banner')

const cards = new Map<number, CallCard>()
let isConnected = false

function connect (): void {
  const source = new EventSource(new URL('calls/events', document.baseURI))
  for (const type of EVENTS) source.addEventListener(type, ({ data }) => receive(JSON.parse(String(data)) as LiveCallEvent))
  source.addEventListener('error', () => {
    isConnected = false
    status.dataset['state'] = 'lost'
    write(status, 'Disconnected')
    write(banner, 'The server is not to be reached, or has no room for another viewer. What is shown is what was last known. Trying again …')
    // Comes back by itself, unless the server has refused it, as one does that is closing.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS)
  })
}

function receive (event: LiveCallEvent): void {
  const now = performance.now()
  switch (event.type) {
    case 'snapshot':
      isConnected = true
      status.dataset['state'] = 'live'
      write(status, 'Connected')
      write(banner, '')
      cards.clear()
      calls.replaceChildren()
      for (const call of event.calls) show(new CallCard(call, now), call.key)
      ended.replaceChildren(...event.ended.map(call => new CallCard(call, now).element))
      beginFigures(event.recent, now)
      return count(event.live)
    case 'call-start':
      if (event.call !== undefined) show(new CallCard(event.call, now), event.call.key)
      return count(event.live)
    case 'turn-start':
      return cards.get(event.key)?.turnStarted(event, now)
    case 'first-token':
      return cards.get(event.key)?.answered(event.firstTokenMs, now)
    case 'turn-end':
      if (event.key !== undefined) cards.get(event.key)?.turnEnded(event.turn)
      return countTurn(event.turn, now)
    case 'call-end':
      if (event.call !== undefined) {
        cards.get(event.call.key)?.element.remove()
        cards.delete(event.call.key)
        ended.prepend(new CallCard(event.call, now).element)
        if (ended.childElementCount > MAX_ENDED) ended.lastElementChild!.remove()
      }
      return count(event.live)
  }
}

function show (card: CallCard, key: number): void {
  cards.set(key, card)
  calls.append(card.element)
}

function count (live: number): void {
  write(byId('live'), String(live))
  byId('empty').hidden = live > 0
  byId('others').hidden = live === cards.size
  write(byId('others'), `And ${live - cards.size} more.`)
  byId('ended-section').hidden = ended.childElementCount === 0
}

// What is waited for grows by itself. What was last known stands still.
function animate (): void {
  if (isConnected) {
    const now = performance.now()
    for (const card of cards.values()) card.draw(now)
    showFigures(now)
  }
  requestAnimationFrame(animate)
}
connect()
animate()
