import type { Socket } from 'node:net'
import { context, ROOT_CONTEXT } from '@opentelemetry/api'
import type { buildConnector } from 'undici'

/** As long as other idle connections are kept. Many servers hang up sooner, and then it is opened again with the next request. */
const SPARE_MS = 120_000

/** One connection that is opened ahead of need, so that no caller waits for its handshakes. Whoever made it closes it. */
export class SpareConnection {
  readonly #connect: buildConnector.connector
  readonly #options: buildConnector.Options
  /** Local ports of spare connections that were put to use: the server may have been about to hang up. */
  readonly #kept = new Set<number | undefined>()
  #socket: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #isOpening = false
  /** Somebody who needs a connection while it is being opened. */
  #heir: buildConnector.Callback | undefined
  #isClosed = false

  constructor (connect: buildConnector.connector, { hostname, host, protocol, port }: URL) {
    this.#connect = connect
    // An address of IPv6 is dialled without its brackets, as undici's client does.
    this.#options = { hostname: hostname.replace(/^\[|\]$/g, ''), host, protocol, port }
  }

  /** Opens it, unless it is open. What goes wrong is left to whoever needs a connection. */
  open (): void {
    if (this.#socket !== undefined || this.#isOpening || this.#isClosed) return
    this.#isOpening = true
    try {
      this.#dial(this.#options, (...[error, socket]) => {
        const heir = this.#heir
        this.#isOpening = false
        this.#heir = undefined
        if (heir !== undefined) return error === null ? heir(null, socket) : heir(error, null)
        if (error === null) this.#keep(socket)
      })
    } catch {
      this.#isOpening = false
    }
  }

  // It will serve many turns, and is to keep the trace of none.
  #dial (options: buildConnector.Options, callback: buildConnector.Callback): void {
    context.with(ROOT_CONTEXT, () => this.#connect(options, callback))
  }

  #keep (socket: Socket): void {
    if (this.#isClosed) {
      socket.destroy()
      return
    }
    this.#socket = socket.unref()
    // Whatever there is to read, if only its end, says that the server is tired of waiting.
    socket.on('error', this.#drop).on('close', this.#drop).on('readable', this.#drop)
    this.#timer = setTimeout(this.#drop, SPARE_MS).unref()
  }

  /** Opens a connection for a dispatcher: the spare one, where there is one. */
  readonly connect: buildConnector.connector = (options, callback) => {
    const socket = this.#take()
    if (socket === undefined) {
      if (!this.#isOpening || this.#heir !== undefined) return this.#dial(options, callback)
      this.#heir = callback
      return
    }
    const { localPort } = socket // unknown once it is closed
    this.#kept.add(localPort)
    // Whoever lost a request with it asks right afterwards.
    socket.once('close', () => setImmediate(() => this.#kept.delete(localPort)))
    process.nextTick(callback, null, socket.ref())
  }

  /** Had this connection been waiting before it was put to use? */
  wasKept (localPort: number | undefined): boolean {
    return this.#kept.has(localPort)
  }

  /** Closes it for good. */
  close (): void {
    this.#isClosed = true
    this.#drop()
  }

  readonly #drop = (): void => { this.#take()?.destroy() }

  #take (): Socket | undefined {
    const socket = this.#socket
    this.#socket = undefined
    clearTimeout(this.#timer)
    socket?.off('error', this.#drop).off('close', this.#drop).off('readable', this.#drop)
    return socket
  }
}
