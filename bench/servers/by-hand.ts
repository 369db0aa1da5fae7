/**
 * Both providers' protocols as a careful user writes them by hand, for the servers that the plugin is compared with. They
 * are correct (a newer request aborts the older, nothing is sent for a dead turn, every answer ends), and nothing more: no
 * schemas, no deadlines, no admission.
 */
import { type WebSocket, WebSocketServer } from 'ws'
import { announce } from '../../test/helpers/announce.js'
import { answerProbes } from './probe.js'

/** What the model is told. */
export interface Message {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
}

/** Asks a model and says each token, none of them once the signal has aborted. Resolves at the answer's end. */
export type Ask = (messages: Message[], signal: AbortSignal, say: (token: string) => void) => Promise<void>

interface Utterance {
  readonly role: string
  readonly content: string
}

interface RetellFrame {
  readonly interaction_type?: string
  readonly timestamp?: number
  readonly response_id?: number
  readonly transcript?: readonly Utterance[]
}

interface MillisFrame {
  readonly type?: string
  readonly stream_id?: number
  readonly data?: { readonly stream_id?: number, readonly transcript?: readonly Utterance[] }
}

type Say = (content: string, complete: boolean) => void

/** The model, whose name sets its pace. */
export const MODEL = process.env['OPENAI_MODEL'] ?? 'bunch-50'
const INSTRUCTIONS = process.env['AGENT_INSTRUCTIONS'] ?? ''
const GREETING = process.env['AGENT_GREETING'] ?? 'How may I help you?'
const APOLOGY = 'I am sorry, can you say that again?'

/** A bare `ws` server for both providers. */
export function serve (ask: Ask): void {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  server.on('connection', (socket, request) => {
    if (request.url?.startsWith('/llm-websocket/') === true) serveRetell(socket, ask)
    else serveMillis(socket, ask)
  })
  server.on('listening', () => {
    answerProbes()
    announce(server.address())
  })
}

/** One call of Retell's. */
export function serveRetell (socket: WebSocket, ask: Ask): void {
  let turn: AbortController | undefined
  const sayFor = (id: number): Say => (content, complete) => {
    socket.send(JSON.stringify({ response_type: 'response', response_id: id, content, content_complete: complete }))
  }
  socket.send(JSON.stringify({ response_type: 'config', config: { auto_reconnect: true, call_details: true } }))
  socket.on('message', data => {
    const frame = parse<RetellFrame>(data.toString())
    if (frame?.interaction_type === 'ping_pong') {
      socket.send(JSON.stringify({ response_type: 'ping_pong', timestamp: frame.timestamp }))
    } else if (frame?.interaction_type === 'call_details') {
      sayFor(0)(GREETING, true)
    } else if (frame?.interaction_type === 'response_required' || frame?.interaction_type === 'reminder_required') {
      if (frame.response_id === undefined) return
      turn?.abort()
      turn = new AbortController()
      answer(ask, frame.transcript ?? [], sayFor(frame.response_id), turn.signal).catch(() => socket.terminate())
    }
  })
  socket.on('error', () => socket.terminate())
  socket.on('close', () => turn?.abort())
}

/** One call of Millis'. */
export function serveMillis (socket: WebSocket, ask: Ask): void {
  let turn: AbortController | undefined
  let turnId: number | undefined
  const sayFor = (id: number): Say => (content, complete) => {
    socket.send(JSON.stringify({ type: 'stream_response', data: { stream_id: id, content, end_of_stream: complete } }))
  }
  socket.on('message', data => {
    const frame = parse<MillisFrame>(data.toString())
    if (frame?.type === 'interrupt') {
      if (frame.stream_id === turnId) turn?.abort()
      return
    }
    const id = frame?.data?.stream_id
    if (id === undefined) return
    if (frame?.type === 'start_call') {
      sayFor(id)(GREETING, true)
    } else if (frame?.type === 'stream_request') {
      turn?.abort()
      turn = new AbortController()
      turnId = id
      answer(ask, frame.data?.transcript ?? [], sayFor(id), turn.signal).catch(() => socket.terminate())
    }
  })
  socket.on('error', () => socket.terminate())
  socket.on('close', () => turn?.abort())
}

async function answer (ask: Ask, transcript: readonly Utterance[], say: Say, signal: AbortSignal): Promise<void> {
  try {
    await ask(messagesOf(transcript), signal, token => say(token, false))
    if (!signal.aborted) say('', true)
  } catch {
    if (!signal.aborted) say(APOLOGY, true)
  }
}

function messagesOf (transcript: readonly Utterance[]): Message[] {
  return [
    { role: 'system', content: INSTRUCTIONS },
    ...transcript.map(({ role, content }): Message => ({ role: role === 'user' ? 'user' : 'assistant', content }))
  ]
}

function parse<T> (text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
