/**
 * What other nodes tell this one.
 */
import type { FastifyBaseLogger } from 'fastify'
import { parseMessage, type Message } from './messages.js'
import type { RedisClient } from './redis-client.js'

/** Whoever is told of what comes in. */
export interface Reader {
  receive (message: Message): void
  /** Messages may have been missed. */
  missed (): void
}

/** Listens to a node's channel, over a connection of its own. */
export class Mailbox {
  readonly #client: RedisClient
  readonly #channel: string
  readonly #log: FastifyBaseLogger
  readonly #reader: Reader
  #isSubscribing = false
  #isClosed = false
  #isDeaf = false

  constructor (client: RedisClient, channel: string, log: FastifyBaseLogger, reader: Reader) {
    this.#client = client
    this.#channel = channel
    this.#log = log
    this.#reader = reader
  }

  /** Resolves once it listens, or has failed to. Never rejects. */
  async start (): Promise<void> {
    // The way to Redis is watched elsewhere.
    this.#client.on('error', () => {})
    this.#client.on('message', (_: string, text: string) => this.#read(text))
    const isTried = new Promise<void>(resolve => {
      this.#client.on('close', resolve)
      this.#client.on('ready', () => {
        this.subscribe().then(() => { // eslint-disable-line @typescript-eslint/no-floating-promises
          resolve()
          this.#reader.missed()
        })
      })
    })
    this.#connect('wait')
    await isTried
  }

  /** To be called now and then: where a subscription was lost unseen, it is made again. Never rejects. */
  async subscribe (): Promise<void> {
    // A client that gave up, as some are told to, would be deaf for ever.
    this.#connect('end')
    if (this.#isSubscribing || this.#client.status !== 'ready') return
    this.#isSubscribing = true
    try {
      await this.#client.call('subscribe', this.#channel)
      this.#isDeaf = false
    } catch {
      // Where the connection was lost, its next one tells.
      if (this.#client.status === 'ready' && !this.#isDeaf && !this.#isClosed) {
        this.#isDeaf = true
        this.#log.warn({ channel: this.#channel }, 'Redis lets this node not subscribe: other nodes cannot reach its calls')
      }
    }
    this.#isSubscribing = false
  }

  close (): void {
    this.#isClosed = true
    this.#client.disconnect()
  }

  #connect (from: 'wait' | 'end'): void {
    if (this.#client.status === from) this.#client.connect().catch(() => {}) // The events tell as much.
  }

  #read (text: string): void {
    if (this.#isClosed) return
    const message = parseMessage(text)
    if (message !== undefined) return this.#reader.receive(message)
    this.#log.debug({ bytes: text.length }, 'message of another node ignored')
  }
}
