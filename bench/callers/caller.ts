/**
 * What the callers of both providers share: one conversation, the connection it goes over, and the judgement of every
 * frame.
 */
import { WebSocket } from 'ws'
import { type Fault, question, turnKey } from '../model-reply.js'
import { GREETING } from '../processes.js'
import { Reply } from './reply.js'
import type { Tally } from './tally.js'
import type { Transcript } from './transcript.js'

/** What a caller is told when it is made. */
export interface CallerOptions {
  /** Base URL of the server, without the provider's path. */
  readonly url: string
  /** Number of the call, part of every key and of the call's id. */
  readonly call: number
  /** How many tokens the model's replies have. */
  readonly tokens: number
  readonly tally: Tally
  /** How long greeting and answers may take, in ms; 30,000 unless given. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 30_000
const NORMAL_CLOSURE = 1000

/** A provider's end of one call. Any frame it may not get, and any early end of the socket, fails the run. */
export abstract class Caller {
  /** Rejects when anything goes wrong that is not part of a reply's own check; never resolves. */
  readonly broken: Promise<never>
  protected readonly options: CallerOptions
  protected readonly transcript: Transcript
  readonly #url: string
  readonly #timeoutMs: number
  #socket: WebSocket
  #dials = 0
  #break!: (error: Error) => void
  #greeted!: () => void
  #greeting!: Promise<void>
  #greetingText = ''
  #openedAt = NaN
  #wasGreeted = false
  #newest = 0
  #live: Reply | undefined
  /** The server is known to have read the newest request, so nothing older may come any more. */
  #newestWasRead = true
  #closing = false

  constructor (url: string, transcript: Transcript, options: CallerOptions) {
    this.options = options
    this.transcript = transcript
    this.broken = new Promise((_resolve, reject) => { this.#break = reject })
    this.broken.catch(() => {})
    this.#url = url
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    this.#socket = this.#dial()
  }

  protected get socket (): WebSocket {
    return this.#socket
  }

  /** Was the call dialled before? */
  protected get isRedialled (): boolean {
    return this.#dials > 1
  }

  /** Resolves when the greeting was heard. */
  async begin (): Promise<void> {
    const timer = setTimeout(() => this.fail(`not greeted after ${this.#timeoutMs} ms`), this.#timeoutMs)
    await Promise.race([this.#greeting, this.broken]).finally(() => clearTimeout(timer))
  }

  /**
   * The caller speaks, and the provider asks for an answer. An answer that is still coming in is superseded by this one.
   * @param fault what is to go wrong with the model
   */
  ask (fault?: Fault): Reply {
    const id = ++this.#newest
    const key = turnKey(this.options.call, id)
    if (this.#live !== undefined) {
      this.options.tally.counts.superseded++
      this.bargeIn(this.#live.id)
      this.#cutOff()
      this.#newestWasRead = false
    }
    this.transcript.add('user', question(key, fault))
    this.send(this.request(id))
    // Behind the write, which masks the frame first: what the caller takes for it is not the server's.
    return (this.#live = new Reply(id, key, { tokens: this.options.tokens, fault, timeoutMs: this.#timeoutMs }))
  }

  /** Waits for the end of a reply, or of the call. */
  async hear (reply: Reply): Promise<void> {
    await Promise.race([reply.ended, this.broken])
  }

  /** Hangs up. The socket's end is no failure from now on. */
  hangUp (): void {
    this.#cutOff()
    this.#closing = true
    this.socket.close(NORMAL_CLOSURE)
  }

  /** The connection breaks. What was being said is lost, and the socket's end is no failure. */
  drop (): void {
    this.#cutOff()
    this.#closing = true
    this.socket.terminate()
  }

  /**
   * Dials the same call again, whether or not its connection broke: the newer one counts. Resolves when the call goes on,
   * which it does without a second greeting.
   */
  async redial (): Promise<void> {
    this.#cutOff()
    this.closed()
    this.#closing = false
    // The older turns' connection is not listened to any more.
    this.#newestWasRead = true
    this.#socket = this.#dial()
    await this.begin()
    this.options.tally.counts.redials++
  }

  /** Sends a frame that means nothing. */
  babble (frame: string | Buffer): void {
    this.options.tally.counts.malformed++
    this.send(frame)
  }

  /** Asks for proof that the newest request was read, where the provider has means to. */
  fence (): void {}

  /** The provider's frame that asks for an answer. */
  protected abstract request (id: number): string

  /** A connection stands. */
  protected abstract opened (): void

  /** The connection is gone, or about to be replaced. */
  protected closed (): void {}

  /** The caller speaks over the answer of this turn. */
  protected bargeIn (_id: number): void {}

  protected send (frame: string | Buffer, binary = typeof frame !== 'string'): void {
    this.socket.send(frame, { binary })
  }

  /** One frame from the server. */
  protected abstract receive (text: string): void

  /** Called when the server is known to have read everything that was sent up to the newest request. */
  protected newestWasRead (): void {
    this.#newestWasRead = true
  }

  /** A piece of speech arrived. */
  protected heard (id: number, content: string, complete: boolean): void {
    if (this.#closing) return
    if (id === 0) return this.#heardGreeting(content, complete)
    if (id !== this.#newest) return this.#heardDead(id)
    const reply = this.#live
    if (reply === undefined) return this.fail(`frame for turn ${id} after its completion`)
    this.#newestWasRead = true
    this.options.tally.counts.tokens += reply.add(content)
    if (!complete) return
    this.#live = undefined
    try {
      this.#count(reply.complete())
    } catch (error) {
      return reply.fail(error as Error)
    }
    this.transcript.add('agent', reply.text)
  }

  protected fail (why: string): void {
    this.#break(new Error(`call ${this.options.call}: ${why}`))
  }

  #dial (): WebSocket {
    this.#dials++
    this.#greetingText = ''
    this.#greeting = new Promise(resolve => { this.#greeted = resolve })
    const socket = new WebSocket(this.#url, { perMessageDeflate: false })
    // What becomes of a connection that was replaced is of no interest.
    const when = <A extends unknown[]>(act: (...args: A) => void) => (...args: A): void => { if (socket === this.#socket) act(...args) }
    socket.on('open', when(() => {
      this.#openedAt = performance.now()
      this.opened()
    }))
    socket.on('error', when(error => this.#closing || this.fail(`socket: ${error.message}`)))
    socket.on('close', when(code => {
      this.closed()
      if (!this.#closing) this.fail(`socket closed with ${code}`)
    }))
    socket.on('message', when((data, isBinary) => isBinary ? this.fail('binary frame') : this.receive(data.toString())))
    return socket
  }

  #cutOff (): void {
    if (this.#live === undefined) return
    this.transcript.add('agent', this.#live.text)
    this.#live.cutOff()
    this.#live = undefined
  }

  #count (addedMs: number | undefined): void {
    const { counts } = this.options.tally
    if (addedMs === undefined) {
      counts.fallbacks++
      return
    }
    // Every token but the last was counted by the space that ends it.
    counts.tokens++
    counts.replies++
    counts.addedMs.push(addedMs)
  }

  #heardGreeting (content: string, complete: boolean): void {
    if (this.#greetingText === '' && content !== '' && !this.isRedialled) this.options.tally.counts.greetingMs.push(performance.now() - this.#openedAt)
    this.#greetingText += content
    if (!complete) return
    // A greeting that was on its way when the connection broke may count as heard, one that was heard does.
    const isRight = this.#greetingText === '' ? this.isRedialled : this.#greetingText === GREETING && !this.#wasGreeted
    if (!isRight) return this.fail(`greeting is ${JSON.stringify(this.#greetingText)}${this.isRedialled ? ' after dialling again' : ''}`)
    this.transcript.add('agent', this.#greetingText)
    this.#wasGreeted = true
    this.#greeted()
  }

  #heardDead (id: number): void {
    if (!Number.isInteger(id) || id > this.#newest) this.fail(`frame for turn ${id}, which was never asked for`)
    else if (this.#newestWasRead) this.fail(`frame for turn ${id} after the server read turn ${this.#newest}`)
    else this.options.tally.counts.lateFrames++
  }
}
