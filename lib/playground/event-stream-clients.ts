/**
 * Who looks at the live calls: server-sent events to each of them.
 */
import { Readable } from 'node:stream'
import type { LiveCallEvent } from './live-call-events.js'

const MAX_CLIENTS = 20

/** Whoever has not taken more than that is cut off, and begins anew. */
const MAX_BACKLOG_BYTES = 1024 * 1024

// Proxies cut off what is silent for a minute, some for half of it.
const KEEP_ALIVE_MS = 15_000

/** After which browsers come back. */
const RETRY_MS = 1_000

/** Each one's stream is its reply's, and closes with that. */
export class EventStreamClients {
  readonly #streams = new Set<Readable>()
  /** Written once in each turn of the event loop, however much happens in it. */
  #pending = ''
  #keepAlive: NodeJS.Timeout | undefined
  #isClosed = false

  get isFull (): boolean {
    return this.#isClosed || this.#streams.size >= MAX_CLIENTS
  }

  /** The body of a new one's reply, which begins with all that happened before. */
  add (snapshot: LiveCallEvent): Readable {
    // Is in the snapshot.
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

  /** Tells them the last there is, and cuts all of them off, also those who do not read. */
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
