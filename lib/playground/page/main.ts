/**
 * The playground's page: one call at a time, over one connection to the server that places it.
 */
import { clearConversation, showCaller, showNote, showTurn } from './conversation.js'
import { byId, make } from './element.js'
import { clearFrames, showFrame } from './frames.js'
import { clearVoice, hush, listenFor, readAloud } from './voice.js'
import { clearWaterfall, drawTurn } from './waterfall.js'
import type { FromPage, ToPage, TurnState } from '../page-messages.js'

const dialler = byId<HTMLFormElement>('dialler')
const composer = byId<HTMLFormElement>('composer')
const said = byId<HTMLInputElement>('said')
const place = byId<HTMLButtonElement>('place')
const hangUp = byId<HTMLButtonElement>('hang-up')
const sayButton = byId<HTMLButtonElement>('say')
const remind = byId<HTMLButtonElement>('remind')
const drop = byId<HTMLButtonElement>('drop')
const status = byId('status')

let socket: WebSocket | undefined
let isLive = false
/** Does the provider that calls have the agent go on after a silence? */
let hasReminders = false
/** When the call began, by the page's clock. */
let beganAt = 0
/** The turns of the call, by their index. */
const turns: TurnState[] = []

function send (command: FromPage): void {
  socket?.send(JSON.stringify(command))
}

function show (state: 'idle' | 'calling' | 'live' | 'speaking' | 'lost', text: string): void {
  status.dataset['state'] = state
  status.textContent = text
}

function setLive (live: boolean): void {
  isLive = live
  for (const element of [said, sayButton, drop, hangUp]) element.disabled = !live
  remind.disabled = !live || !hasReminders
  place.disabled = live
  dialler.querySelector('fieldset')!.disabled = live
  dialler.querySelector('select')!.disabled = live
}

function chosenProvider (): HTMLInputElement {
  return dialler.querySelector<HTMLInputElement>('input[name=provider]:checked')!
}

dialler.addEventListener('submit', event => {
  event.preventDefault()
  const pace = Number(dialler.querySelector('select')!.value)
  const provider = chosenProvider()
  clearConversation()
  clearWaterfall()
  clearFrames()
  clearVoice()
  turns.length = 0
  byId('findings').replaceChildren()
  byId('findings-section').hidden = true
  show('calling', 'Calling …')
  place.disabled = true
  dialler.querySelector('fieldset')!.disabled = true
  hasReminders = provider.dataset['reminders'] !== undefined
  const mine = socket = new WebSocket(new URL('playground/call', document.baseURI.replace(/^http/, 'ws')))
  mine.addEventListener('open', () => send({ type: 'place', provider: provider.value, ...(pace > 0 && { wordsPerMinute: pace }) }))
  mine.addEventListener('message', ({ data }) => { if (mine === socket) receive(JSON.parse(String(data)) as ToPage) })
  mine.addEventListener('close', () => {
    if (mine !== socket) return
    if (place.disabled) end('lost', 'The server has gone')
  })
})

composer.addEventListener('submit', event => {
  event.preventDefault()
  say(said.value.trim())
  said.value = ''
})

function say (text: string): void {
  if (text === '' || !isLive) return
  hush()
  showCaller(text)
  send({ type: 'say', text })
}

remind.addEventListener('click', () => {
  showNote('silence')
  send({ type: 'remind' })
})
drop.addEventListener('click', () => {
  showNote('the line is dropped')
  show('lost', 'Line lost')
  send({ type: 'drop' })
})
hangUp.addEventListener('click', () => send({ type: 'hang-up' }))
listenFor(say)

function receive (message: ToPage): void {
  switch (message.type) {
    case 'placed':
      beganAt = performance.now() - message.atMs
      setLive(true)
      show('live', `Call ${message.id}`)
      said.focus()
      return
    case 'turn':
      beganAt = performance.now() - message.atMs
      return change(message.turn)
    case 'words': {
      beganAt = performance.now() - message.atMs
      const { index, text, wordsMs, firstTokenMs, firstSentenceMs } = message
      const before = turns[index]!
      return change({ ...before, text: before.text + text, wordsMs: [...before.wordsMs, ...wordsMs], ...(firstTokenMs !== undefined && { firstTokenMs }), ...(firstSentenceMs !== undefined && { firstSentenceMs }) })
    }
    case 'frame':
      return showFrame(message)
    case 'finding':
      byId('findings-section').hidden = false
      byId('findings').append(make('li', '', `${message.code}: ${message.message}`))
      return
    case 'dialled-again':
      showNote('dialled again')
      return show('live', 'Back on the line')
    case 'refused':
      showNote(message.message)
      if (!isLive) end('lost', 'Refused')
      return
    case 'ended': {
      const { by, reason, destination } = message
      showNote(`${by === 'caller' ? 'you hung up' : `ended by ${by === 'agent' ? 'the agent' : 'a fault'}: ${reason}`}${destination === undefined ? '' : ` to ${destination}`}`)
      return end(by === 'fault' ? 'lost' : 'idle', by === 'fault' ? 'Call lost' : 'Call ended')
    }
  }
}

function end (state: 'idle' | 'lost', text: string): void {
  socket?.close()
  socket = undefined
  setLive(false)
  hush()
  show(state, text)
  place.focus()
}

function change (turn: TurnState): void {
  turns[turn.index] = turn
  draw(turn)
  readAloud(turn.index, turn.text, turn.outcome === 'completed')
}

function draw (shown: TurnState): void {
  const elapsedMs = performance.now() - beganAt - shown.askedMs
  const words = shown.text.match(/\S+\s*/g) ?? []
  const spoken = shown.wordsMs.length === 0 ? words : words.slice(0, shown.wordsMs.filter(ms => ms <= elapsedMs).length)
  showTurn(shown, spoken.join('').length)
  drawTurn(shown, elapsedMs)
}

// What is spoken, and what is waited for, moves by itself.
function animate (): void {
  const turn = turns.at(-1)
  const isSpeaking = isLive && turn !== undefined && turn.heard === undefined
  if (isSpeaking) draw(turn)
  if (isLive && status.dataset['state'] !== 'lost') {
    const state = isSpeaking && turn.text !== '' ? 'speaking' : 'live'
    if (status.dataset['state'] !== state) show(state, state === 'speaking' ? 'The agent speaks' : 'Your turn')
  }
  sayButton.textContent = isSpeaking && turn.text !== '' ? 'Interrupt' : 'Say'
  requestAnimationFrame(animate)
}
animate()
