/**
 * What the callers of both providers have in common: a socket, a conversation, and a list of what the server got wrong.
 */
import type { WebSocket } from 'ws'
import { realClock, type Clock } from './clock.js'
import { openSocket, type DialOptions } from './dial.js'
import { Reply, wordsOf, type ReplyAction } from './reply.js'
import type { DialTarget } from './target.js'

/** Something that the provider drops, that it ends the call for, or that its callers would suffer from. */
export interface Finding {
  /** What kind of thing it is, as `stale-response`. */
  readonly code: string
  /** What is wrong, and what becomes of it. */
  readonly message: string
  /** The frame, where it is about one. */
  readonly frame?: unknown
  /** Since the call began, in ms. */
  readonly atMs: number
}

/** One message on the wire. */
export interface WireFrame {
  readonly from: 'provider' | 'server'
  /** Parsed; the text where it is no JSON, the bytes where it is no text. */
  readonly frame: unknown
  readonly atMs: number
}

/** One entry of a conversation as the provider reports it. */
export interface Spoken {
  readonly role: 'user' | 'agent'
  readonly content: string
}

/** A tool call that the server put on record. */
export interface ToolRecord {
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
  readonly result?: string
  readonly successful?: boolean
}

/** How a call ended. */
export interface CallEnd {
  /** Who ended it: the caller, the agent (by an action, or by closing the socket in good order), or a fault of the server's. */
  readonly by: 'caller' | 'agent' | 'fault'
  /** In the provider's words, where it has some. */
  readonly reason: string
  /** Where it went to, after a transfer. */
  readonly destination?: string
}

/** Options of both providers' callers. */
export interface CallerOptions {
  /** Default the real one. */
  clock?: Clock
  /** How long to wait for a reply to be over, in ms. Default 10,000. */
  timeoutMs?: number
  /** Headers of the handshake. Default none: the providers send none of their own. */
  headers?: Readonly<Record<string, string>>
  /** Where the call seems to come from, where an app is called. Default Retell's own address; for Millis 127.0.0.1. */
  address?: string
}

/** Where a reply is to be talked over. */
export interface InterruptOptions {
  /** After so many words of it. Default what has come by then, at least one. */
  afterWords?: number
}

/** The reply did not come to its end in time, or the call ended first. */
export class NoReplyError extends Error {
  override readonly name = 'NoReplyError'
  /** What had come of it. */
  readonly reply: Reply

  constructor (why: string, reply: Reply) {
    super(`${why}; what had come of the reply to ${JSON.stringify(reply.id)}: ${JSON.stringify(reply.text)}`)
    this.reply = reply
  }
}

const NORMAL = 1000

/** A caller, on the provider's side of one call. */
export abstract class Caller {
  /** What the server got wrong, in the order in which it did. */
  readonly findings: Finding[] = []
  /** All messages of all connections of this call. */
  readonly frames: WireFrame[] = []
  readonly replies: Reply[] = []
  /** The conversation, as heard. */
  readonly transcript: Spoken[] = []
  readonly tools: ToolRecord[] = []
  /** Resolves once the call is over. */
  readonly ended: Promise<CallEnd>
  protected readonly clock: Clock
  protected readonly timeoutMs: number
  #socket: WebSocket | undefined
  readonly #target: DialTarget
  readonly #dialOptions: DialOptions
  readonly #startedAt: number
  #asked = 0
  #read = 0
  /** For each ping that is not answered yet. */
  #whenAnswered: Array<() => void> = []
  #end!: (end: CallEnd) => void
  #ending: CallEnd | undefined

  /** @param target see {@link DialTarget} */
  protected constructor (target: DialTarget, path: string, address: string, { clock = realClock, timeoutMs = 10_000, headers = {}, address: own = address }: CallerOptions) {
    this.#target = target
    this.#dialOptions = { path, address: own, headers }
    this.clock = clock
    this.timeoutMs = timeoutMs
    this.#startedAt = clock.now()
    this.ended = new Promise(resolve => { this.#end = resolve })
  }

  /** How it ended; undefined while it goes on. */
  get end (): CallEnd | undefined {
    return this.#ending
  }

  /** The reply that streams, or the last one. */
  get reply (): Reply | undefined {
    return this.replies.at(-1)
  }

  /** Says something, and resolves with the reply once that is over: completed, or cut off by a newer one or the end of the call. */
  async say (text: string): Promise<Reply> {
    return await this.hear(this.ask(text))
  }

  /** Says something. The reply is there at once, and grows. */
  ask (text: string): Reply {
    this.assertLive()
    const live = this.reply
    if (live?.isLive === true) this.talkOver(live, live.text)
    this.transcript.push({ role: 'user', content: text })
    return this.request(text)
  }

  /**
   * Talks over the reply that streams, and says something else. The caller heard no more of it than what had come by then.
   * Where it is over already, that was heard to its end.
   */
  async interrupt (text: string, { afterWords = 1 }: InterruptOptions = {}): Promise<Reply> {
    const live = this.reply
    if (live?.isLive === true) {
      await this.inTime(live.words(afterWords), live)
      if (live.isLive) this.talkOver(live, wordsOf(live.text).slice(0, Math.max(afterWords, 1)).join(''))
    }
    return await this.say(text)
  }

  /** Resolves once the server has read all that was sent, and what it says to that at once has come. */
  async settled (): Promise<void> {
    if (this.#ending !== undefined) return
    const answered = new Promise<void>(resolve => { this.#whenAnswered.push(resolve) })
    this.#socket?.ping()
    await Promise.race([answered, this.ended])
  }

  /** Hangs up. */
  async hangUp (): Promise<CallEnd> {
    this.finish({ by: 'caller', reason: 'user_hangup' })
    this.close(NORMAL)
    return await this.ended
  }

  /** Waits for a reply to be over. */
  protected async hear (reply: Reply): Promise<Reply> {
    return await this.inTime(reply.over(), reply)
  }

  protected async inTime<T> (waiting: Promise<T>, reply: Reply): Promise<T> {
    let timer: unknown
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.clock.setTimeout(() => reject(new NoReplyError(`no end after ${this.timeoutMs} ms`, reply)), this.timeoutMs)
    })
    try {
      return await Promise.race([waiting, late])
    } finally {
      this.clock.clearTimeout(timer as never)
    }
  }

  /** Opens a connection, which takes the place of the one before. */
  protected async connect (): Promise<void> {
    await openSocket(this.#target, this.#dialOptions, socket => {
      this.#socket = socket
      this.#whenAnswered = []
      socket.on('pong', () => { this.#whenAnswered.shift()?.() })
      socket.on('message', (data, binary) => { if (socket === this.#socket) this.#receive(data as Buffer, binary) })
      socket.on('close', code => { if (socket === this.#socket && this.#ending === undefined) this.closed(code) })
    })
  }

  /** Breaks the connection. Nothing that is still on its way arrives. */
  protected breakOff (): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.terminate()
  }

  /** Closes the connection in good order. */
  protected close (code: number): void {
    this.#socket?.close(code)
  }

  /** A request was sent. */
  protected requested (): void {
    const asked = ++this.#asked
    this.#whenAnswered.push(() => { this.#read = asked })
    this.#socket?.ping()
  }

  /** Has the server read the newest request? It answers pings in order. Until then what it sends may have crossed with it. */
  protected get wasRead (): boolean {
    return this.#read === this.#asked
  }

  #receive (data: Buffer, binary: boolean): void {
    let frame: unknown = binary ? data : String(data)
    try {
      if (!binary) frame = JSON.parse(String(data))
    } catch {}
    this.frames.push({ from: 'server', frame, atMs: this.now() })
    if (this.#ending === undefined) this.receive(frame, binary)
  }

  protected send (frame: object): void {
    this.frames.push({ from: 'provider', frame, atMs: this.now() })
    this.#socket?.send(JSON.stringify(frame))
  }

  /** Since the call began, in ms. */
  protected now (): number {
    return this.clock.now() - this.#startedAt
  }

  protected found (code: string, message: string, frame?: unknown): void {
    this.findings.push({ code, message, ...(frame !== undefined && { frame }), atMs: this.now() })
  }

  /** A turn begins. */
  protected begin (id: string | number, reason: Reply['reason']): Reply {
    const live = this.reply
    if (live?.isLive === true) this.over(live, 'superseded')
    const reply = new Reply(id, reason, () => this.clock.now())
    this.replies.push(reply)
    return reply
  }

  /** A reply is over, and what was heard of it is part of the conversation. */
  protected over (reply: Reply, outcome: 'completed' | 'superseded' | 'interrupted' | 'lost', heard = reply.text): void {
    reply.end(outcome, heard)
    if (heard.trim() !== '') this.transcript.push({ role: 'agent', content: heard })
  }

  /** The call is over. */
  protected finish (end: CallEnd): void {
    if (this.#ending !== undefined) return
    this.#ending = end
    const live = this.reply
    if (live?.isLive === true) this.over(live, 'lost')
    this.stop()
    this.#end(end)
  }

  /** An action is carried out. */
  protected carryOut (action: ReplyAction): void {
    switch (action.type) {
      case 'end-call':
        return this.#leave({ by: 'agent', reason: 'agent_hangup' })
      case 'transfer-call':
        return this.#leave({ by: 'agent', reason: 'call_transfer', destination: action.destination })
      case 'press-digits':
        return undefined
    }
  }

  #leave (end: CallEnd): void {
    this.finish(end)
    this.close(NORMAL)
  }

  protected assertLive (): void {
    if (this.#ending !== undefined) throw new Error(`the call is over: ${this.#ending.reason}`)
  }

  /** Nothing is to be done any more. */
  protected stop (): void {}

  /** Sends the request for a turn, and begins it. */
  protected abstract request (text: string): Reply
  /** The caller begins to speak while a reply streams, of which they heard this. */
  protected abstract talkOver (reply: Reply, heard: string): void
  protected abstract receive (frame: unknown, binary: boolean): void
  /** The server closed the connection, or it broke, in mid-call. */
  protected abstract closed (code: number): void
}
