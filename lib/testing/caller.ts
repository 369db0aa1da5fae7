/**
 * What the callers of both providers have in common: a socket, a conversation, and a list of what the server got wrong.
 */
import { EventEmitter } from 'node:events'
import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { WebSocket } from 'ws'
import { checkNames } from '../contract/option-names.js'
import type { JsonObject } from '../contract/json.js'
import { INTERRUPT_OPTIONS, type CallerOptions, type InterruptOptions } from './caller-options.js'
import { realClock, type Clock } from './clock.js'
import type { CalledRoute } from './caller-provider.js'
import { openSocket, type DialOptions } from './dial.js'
import type { Finding, FindingCode } from './finding.js'
import { Reply, wordsOf, type ReplyAction } from './reply.js'
import type { DialTarget } from './target.js'

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

/** What becomes known of a call while it goes on. */
export interface CallerEvents {
  frame: [WireFrame]
  /** A turn begins. */
  reply: [Reply]
  finding: [Finding]
  /** The connection broke, or was given up, in mid-call. */
  disconnected: []
  /** It was dialled again, the new connection stands, and what was asked for is asked for again. */
  redialled: []
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

/** Closes a connection in good order. */
export const NORMAL = 1000

const MS_PER_MINUTE = 60_000

// Providers wait for no longer.
const HANDSHAKE_TIMEOUT_MS = 7_000
const ATTEMPTS_APART_MS = 3_000

/** How long a server may take to close its side. */
const CLOSE_TIMEOUT_MS = 1_000

/** A caller, on the provider's side of one call. */
export abstract class Caller {
  /** The provider's id of the call. */
  abstract readonly id: string
  /** What the server got wrong, in the order in which it did. */
  readonly findings: Finding[] = []
  /** All messages of all connections of this call. */
  readonly frames: WireFrame[] = []
  readonly replies: Reply[] = []
  /** The conversation, as heard. */
  readonly transcript: Spoken[] = []
  readonly tools: ToolRecord[] = []
  readonly events = new EventEmitter<CallerEvents>()
  /** Resolves once the call is over. */
  readonly ended: Promise<CallEnd>
  protected readonly clock: Clock
  readonly #timeoutMs: number
  readonly #msPerWord: number
  #playing: unknown
  #socket: WebSocket | undefined
  readonly #target: DialTarget
  readonly #dialOptions: DialOptions
  readonly #attempts: number
  readonly #redialMs: number
  readonly #startedAt: number
  #asked = 0
  #read = 0
  /** For each ping that is not answered yet: told whether it was. */
  #whenAnswered: Array<(isAnswered: boolean) => void> = []
  /** What is to be said once the line is back. */
  #unsent: Array<() => void> = []
  #redialling: Promise<void> = Promise.resolve()
  /** Settled once it is known whether the last reply without a word is a finding. */
  #judging: Promise<void> = Promise.resolve()
  #end!: (end: CallEnd) => void
  #ending: CallEnd | undefined

  /** @param target see {@link DialTarget} */
  protected constructor (target: DialTarget, path: string, address: string, route: CalledRoute, options: CallerOptions) {
    const { clock = realClock, timeoutMs = 10_000, wordsPerMinute = Infinity, headers = {}, attempts = 1, redialMs = 0 } = options
    this.#target = target
    this.#attempts = attempts
    this.#redialMs = redialMs
    this.#dialOptions = { path, address: options.address ?? address, route, headers, timeoutMs: Math.min(timeoutMs, HANDSHAKE_TIMEOUT_MS) }
    this.clock = clock
    this.#timeoutMs = timeoutMs
    this.#msPerWord = MS_PER_MINUTE / wordsPerMinute
    this.#startedAt = clock.now()
    this.ended = new Promise(resolve => { this.#end = resolve })
  }

  /** How it ended; undefined while it goes on. */
  get end (): CallEnd | undefined {
    return this.#ending
  }

  /** Since the call began, in ms. */
  get elapsedMs (): number {
    return this.clock.now() - this.#startedAt
  }

  /** The reply that streams, or the last one. */
  get reply (): Reply | undefined {
    return this.replies.at(-1)
  }

  /**
   * Says something, and resolves with the reply once that is over: spoken to its end, or cut off by a newer one or the end of
   * the call. Where the line breaks meanwhile, that is the reply of whoever was dialled again.
   */
  async say (text: string): Promise<Reply> {
    return await this.hear(this.ask(text))
  }

  /**
   * Says something. The reply is there at once, and grows.
   * @throws Error when the agent speaks and lets nobody interrupt it, or the call is over
   */
  ask (text: string): Reply {
    this.assertLive()
    const { reply } = this
    if (reply?.isOver === false) {
      if (reply.isUninterruptible) throw new Error('the agent lets nobody interrupt it now')
      this.#talkOver(reply, reply.spoken)
    }
    const last = this.transcript.at(-1)
    // Who was not answered yet goes on with what they were saying.
    if (last?.role === 'user' && reply?.outcome !== 'completed') this.transcript[this.transcript.length - 1] = { role: 'user', content: `${last.content} ${text}` }
    else this.transcript.push({ role: 'user', content: text })
    return this.request(text)
  }

  /**
   * Talks over the reply that is spoken, and says something else. Of that reply the caller heard no more than what was
   * spoken by then. Where it is over already, or lets nobody interrupt it, it was heard to its end.
   */
  async interrupt (text: string, options: InterruptOptions = {}): Promise<Reply> {
    return await this.hear(await this.askOver(text, options))
  }

  /** The same, without waiting for the new reply, which grows. */
  async askOver (text: string, options: InterruptOptions = {}): Promise<Reply> {
    checkNames('interrupt', options, INTERRUPT_OPTIONS)
    const { reply } = this
    if (reply?.isOver === false) {
      await this.spoken(reply, options)
      if (reply.isUninterruptible) await reply.over()
      // Without a pace of their own, words are spoken as soon as they come, and more of them may have come at once.
      const { afterWords = 1, afterMs } = options
      if (!reply.isOver) this.#talkOver(reply, afterMs === undefined ? wordsOf(reply.text).slice(0, Math.max(afterWords, 1)).join('') : reply.spoken)
    }
    return this.ask(text)
  }

  /** Resolves once so much of a reply was spoken, or no more will be. */
  async spoken (reply: Reply, { afterWords = 1, afterMs }: InterruptOptions = {}): Promise<void> {
    await this.#inTime(reply.words(afterMs === undefined ? afterWords : 1), reply)
    await this.#judging
    const left = (afterMs === undefined ? reply.spokenMs(afterWords) : (reply.firstTokenMs ?? 0) + afterMs) - reply.elapsedMs
    if (left <= 0) return
    let timer: unknown
    const passed = new Promise<void>(resolve => { timer = this.clock.setTimeout(resolve, left) })
    await Promise.race([passed, reply.over()])
    this.clock.clearTimeout(timer as never)
  }

  /** Resolves once the server has read all that was sent, and what it says to that at once has come; or the line is gone. */
  async settled (): Promise<void> {
    await this.isAnswered()
  }

  /** The same. @returns whether the server answered */
  protected async isAnswered (): Promise<boolean> {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false
    let timer: unknown
    const answered = new Promise<boolean>(resolve => {
      this.#ping(resolve)
      timer = this.clock.setTimeout(() => {
        this.found('no-pong', 'a ping is not answered, as RFC 6455 wants it to be')
        resolve(false)
      }, this.#timeoutMs)
    })
    const isAnswered = await answered
    this.clock.clearTimeout(timer as never)
    return isAnswered
  }

  #ping (whenAnswered: (isAnswered: boolean) => void): void {
    this.#whenAnswered.push(whenAnswered)
    this.#socket?.ping()
  }

  /** The line breaks. Resolves once the provider has dialled again, and what streamed was asked for again; or the call is over. */
  async drop (): Promise<void> {
    this.assertLive()
    await this.redial(() => this.droppedLine())
  }

  /** Dials again, once whoever does so already is done. Never rejects. */
  protected async redial (dial: () => Promise<void>): Promise<void> {
    this.#redialling = this.#redialling.then(async () => {
      if (this.#ending !== undefined) return
      this.#breakOff()
      this.stop()
      if (this.#redialMs > 0) await this.#pass(this.#redialMs)
      if (this.#ending === undefined) await dial()
      if (this.#socket?.readyState === WebSocket.OPEN) this.events.emit('redialled')
    })
    // A line that breaks again at once is dialled again, too.
    for (let last; last !== this.#redialling;) await (last = this.#redialling)
  }

  /** Hangs up. */
  async hangUp (): Promise<CallEnd> {
    this.finish({ by: 'caller', reason: 'user_hangup' })
    this.close(NORMAL)
    return await this.ended
  }

  /** Waits for a reply to be over. Where the line breaks meanwhile it is that of whoever was dialled again. */
  async hear (reply: Reply): Promise<Reply> {
    await this.#inTime(reply.words(Infinity), reply)
    await reply.over()
    await this.#judging
    const next = this.replies[this.replies.indexOf(reply) + 1]
    return reply.outcome === 'lost' && next !== undefined ? await this.hear(next) : reply
  }

  async #inTime<T> (waiting: Promise<T>, reply: Reply): Promise<T> {
    let timer: unknown
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.clock.setTimeout(() => reject(new NoReplyError(`no end after ${this.#timeoutMs} ms`, reply)), this.#timeoutMs)
    })
    try {
      return await Promise.race([waiting, late])
    } finally {
      this.clock.clearTimeout(timer as never)
    }
  }

  /** Opens the first connection, as `open` does, and tries that as often as it is to be tried. */
  protected async connectFirst (open: () => Promise<void>): Promise<void> {
    for (let left = this.#attempts; left > 1; left--) {
      try {
        return await open()
      } catch {}
      await this.#pass(ATTEMPTS_APART_MS)
    }
    await open()
  }

  #pass (ms: number): Promise<void> {
    return new Promise(resolve => { this.clock.setTimeout(resolve, ms) })
  }

  /** Opens a connection, which takes the place of the one before. Afterwards {@link Caller.flush} says what waited for it. */
  protected async connect (): Promise<void> {
    await openSocket(this.#target, this.#dialOptions, socket => {
      // Hung up while it was dialled.
      if (this.#ending !== undefined) return socket.terminate()
      const waiting: Array<(isAnswered: boolean) => void> = this.#whenAnswered = []
      let isOpen = false
      this.#socket = socket
      socket.on('open', () => { isOpen = true })
      socket.on('pong', () => { waiting.shift()?.(true) })
      socket.on('message', (data, binary) => { if (socket === this.#socket) this.#receive(data as Buffer, binary) })
      socket.on('close', code => {
        for (const tell of waiting.splice(0)) tell(false)
        if (!isOpen || socket !== this.#socket || this.#ending !== undefined) return
        this.events.emit('disconnected')
        this.closed(code)
      })
    })
  }

  // Nothing that is still on its way arrives.
  #breakOff (): void {
    const socket = this.#socket
    this.#socket = undefined
    if (socket?.readyState === WebSocket.OPEN) this.events.emit('disconnected')
    socket?.terminate()
  }

  /** Closes the connection in good order. */
  protected close (code: number): void {
    const socket = this.#socket
    socket?.close(code)
    setTimeout(() => socket?.terminate(), CLOSE_TIMEOUT_MS).unref()
  }

  /** A request was sent. */
  protected requested (): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      this.#unsent.push(() => this.requested())
      return
    }
    const asked = ++this.#asked
    this.#ping(isAnswered => { if (isAnswered) this.#read = asked })
  }

  /** Says what was said while the line was gone. @returns whether there was anything */
  protected flush (): boolean {
    const unsent = this.#unsent.splice(0)
    for (const send of unsent) send()
    return unsent.length > 0
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
    this.#record({ from: 'server', frame, atMs: this.elapsedMs })
    if (this.#ending === undefined) this.receive(frame, binary)
  }

  protected send (frame: object): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      this.#unsent.push(() => this.send(frame))
      return
    }
    this.#record({ from: 'provider', frame, atMs: this.elapsedMs })
    this.#socket.send(JSON.stringify(frame))
  }

  #record (frame: WireFrame): void {
    this.frames.push(frame)
    this.events.emit('frame', frame)
  }

  protected found (code: FindingCode, message: string, frame?: unknown): void {
    const finding = { code, message, ...(frame !== undefined && { frame }), atMs: this.elapsedMs }
    this.findings.push(finding)
    this.events.emit('finding', finding)
  }

  /** Is it a frame that the provider takes? Else that is a finding. */
  protected takes (accepts: Readonly<Record<string, TSchema>>, type: unknown, frame: JsonObject): boolean {
    const schema = Object.hasOwn(accepts, String(type)) ? accepts[String(type)] : undefined
    if (schema === undefined) {
      this.found('unknown-type', 'the provider knows no such frame, and drops it', frame)
      return false
    }
    const error = Value.Errors(schema, frame).First()
    if (error === undefined) return true
    this.found('malformed', `${String(type)}${error.path}: ${error.message}; the provider drops the frame`, frame)
    return false
  }

  /** Takes speech of a reply that was asked for, unless nobody wants it any more. */
  protected hears (reply: Reply, content: string, frame: JsonObject): boolean {
    if (reply !== this.reply) {
      // A closing frame without words does no harm.
      if ((this.wasRead || this.reply?.reason === 'interjection') && content !== '') this.found('stale-response', 'a newer request was read before: nobody hears it', frame)
      return false
    }
    if (!reply.isLive) {
      if (reply.outcome === 'completed') this.found('after-completion', 'this reply was completed: nobody hears it', frame)
      return false
    }
    if (/[\p{Ll}\p{N}][.!?]$/u.test(reply.text) && /^\p{Lu}/u.test(content)) this.found('run-together-words', 'nobody puts a space between two frames', frame)
    reply.add(content)
    return true
  }

  /** A turn begins. */
  protected begin (id: string | number, reason: Reply['reason']): Reply {
    const reply = new Reply(id, reason, () => this.elapsedMs, this.#msPerWord)
    this.replies.push(reply)
    this.events.emit('reply', reply)
    return reply
  }

  /** All of a reply has come. It is over once it was spoken. */
  protected completed (reply: Reply): void {
    reply.end('completed')
    if (reply.reason === 'response' && reply.text.trim() === '' && reply.action === undefined) this.#judging = this.#judgeSilence(reply)
    const left = reply.spokenMs() - reply.elapsedMs
    if (left <= 0) return this.#played(reply)
    this.#playing = this.clock.setTimeout(() => this.#played(reply), left)
  }

  // Behind it may come a frame that ends the call, or speech outside a turn.
  async #judgeSilence (reply: Reply): Promise<void> {
    const isAnswered = await this.isAnswered()
    const next = this.replies[this.replies.indexOf(reply) + 1]
    if (!isAnswered || this.#ending !== undefined || next?.reason === 'interjection') return
    this.found('silent-reply', 'the reply was completed without a word and without an action: the caller hears silence')
  }

  #played (reply: Reply): void {
    this.#heard(reply, reply.text)
    this.played(reply)
  }

  /** A reply ends before its end. What was heard of it is part of the conversation. */
  protected cutOff (reply: Reply, outcome: 'superseded' | 'interrupted' | 'lost', heard = reply.spoken): void {
    this.clock.clearTimeout(this.#playing as never)
    reply.end(outcome)
    this.#heard(reply, heard)
  }

  #heard (reply: Reply, heard: string): void {
    reply.silence(heard)
    if (heard.trim() !== '') this.transcript.push({ role: 'agent', content: heard })
  }

  #talkOver (reply: Reply, heard: string): void {
    this.cutOff(reply, reply.text === '' ? 'superseded' : 'interrupted', heard)
    // What was to follow is discarded in silence.
    reply.action = undefined
    if (reply.text !== '') this.talkedOver(reply)
  }

  /** The call is over. */
  protected finish (end: CallEnd): void {
    if (this.#ending !== undefined) return
    this.#ending = end
    const { reply } = this
    if (reply?.isOver === false) this.cutOff(reply, 'lost')
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

  /** Dials again after the caller has broken the line. Never rejects. */
  protected abstract droppedLine (): Promise<void>
  /** Nothing is to be done any more. */
  protected stop (): void {}

  /** Sends the request for a turn, and begins it. */
  protected abstract request (text: string): Reply
  /** The caller began to speak while a reply was spoken. */
  protected abstract talkedOver (reply: Reply): void
  /** A reply was spoken to its end. */
  protected abstract played (reply: Reply): void
  protected abstract receive (frame: unknown, binary: boolean): void
  /** The server closed the connection, or it broke, in mid-call. */
  protected abstract closed (code: number): void
}
