/**
 * The part that all providers' callers share: a conversation, its pace, and a list of the server's protocol mistakes.
 */
import { EventEmitter } from 'node:events'
import type { TSchema } from '@sinclair/typebox'
import { checkNames } from '../contract/option-names.js'
import type { JsonObject } from '../contract/json.js'
import { INTERRUPT_OPTIONS, type CallerOptions, type InterruptOptions } from './caller-options.js'
import type { CallEnd, CallerEvents, Spoken, ToolRecord, WireFrame } from './caller-events.js'
import { realClock, type Clock } from './clock.js'
import type { CalledRoute } from './caller-provider.js'
import type { Finding, FindingCode } from './finding.js'
import { flawOf, isRunTogether } from './frame-check.js'
import { Line, NORMAL } from './line.js'
import { inTime } from './no-reply.js'
import { Reply, wordsOf, type ReplyAction } from './reply.js'
import type { DialTarget } from './target.js'

const MS_PER_MINUTE = 60_000

// Providers give up after this time.
const HANDSHAKE_TIMEOUT_MS = 7_000

/** A caller: the provider's side of one call. */
export abstract class Caller {
  /** The provider's id of the call. */
  abstract readonly id: string
  /** The server's mistakes, in order. */
  readonly findings: Finding[] = []
  /** All messages of all connections of this call. */
  readonly frames: WireFrame[] = []
  readonly replies: Reply[] = []
  /** The conversation, as the caller heard it. */
  readonly transcript: Spoken[] = []
  readonly tools: ToolRecord[] = []
  readonly events = new EventEmitter<CallerEvents>()
  /** Resolves when the call has ended. */
  readonly ended: Promise<CallEnd>
  protected readonly clock: Clock
  protected readonly line: Line
  readonly #timeoutMs: number
  readonly #msPerWord: number
  readonly #startedAt: number
  #playbackTimer: unknown
  /** Settles when it is known whether the last reply without a word is a finding. */
  #silenceCheck: Promise<void> = Promise.resolve()
  #resolveEnded!: (end: CallEnd) => void
  #end: CallEnd | undefined

  /** @param target see {@link DialTarget} */
  protected constructor (target: DialTarget, path: string, address: string, route: CalledRoute, options: CallerOptions) {
    const { clock = realClock, timeoutMs = 10_000, wordsPerMinute = Infinity, headers = {}, attempts = 1, redialMs = 0 } = options
    this.clock = clock
    this.#timeoutMs = timeoutMs
    this.#msPerWord = MS_PER_MINUTE / wordsPerMinute
    this.#startedAt = clock.now()
    this.ended = new Promise(resolve => { this.#resolveEnded = resolve })
    const dial = { path, address: options.address ?? address, route, headers, timeoutMs: Math.min(timeoutMs, HANDSHAKE_TIMEOUT_MS) }
    this.line = new Line({ target, dial, attempts, redialMs, timeoutMs }, {
      clock,
      isOver: () => this.#end !== undefined,
      recorded: (from, frame) => this.#record({ from, frame, atMs: this.elapsedMs }),
      received: (frame, binary) => this.receive(frame, binary),
      pongMissed: () => this.found('no-pong', 'a ping is not answered, as RFC 6455 wants it to be'),
      disconnected: () => this.events.emit('disconnected'),
      closed: code => this.closed(code),
      redialling: () => this.stop(),
      redialled: () => this.events.emit('redialled')
    })
  }

  /** How the call ended; undefined during the call. */
  get end (): CallEnd | undefined {
    return this.#end
  }

  /** Since the call began, in ms. */
  get elapsedMs (): number {
    return this.clock.now() - this.#startedAt
  }

  /** The latest reply, which may still stream. */
  get reply (): Reply | undefined {
    return this.replies.at(-1)
  }

  /**
   * Says something. Resolves with the reply when it is over: spoken to its end, or cut off by a newer one or the end of the call.
   * If the connection breaks meanwhile, resolves with the reply that was requested again.
   */
  async say (text: string): Promise<Reply> {
    return await this.hear(this.ask(text))
  }

  /**
   * Says something. Returns the reply at once, while it streams.
   * @throws Error when the agent is speaking uninterruptibly, or the call is over
   */
  ask (text: string): Reply {
    this.assertLive()
    const { reply } = this
    if (reply?.isOver === false) {
      if (reply.isUninterruptible) throw new Error('the agent cannot be interrupted now')
      this.#talkOver(reply, reply.spoken)
    }
    const last = this.transcript.at(-1)
    // The last request was not answered, so append to the same utterance.
    if (last?.role === 'user' && reply?.outcome !== 'completed') {
      this.transcript[this.transcript.length - 1] = { role: 'user', content: `${last.content} ${text}` }
    } else {
      this.transcript.push({ role: 'user', content: text })
    }
    return this.request(text)
  }

  /**
   * Talks over the current reply. The caller has heard only what was spoken by then. A reply that is over, or uninterruptible,
   * is heard to its end first.
   */
  async interrupt (text: string, options: InterruptOptions = {}): Promise<Reply> {
    return await this.hear(await this.askOver(text, options))
  }

  /** As {@link Caller.interrupt}, but resolves as soon as the new reply begins. */
  async askOver (text: string, options: InterruptOptions = {}): Promise<Reply> {
    checkNames('interrupt', options, INTERRUPT_OPTIONS)
    const { reply } = this
    if (reply?.isOver === false) {
      await this.spoken(reply, options)
      if (reply.isUninterruptible) await reply.over()
      const { afterWords = 1, afterMs } = options
      // Without a pace, words are spoken as they arrive, and more than were asked for may have arrived together.
      const heard = afterMs === undefined ? wordsOf(reply.text).slice(0, Math.max(afterWords, 1)).join('') : reply.spoken
      if (!reply.isOver) this.#talkOver(reply, heard)
    }
    return this.ask(text)
  }

  /** Resolves when this much of a reply was spoken, or the reply is over. */
  async spoken (reply: Reply, { afterWords = 1, afterMs }: InterruptOptions = {}): Promise<void> {
    await inTime(reply.words(afterMs === undefined ? afterWords : 1), reply, this.clock, this.#timeoutMs)
    await this.#silenceCheck
    const left = (afterMs === undefined ? reply.spokenMs(afterWords) : (reply.firstTokenMs ?? 0) + afterMs) - reply.elapsedMs
    if (left <= 0) return
    let timer: unknown
    const passed = new Promise<void>(resolve => { timer = this.clock.setTimeout(resolve, left) })
    await Promise.race([passed, reply.over()])
    this.clock.clearTimeout(timer as never)
  }

  /** Resolves when the server has read all sent frames and its immediate answers have arrived, or the connection is gone. */
  async settled (): Promise<void> {
    await this.line.isAnswered()
  }

  /** Breaks the connection. Resolves when the provider has reconnected and repeated the pending request, or the call is over. */
  async drop (): Promise<void> {
    this.assertLive()
    await this.line.redial(() => this.droppedLine())
  }

  /** Hangs up. */
  async hangUp (): Promise<CallEnd> {
    this.finish({ by: 'caller', reason: 'user_hangup' })
    this.line.close(NORMAL)
    return await this.ended
  }

  /** Waits until a reply is over. If the connection breaks meanwhile, resolves with the reply that was requested again. */
  async hear (reply: Reply): Promise<Reply> {
    await inTime(reply.words(Infinity), reply, this.clock, this.#timeoutMs)
    await reply.over()
    await this.#silenceCheck
    const next = this.replies[this.replies.indexOf(reply) + 1]
    return reply.outcome === 'lost' && next !== undefined ? await this.hear(next) : reply
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

  /** True if the provider accepts the frame; otherwise adds a finding. */
  protected takes (accepts: Readonly<Record<string, TSchema>>, type: unknown, frame: JsonObject): boolean {
    const flaw = flawOf(accepts, type, frame)
    if (flaw !== undefined) this.found(flaw.code, flaw.message, frame)
    return flaw === undefined
  }

  /** Adds speech to a requested reply. @returns false if the reply is no longer current */
  protected hears (reply: Reply, content: string, frame: JsonObject): boolean {
    if (reply !== this.reply) {
      // An empty closing frame is harmless.
      const isStale = (this.line.wasRead || this.reply?.reason === 'interjection') && content !== ''
      if (isStale) this.found('stale-response', 'a newer request was read before: nobody hears it', frame)
      return false
    }
    if (!reply.isLive) {
      if (reply.outcome === 'completed') this.found('after-completion', 'this reply was completed: nobody hears it', frame)
      return false
    }
    if (isRunTogether(reply.text, content)) this.found('run-together-words', 'a space is missing between two frames', frame)
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

  /** The text of a reply is complete. The reply is over when it was spoken. */
  protected completed (reply: Reply): void {
    reply.end('completed')
    const isSilent = reply.reason === 'response' && reply.text.trim() === '' && reply.action === undefined
    if (isSilent) this.#silenceCheck = this.#checkSilence(reply)
    const left = reply.spokenMs() - reply.elapsedMs
    if (left <= 0) return this.#played(reply)
    this.#playbackTimer = this.clock.setTimeout(() => this.#played(reply), left)
  }

  // A frame that ends the call, or speech outside a turn, may follow.
  async #checkSilence (reply: Reply): Promise<void> {
    const isAnswered = await this.line.isAnswered()
    const next = this.replies[this.replies.indexOf(reply) + 1]
    if (!isAnswered || this.#end !== undefined || next?.reason === 'interjection') return
    this.found('silent-reply', 'the reply was completed without a word and without an action: the caller hears silence')
  }

  #played (reply: Reply): void {
    this.#heard(reply, reply.text)
    this.played(reply)
  }

  /** Ends a reply early. The part that the caller heard joins the transcript. */
  protected cutOff (reply: Reply, outcome: 'superseded' | 'interrupted' | 'lost', heard = reply.spoken): void {
    this.clock.clearTimeout(this.#playbackTimer as never)
    reply.end(outcome)
    this.#heard(reply, heard)
  }

  #heard (reply: Reply, heard: string): void {
    reply.silence(heard)
    if (heard.trim() !== '') this.transcript.push({ role: 'agent', content: heard })
  }

  #talkOver (reply: Reply, heard: string): void {
    this.cutOff(reply, reply.text === '' ? 'superseded' : 'interrupted', heard)
    // Providers discard the pending action without notice.
    reply.action = undefined
    if (reply.text !== '') this.talkedOver(reply)
  }

  /** Ends the call. */
  protected finish (end: CallEnd): void {
    if (this.#end !== undefined) return
    this.#end = end
    const { reply } = this
    if (reply?.isOver === false) this.cutOff(reply, 'lost')
    this.stop()
    this.#resolveEnded(end)
  }

  /** Carries out an action of a reply that was spoken. */
  protected carryOut (action: ReplyAction): void {
    if (action.type === 'press-digits') return
    this.finish(action.type === 'end-call'
      ? { by: 'agent', reason: 'agent_hangup' }
      : { by: 'agent', reason: 'call_transfer', destination: action.destination })
    this.line.close(NORMAL)
  }

  protected assertLive (): void {
    if (this.#end !== undefined) throw new Error(`the call is over: ${this.#end.reason}`)
  }

  /** Reconnects after the caller broke the connection. Never rejects. */
  protected abstract droppedLine (): Promise<void>
  /** Clears the timers of the connection. */
  protected stop (): void {}

  /** Sends the request for a turn, and begins it. */
  protected abstract request (text: string): Reply
  /** The caller began to speak over a reply. */
  protected abstract talkedOver (reply: Reply): void
  /** A reply was spoken to its end. */
  protected abstract played (reply: Reply): void
  protected abstract receive (frame: unknown, binary: boolean): void
  /** The server closed the connection, or it broke, during the call. */
  protected abstract closed (code: number): void
}
