/**
 * Short texts are written to a WebSocket's stream in one piece. `ws` makes two buffers of each, and a list of them, for the
 * same bytes: that costs a fifth of the write itself.
 */
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { Socket } from './socket.js'

/** FIN, and the opcode of a text. */
const TEXT = 0x81

// One byte has their length, or says that two more have it.
const SHORT_BYTES = 125
const TWO_MORE = 126
const LONGEST_BYTES = 0xFFFF

const NOT_ASCII = /[\u0080-\uffff]/

/**
 * Encodes a text as a server's frame, one character per byte. Undefined for texts that are not ASCII or longer than 64 KiB.
 */
export function toFrame (text: string): string | undefined {
  const { length } = text
  if (length > LONGEST_BYTES || NOT_ASCII.test(text)) return undefined
  const head = length <= SHORT_BYTES
    ? String.fromCharCode(TEXT, length)
    : String.fromCharCode(TEXT, TWO_MORE, length >> 8, length & 0xFF)
  return head + text
}

/** A server's side of a WebSocket. Uncommon frames go through `ws`, which queues nothing itself unless it compresses. */
export class DirectSocket implements Socket {
  readonly #socket: WebSocket
  /** Undefined where what is sent does not go there as it is. */
  readonly #stream: Duplex | undefined

  /** @param stream the one that the socket was made with */
  constructor (socket: WebSocket, stream: Duplex) {
    this.#socket = socket
    this.#stream = socket.extensions === '' ? stream : undefined
  }

  get bufferedAmount (): number {
    return this.#socket.bufferedAmount
  }

  send (text: string, written?: () => void): void {
    const frame = this.#stream === undefined || this.#socket.readyState !== WebSocket.OPEN ? undefined : toFrame(text)
    if (frame === undefined) this.#socket.send(text, written)
    else this.#stream!.write(frame, 'latin1', written)
  }

  ping (): void {
    this.#socket.ping()
  }

  pause (): void {
    this.#socket.pause()
  }

  close (code: number, reason: string): void {
    this.#socket.close(code, reason)
  }

  terminate (): void {
    this.#socket.terminate()
  }
}
