/**
 * Voice, where the browser has it. Off until somebody wants it.
 */
import { byId } from './element.js'

/** What is used of it: TypeScript knows nothing of it, and browsers have it under two names. */
interface Recognition extends EventTarget {
  continuous: boolean
  lang: string
  start (): void
  stop (): void
}

interface RecognitionEvent extends Event {
  readonly results: ArrayLike<ArrayLike<{ readonly transcript: string }> & { readonly isFinal: boolean }>
  readonly resultIndex: number
}

type NewRecognition = new () => Recognition

const aloud = byId<HTMLInputElement>('aloud')
const listen = byId<HTMLInputElement>('listen')
const names = window as unknown as Record<string, NewRecognition | undefined>
const NewRecognition = names['SpeechRecognition'] ?? names['webkitSpeechRecognition']

/** How much of a turn was given to the voice. */
const said = new Map<number, number>()

aloud.disabled = !('speechSynthesis' in window)
listen.disabled = NewRecognition === undefined
aloud.addEventListener('change', () => { if (!aloud.checked) hush() })

/** A new call, or whoever speaks is talked over. */
export function hush (): void {
  if (aloud.disabled) return
  speechSynthesis.cancel()
}

/** A new call. */
export function clearVoice (): void {
  hush()
  said.clear()
}

/** Reads what has come of a turn, sentence by sentence. */
export function readAloud (index: number, text: string, isWhole: boolean): void {
  const from = said.get(index) ?? 0
  const rest = text.slice(from)
  const sentences = isWhole ? rest : /^.*[.!?](?=\s)/s.exec(rest)?.[0] ?? ''
  said.set(index, from + sentences.length)
  if (!aloud.checked || sentences.trim() === '') return
  const utterance = new SpeechSynthesisUtterance(sentences)
  // Others are spoken by servers of the browser's maker.
  utterance.voice = speechSynthesis.getVoices().find(({ localService, lang }) => localService && lang.startsWith('en')) ?? null
  if (utterance.voice !== null) speechSynthesis.speak(utterance)
}

/** Says what is recognised, for as long as that is wanted. */
export function listenFor (say: (text: string) => void): void {
  if (NewRecognition === undefined) return
  const recognition = new NewRecognition()
  recognition.continuous = true
  recognition.lang = 'en'
  recognition.addEventListener('result', event => {
    const { results, resultIndex } = event as RecognitionEvent
    const result = results[resultIndex]
    if (result?.isFinal === true && listen.checked) say(result[0]!.transcript.trim())
  })
  // It ends by itself after a while of silence.
  recognition.addEventListener('end', () => { if (listen.checked) recognition.start() })
  // Refused, or there is no microphone: asking again would not help.
  recognition.addEventListener('error', event => {
    const { error } = event as Event & { readonly error: string }
    if (error === 'no-speech' || error === 'aborted') return
    listen.checked = false
    byId('voice-note').textContent = `The browser does not listen: ${error}.`
  })
  listen.addEventListener('change', () => { if (listen.checked) recognition.start(); else recognition.stop() })
}
