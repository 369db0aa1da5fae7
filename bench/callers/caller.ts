/**
 * What the callers of both providers share: one socket, one conversation, and the judgement of every frame.
 */
import { WebSocket } from 'ws'
import { question, turnKey } from '../model-reply.js'
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
}

/** A provider's end of one call. Any frame it may not get, and any early end of the socket, fails the run. */
export abstract class Caller {
  /** Rejects when anything goes wrong that is not part of a reply's own check; never resolves. */
  readonly broken: Promise<never>
  protected readonly options: CallerOptions
  protected readonly socket: WebSocket
  protected readonly transcript: Transcript
  #break!: (error: Error) => void
  #greeted!: () => void
  readonly #greeting: Promise<void>
  #greetingText = ''
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
    this.#greeting = new Promise(resolve => { this.#greeted = resolve })
    this.socket = new WebSocket(url, { perMessageDeflate: false })
    this.socket.on('error', error => this.fail(`socket: ${error.message}`))
    this.socket.on('close', code => this.#closing || this.fail(`socket closed with ${code}`))
    this.socket.on('message', (data, isBinary) => isBinary ? this.fail('binary frame') : this.receive(data.toString()))
  }

  /** Resolves when the greeting was heard. */
  async begin (): Promise<void> {
    await Promise.race([this.#greeting, this.broken])
    this.transcript.add('agent', GREETING)
  }

  /**
   * The caller speaks, and the provider asks for an answer. An answer that is still coming in is superseded by this one.
   */
  ask (): Reply {
    const id = ++this.#newest
    const key = turnKey(this.options.call, id)
    if (this.#live !== undefined) {
      this.options.tally.counts.superseded++
      this.transcript.add('agent', this.#live.text)
      this.#live.supersede()
      this.#newestWasRead = false
    }
    this.transcript.add('user', question(key))
    const frame = this.request(id)
    const reply = this.#live = new Reply(id, key, this.options.tokens)
    this.socket.send(frame)
    return reply
  }

  /** Waits for the end of a reply, or of the call. */
  async hear (reply: Reply): Promise<void> {
    await Promise.race([reply.ended, this.broken])
  }

  /** Hangs up. The socket's end is no failure from now on. */
  hangUp (): void {
    this.#closing = true
    this.socket.close()
  }

  /** The provider's frame that asks for an answer. */
  protected abstract request (id: number): string

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
      this.options.tally.counts.addedMs.push(reply.complete())
    } catch (error) {
      return reply.fail(error as Error)
    }
    // Every token but the last was counted by the space that ends it.
    this.options.tally.counts.tokens++
    this.options.tally.counts.replies++
    this.transcript.add('agent', reply.text)
  }

  protected fail (why: string): void {
    this.#break(new Error(`call ${this.options.call}: ${why}`))
  }

  #heardGreeting (content: string, complete: boolean): void {
    this.#greetingText += content
    if (!complete) return
    if (this.#greetingText === GREETING) this.#greeted()
    else this.fail(`greeting is ${JSON.stringify(this.#greetingText)}`)
  }

  #heardDead (id: number): void {
    if (!Number.isInteger(id) || id > this.#newest) this.fail(`frame for turn ${id}, which was never asked for`)
    else if (this.#newestWasRead) this.fail(`frame for turn ${id} after the server read turn ${this.#newest}`)
    else this.options.tally.counts.lateFrames++
  }
}
