import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'

/** A frame from the server. */
export type Frame = Record<string, any>

/** A provider's side of one socket, driven by hand. Every frame from the server is kept in `frames`, from the first on. */
export class Caller {
  readonly socket: WebSocket
  readonly frames: Frame[] = []
  /** Resolves when the socket closed. */
  readonly closed: Promise<{ code: number, reason: string }>
  readonly #events = new EventEmitter().setMaxListeners(0)
  #read = 0

  constructor (socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data, binary) => {
      this.frames.push(binary ? { binary: true } : JSON.parse(String(data)))
      this.#events.emit('change')
    })
    socket.on('error', () => {})
    this.closed = new Promise(resolve => socket.on('close', (code, reason) => {
      resolve({ code, reason: String(reason) })
      this.#events.emit('change')
    }))
  }

  /** Sends an object as JSON, a string or bytes as they are (bytes as a binary frame). */
  send (...frames: Array<object | string | Buffer>): void {
    for (const frame of frames) {
      this.socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
    }
  }

  /** The next frame that was not read yet. Rejects when the socket closes first. */
  async next (): Promise<Frame> {
    while (this.frames.length <= this.#read) {
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error('the socket closed')
      await once(this.#events, 'change')
    }
    return this.frames[this.#read++]!
  }

  /** Reads frames until one fits, and returns all that were read, this one included. */
  async until (fits: (frame: Frame) => boolean): Promise<Frame[]> {
    const read: Frame[] = []
    for (;;) {
      const frame = await this.next()
      read.push(frame)
      if (fits(frame)) return read
    }
  }

  /** Reads a whole Retell response, to its completion. */
  response (id: number): Promise<Frame[]> {
    return this.until(frame => frame['response_id'] === id && frame['content_complete'] === true)
  }

  /** Reads a whole Millis response, to its end of stream. */
  stream (id: number | string): Promise<Frame[]> {
    return this.until(frame => frame['data']?.stream_id === id && frame['data'].end_of_stream === true)
  }

  /** Resolves when the server has read every frame sent so far: it answers protocol-level pings in order. */
  async settled (): Promise<void> {
    this.socket.ping()
    await once(this.socket, 'pong')
  }
}

/** Opens a socket through `injectWS`, from 127.0.0.1 unless told otherwise. */
export async function dial (t: Test, app: FastifyInstance, path: string, { address = '127.0.0.1', headers = {} } = {}): Promise<Caller> {
  let caller: Caller | undefined
  await app.injectWS(path, { headers, socket: { remoteAddress: address } } as never, {
    // Frames sent on open are lost for whoever listens later.
    onInit: socket => { caller = new Caller(socket) }
  })
  t.teardown(() => caller!.socket.terminate())
  return caller!
}

/** Opens a real socket. Rejects with the status of a refused handshake in the message. */
export async function dialUrl (t: Test, url: string, headers: Record<string, string> = {}): Promise<Caller> {
  const socket = new WebSocket(url, { headers })
  t.teardown(() => socket.terminate())
  const opened = once(socket, 'open')
  const caller = new Caller(socket)
  await opened
  return caller
}

/** Opens a Retell call, and reads the server's `config` frame. */
export async function dialRetell (t: Test, app: FastifyInstance, callId = 'call_1'): Promise<Caller> {
  const caller = await dial(t, app, `/llm-websocket/${callId}`)
  await caller.next()
  return caller
}

/** Retell's frames, as Retell sends them. */
export const retell = {
  details: (call: object = {}): Frame => ({ interaction_type: 'call_details', call: { call_type: 'web_call', call_status: 'registered', ...call } }),
  request: (id: unknown, ...words: string[]): Frame => ({ interaction_type: 'response_required', response_id: id, transcript: said(...words) }),
  reminder: (id: unknown, ...words: string[]): Frame => ({ interaction_type: 'reminder_required', response_id: id, transcript: said(...words) }),
  update: (...words: string[]): Frame => ({ interaction_type: 'update_only', transcript: said(...words) }),
  ping: (timestamp = 1): Frame => ({ interaction_type: 'ping_pong', timestamp })
}

/** Millis' frames, as Millis sends them. */
export const millis = {
  start: (id: unknown = 0, session = 'ses_1', data: object = {}): Frame => ({ type: 'start_call', data: { stream_id: id, agent_id: 'agt_1', session_id: session, ...data } }),
  request: (id: unknown, ...words: string[]): Frame => ({ type: 'stream_request', data: { stream_id: id, transcript: said(...words).map(({ role, content }) => ({ role: role === 'agent' ? 'assistant' : role, content })) } }),
  interrupt: (id: unknown): Frame => ({ type: 'interrupt', stream_id: id }),
  played: (id: unknown): Frame => ({ type: 'playback_finished', data: { session_id: 'ses_1', stream_id: id } })
}

// The caller speaks last; before that they take turns.
function said (...words: string[]): Array<{ role: string, content: string }> {
  return words.map((content, i) => ({ role: (words.length - i) % 2 === 1 ? 'user' : 'agent', content }))
}
