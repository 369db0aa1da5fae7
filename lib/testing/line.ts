import { WebSocket } from 'ws'
import type { WireFrame } from './caller-events.js'
import type { Clock } from './clock.js'
import type { DialOptions } from './dial-options.js'
import { openSocket } from './dial.js'
import type { DialTarget } from './target.js'

/** Closes a connection normally. */
export const NORMAL = 1000

const ATTEMPTS_APART_MS = 3_000

/** How long a server may take to close its side. */
const CLOSE_TIMEOUT_MS = 1_000

/** How a line dials. */
export interface LineOptions {
  readonly target: DialTarget
  readonly dial: DialOptions
  /** How often the first connection is tried, 3 s apart. */
  readonly attempts: number
  /** Delay before a reconnect, in ms. */
  readonly redialMs: number
  /** How long a pong may take, in ms. */
  readonly timeoutMs: number
}

/** What a line calls back; its members are called without it. */
export interface LineOwner {
  readonly clock: Clock
  /** True once the call has ended: the line neither reconnects nor delivers frames any more. */
  isOver (): boolean
  /** A frame was sent or received. */
  recorded (from: WireFrame['from'], frame: unknown): void
  received (frame: unknown, binary: boolean): void
  /** A ping was not answered in time. */
  pongMissed (): void
  /** The open connection broke or was dropped during the call. */
  disconnected (): void
  /** The server closed the open connection, or it broke, during the call. */
  closed (code: number): void
  /** A reconnect begins. */
  redialling (): void
  /** A reconnect succeeded. */
  redialled (): void
}

/** The connection of one call: connects and reconnects, keeps frames until it is open, and knows which requests the server has read. */
export class Line {
  readonly #options: LineOptions
  readonly #owner: LineOwner
  #socket: WebSocket | undefined
  #requests = 0
  #read = 0
  /** One callback for each pending ping. */
  #pings: Array<(isAnswered: boolean) => void> = []
  /** Frames and requests to send after the reconnect. */
  #unsent: Array<() => void> = []
  #redialling: Promise<void> = Promise.resolve()

  constructor (options: LineOptions, owner: LineOwner) {
    this.#options = options
    this.#owner = owner
  }

  get #isOpen (): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  /** True if the server has read the newest request: it answers pings in order. Earlier frames may have crossed with the request. */
  get wasRead (): boolean {
    return this.#read === this.#requests
  }

  /** Calls `open` for the first connection, and again after a failure while attempts are left. Rejects with the last error. */
  async connectFirst (open: () => Promise<void>): Promise<void> {
    for (let left = this.#options.attempts; left > 1; left--) {
      try {
        return await open()
      } catch {}
      await this.#pass(ATTEMPTS_APART_MS)
    }
    await open()
  }

  /**
   * Opens a connection that replaces the one before. {@link Line.flush} then sends the pending frames.
   * @throws DialError when the server refuses, or cannot be reached
   */
  async connect (): Promise<void> {
    await openSocket(this.#options.target, this.#options.dial, socket => {
      // The caller hung up during the handshake.
      if (this.#owner.isOver()) return socket.terminate()
      const pings: Array<(isAnswered: boolean) => void> = this.#pings = []
      let isOpen = false
      this.#socket = socket
      socket.on('open', () => { isOpen = true })
      socket.on('pong', () => { pings.shift()?.(true) })
      socket.on('message', (data, binary) => { if (socket === this.#socket) this.#receive(data as Buffer, binary) })
      socket.on('close', code => {
        for (const resolve of pings.splice(0)) resolve(false)
        if (!isOpen || socket !== this.#socket || this.#owner.isOver()) return
        this.#owner.disconnected()
        this.#owner.closed(code)
      })
    })
  }

  /** Drops the connection and calls `dial`, after any reconnect in progress. Never rejects, provided `dial` does not. */
  async redial (dial: () => Promise<void>): Promise<void> {
    this.#redialling = this.#redialling.then(async () => {
      if (this.#owner.isOver()) return
      this.#drop()
      this.#owner.redialling()
      if (this.#options.redialMs > 0) await this.#pass(this.#options.redialMs)
      if (!this.#owner.isOver()) await dial()
      if (this.#isOpen) this.#owner.redialled()
    })
    // The new connection may break at once, which starts the next reconnect.
    for (let last; last !== this.#redialling;) await (last = this.#redialling)
  }

  /** Closes the connection normally; terminates it if the server does not close its side in time. */
  close (code: number): void {
    const socket = this.#socket
    socket?.close(code)
    setTimeout(() => socket?.terminate(), CLOSE_TIMEOUT_MS).unref()
  }

  /** Sends a frame, or keeps it until {@link Line.flush} if the connection is not open. */
  send (frame: object): void {
    if (!this.#isOpen) {
      this.#unsent.push(() => this.send(frame))
      return
    }
    this.#owner.recorded('provider', frame)
    this.#socket!.send(JSON.stringify(frame))
  }

  /** Marks that a request was sent, for {@link Line.wasRead}. */
  requested (): void {
    if (!this.#isOpen) {
      this.#unsent.push(() => this.requested())
      return
    }
    const request = ++this.#requests
    this.#ping(isAnswered => { if (isAnswered) this.#read = request })
  }

  /** Sends the frames kept while the connection was not open. @returns true if there were any */
  flush (): boolean {
    const unsent = this.#unsent.splice(0)
    for (const send of unsent) send()
    return unsent.length > 0
  }

  /** Pings the server. Resolves with true once it answers; with false on a timeout, or without an open connection. */
  async isAnswered (): Promise<boolean> {
    if (!this.#isOpen) return false
    const { clock, pongMissed } = this.#owner
    let timer: unknown
    const answered = new Promise<boolean>(resolve => {
      this.#ping(resolve)
      timer = clock.setTimeout(() => {
        pongMissed()
        resolve(false)
      }, this.#options.timeoutMs)
    })
    const isAnswered = await answered
    clock.clearTimeout(timer as never)
    return isAnswered
  }

  #ping (resolve: (isAnswered: boolean) => void): void {
    this.#pings.push(resolve)
    this.#socket?.ping()
  }

  // Frames still in flight are lost.
  #drop (): void {
    const socket = this.#socket
    this.#socket = undefined
    if (socket?.readyState === WebSocket.OPEN) this.#owner.disconnected()
    socket?.terminate()
  }

  #receive (data: Buffer, binary: boolean): void {
    let frame: unknown = binary ? data : String(data)
    try {
      if (!binary) frame = JSON.parse(String(data))
    } catch {}
    this.#owner.recorded('server', frame)
    if (!this.#owner.isOver()) this.#owner.received(frame, binary)
  }

  #pass (ms: number): Promise<void> {
    return new Promise(resolve => { this.#owner.clock.setTimeout(resolve, ms) })
  }
}
