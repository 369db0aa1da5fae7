/**
 * What a careful user writes by hand: a bare `ws` server and the official client with its default transport, one frame
 * a token. It is correct (a newer request aborts the older, nothing is sent for a dead turn, every answer ends), and
 * nothing more: no logs, no schemas, no deadlines, no admission.
 */
import OpenAI from 'openai'
import { type WebSocket, WebSocketServer } from 'ws'
import { announce } from './announce.js'
import { answerProbes } from './probe.js'

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

const INSTRUCTIONS = process.env['AGENT_INSTRUCTIONS'] ?? ''
const GREETING = process.env['AGENT_GREETING'] ?? 'How may I help you?'
const MODEL = process.env['OPENAI_MODEL'] ?? 'bunch-50'
const APOLOGY = 'I am sorry, can you say that again?'

const openai = new OpenAI()
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
server.on('connection', (socket, request) => {
  socket.on('error', () => socket.terminate())
  if (request.url?.startsWith('/llm-websocket/') === true) serveRetell(socket)
  else serveMillis(socket)
})
server.on('listening', () => {
  answerProbes()
  announce(server.address())
})

function serveRetell (socket: WebSocket): void {
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
      answer(frame.transcript ?? [], sayFor(frame.response_id), turn.signal).catch(() => socket.terminate())
    }
  })
  socket.on('close', () => turn?.abort())
}

function serveMillis (socket: WebSocket): void {
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
      answer(frame.data?.transcript ?? [], sayFor(id), turn.signal).catch(() => socket.terminate())
    }
  })
  socket.on('close', () => turn?.abort())
}

async function answer (transcript: readonly Utterance[], say: Say, signal: AbortSignal): Promise<void> {
  try {
    const stream = await openai.chat.completions.create({ model: MODEL, stream: true, messages: messagesOf(transcript) }, { signal })
    for await (const chunk of stream) {
      if (signal.aborted) return
      const content = chunk.choices[0]?.delta.content
      if (content !== undefined && content !== null && content !== '') say(content, false)
    }
    if (!signal.aborted) say('', true)
  } catch {
    if (!signal.aborted) say(APOLOGY, true)
  }
}

function messagesOf (transcript: readonly Utterance[]): OpenAI.ChatCompletionMessageParam[] {
  return [
    { role: 'system', content: INSTRUCTIONS },
    ...transcript.map(({ role, content }): OpenAI.ChatCompletionMessageParam =>
      role === 'user' ? { role: 'user', content } : { role: 'assistant', content })
  ]
}

function parse<T> (text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
