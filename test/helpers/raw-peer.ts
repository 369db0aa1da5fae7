import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

/** First bytes of WebSocket frames: the last bit of its first half byte says that more follows. */
export const TEXT = 0x81
export const TEXT_UNFINISHED = 0x01
export const CONTINUATION_UNFINISHED = 0x00
export const CONTINUATION_LAST = 0x80
export const CLOSE = 0x88
export const PING = 0x89
export const PONG = 0x8a

/** A WebSocket frame by hand, masked with zeros. */
export function rawFrame (first: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload)
  const length = bytes.length < 126 ? Buffer.from([0x80 | bytes.length]) : Buffer.from([0x80 | 126, bytes.length >> 8, bytes.length & 255])
  return Buffer.concat([Buffer.from([first]), length, Buffer.alloc(4), bytes])
}

/** The beginning of a text frame that is to have so many bytes. */
export function rawHeader (bytes: number): Buffer {
  const header = Buffer.from([TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  header.writeUInt32BE(bytes, 6)
  return header
}

/** The text of a request for an upgrade, with headers added, or replaced where they are named the same. */
export function upgradeRequest (target: string, headers: Record<string, string | undefined> = {}, method = 'GET'): string {
  const all = {
    Host: 'x', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers
  }
  const lines = Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** A peer that writes whatever it likes, byte by byte. What comes back is kept, and a close frame is answered by hanging up. */
export class RawPeer {
  readonly socket: Socket
  /** Resolves when the socket closed, with all that came. */
  readonly closed: Promise<Buffer>
  #received: Buffer = Buffer.alloc(0)

  constructor (t: Test, port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    t.teardown(() => this.socket.destroy())
    this.socket.setMaxListeners(0)
    this.socket.on('data', data => {
      this.#received = Buffer.concat([this.#received, data])
      // As whoever speaks the protocol does.
      if (closeCodeIn(this.#received) !== undefined) this.socket.end()
    })
    // What the server no longer reads may come back as a reset.
    this.socket.on('error', () => {})
    this.closed = new Promise(resolve => this.socket.on('close', () => resolve(this.#received)))
    this.socket.on('end', () => this.socket.end())
  }

  /** Connects, and asks for an upgrade, which is granted. */
  static async upgraded (t: Test, port: number, target = '/llm-websocket/raw'): Promise<RawPeer> {
    const peer = new RawPeer(t, port)
    peer.write(upgradeRequest(target))
    await peer.heard(/^HTTP\/1\.1 101 [^]*\r\n\r\n/)
    return peer
  }

  /** All that came, a byte a character. */
  get text (): string {
    return this.#received.toString('latin1')
  }

  write (bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Resolves once what came looks like this. Rejects when the socket closes first. */
  async heard (pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) {
      if (this.socket.closed) throw new Error(`the socket closed after ${JSON.stringify(this.text)}`)
      await Promise.race([once(this.socket, 'data'), this.closed])
    }
  }
}

/** The code of the close frame in what a server sent behind its 101; undefined where there is none. */
export function closeCodeIn (received: Buffer): number | undefined {
  const end = received.indexOf('\r\n\r\n')
  for (let at = end === -1 ? Infinity : end + 4; at + 4 <= received.length;) {
    if (received[at] === CLOSE) return received.readUInt16BE(at + 2)
    const length = received[at + 1]!
    at += 2 + (length < 126 ? length : length === 126 ? 2 + received.readUInt16BE(at + 2) : 8 + received.readUInt32BE(at + 6))
  }
  return undefined
}
