/**
 * The clients of the page of live calls, each with a stream of server-sent events.
 */
import { Readable } from 'node:stream'
import type { LiveCallEvent } from './live-call-events.js'

const MAX_CLIENTS = 20

/** A client with a larger backlog is cut off, and reconnects. */
const MAX_BACKLOG_BYTES = 1024 * 1024

// Proxies close connections that are idle for a minute, some after 30 s.
const KEEP_ALIVE_MS = 15_000

/** When browsers reconnect. */
const RETRY_MS = 1_000

/** Each client's stream is the body of its reply, and closes with it. */
export class EventStreamClients {
  readonly #streams = new Set<Readable>()
  /** Events to write in one go, once per turn of the event loop. */
  #pending = ''
  #keepAlive: NodeJS.Timeout | undefined
  #isClosed = false

  get isFull (): boolean {
    return this.#isClosed || this.#streams.size >= MAX_CLIENTS
  }

  /** The body of a new client's reply, which begins with the snapshot. */
  add (snapshot: LiveCallEvent): Readable {
    // The snapshot has these events already.
    this.#flush()
    const stream = new Readable({ read () {} })
    stream.push(`retry: ${RETRY_MS}\n${toFrame(snapshot)}`)
    stream.on('close', () => {
      this.#streams.delete(stream)
      if (this.#streams.size > 0) return
      clearInterval(this.#keepAlive)
      this.#keepAlive = undefined
    })
    this.#streams.add(stream)
    this.#keepAlive ??= setInterval(() => this.#write(': still here\n\n'), KEEP_ALIVE_MS).unref()
    return stream
  }

  tell (event: LiveCallEvent): void {
    if (this.#streams.size === 0) return
    if (this.#pending === '') setImmediate(() => this.#flush())
    this.#pending += toFrame(event)
  }

  /** Sends the pending events and closes all streams, also of clients that do not read. */
  close (): void {
    this.#isClosed = true
    this.#flush()
    for (const stream of this.#streams) stream.destroy()
  }

  #flush (): void {
    const text = this.#pending
    this.#pending = ''
    this.#write(text)
  }

  #write (text: string): void {
    const bytes = Buffer.from(text)
    for (const stream of this.#streams) {
      if (stream.readableLength > MAX_BACKLOG_BYTES) stream.destroy()
      else stream.push(bytes)
    }
  }
}

// JSON has no line feeds.
function toFrame (event: LiveCallEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}
