/**
 * One socket of a provider: decodes what comes in, bounds what goes out, and notices when nobody is there any more. A
 * call may outlive it.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { Codec, ProviderEvent } from '../providers/codec.js'
import { logFault } from '../telemetry/failure.js'
import { PULSE_MS } from './pulse.js'
import type { Socket } from '../http/socket.js'
import { Speaker } from './speaker.js'

/** What concerns a call; keep-alives do not. */
export type CallEvent = Exclude<ProviderEvent, { type: 'keepalive' }>

/** Whose connection it is: a call. */
export interface ConnectionOwner {
  readonly log: FastifyBaseLogger
  /** Has the call introduced itself? */
  readonly hasBegun: boolean
  /** A frame came. Returns whether it is to be read. */
  received (bytes: number): boolean
  handle (event: CallEvent, bytes: number): void
  /** Called every {@link PULSE_MS} of an open connection. */
  pulse (): void
  /** The connection is over. Told once more when the socket has closed. */
  disconnected (connection: Connection, code: number): void
}

// An agent is not asked for more while so much waits to be sent: some thousand words.
const HIGH_WATER_BYTES = 64 * 1024

// As much as a peer may send us in one frame.
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024

// A provider that changed its frames overnight must not lose its calls over it; who sends nothing else must.
const MALFORMED_BURST = 1_000
const MALFORMED_PER_PULSE = 500

// What was on its way when the connection was closed; who sends more does not mean to stop.
const MOST_AFTER_END = 1_000

// Close codes.
const NORMAL = 1000
const POLICY_VIOLATION = 1008

const START_TIMEOUT_MS = 30_000

// Proxies cut what is idle for a minute, some for less.
const PING_INTERVAL_MS = 20_000

// Two pings may get lost. Retell, which sends keep-alives every 2 s, gives a connection up itself after 5 s.
const SILENCE_TIMEOUT_MS = 60_000
const KEEPALIVE_TIMEOUT_MS = 15_000

/** Made with its socket; over when that closes. Whoever made it tells it what the socket does. */
export class Connection {
  readonly codec: Codec
  readonly speaker: Speaker
  /** Set before the first frame comes. Where a call could not take it, as a logger of the user's threw, nobody is. */
  owner!: ConnectionOwner
  readonly #socket: Socket
  #room: Promise<void> | undefined
  #malformed = 0
  #ignored = 0
  #hasSpoken = false
  #keepsAlive = false
  /** Closed, or about to be: what still comes is for nobody. */
  #isOver = false
  #isDeaf = false
  /** Until its call has started. */
  #place: { started (): void } | undefined
  #peakBytes = 0
  #ageMs = 0
  #silentMs = 0

  /** @param place told once the provider spoke and its call has begun */
  constructor (socket: Socket, codec: Codec, place?: { started (): void }) {
    this.#socket = socket
    this.#place = place
    this.codec = codec
    this.speaker = new Speaker(this, codec)
  }

  /** Resolves once the provider took what waits to be sent; undefined while it keeps up. */
  get room (): Promise<void> | undefined {
    return this.#room
  }

  /** Reads one frame. Never throws, and never waits. */
  receive (data: Buffer, binary: boolean): void {
    if (this.#isOver) return this.#ignore()
    if (this.#isDeaf) return
    this.#silentMs = 0
    try {
      if (!this.owner.received(data.length)) return
      const event = this.codec.decode(data, binary)
      if (event.type === 'keepalive') {
        this.#keepsAlive = true
        this.speaker.send(event.reply)
      } else {
        this.owner.handle(event, data.length)
      }
      if (event.type === 'ignored' && event.malformed) this.#countMalformed()
      else this.#hasSpoken = true
      if (this.#place !== undefined && this.#hasStarted) {
        this.#place.started()
        this.#place = undefined
      }
    } catch (error) {
      logFault(this.owner.log, error, 'frame could not be handled')
    }
  }

  /** A ping or a pong came, which is dealt with by the socket itself. It costs as much as any frame, and counts as one. */
  heard (bytes: number): void {
    if (this.#isOver) return this.#ignore()
    if (this.#isDeaf) return
    this.#silentMs = 0
    this.owner.received(bytes)
  }

  /** The socket is closed. */
  closed (code: number): void {
    this.#isOver = true
    const owner = this.owner as ConnectionOwner | undefined
    owner?.disconnected(this, code)
  }

  /** Writes a frame. For the {@link Speaker} alone. */
  send (frame: string): void {
    if (this.#room === undefined && this.#socket.bufferedAmount > HIGH_WATER_BYTES) {
      this.#room = new Promise(resolve => this.#socket.send(frame, () => {
        this.#room = undefined
        resolve()
      }))
    } else {
      this.#socket.send(frame)
    }
    const now = this.#socket.bufferedAmount
    if (now > this.#peakBytes) this.#peakBytes = now
    if (!this.#isOver && now > MAX_BUFFERED_BYTES) this.#giveUp('the provider does not read')
  }

  /** The most that the provider had not taken yet, in bytes, since this was called last. */
  takePeak (): number {
    const peak = this.#peakBytes
    this.#peakBytes = 0
    return peak
  }

  /** Reads no more of what the peer sends, which it will notice: what it sends is too much. */
  deafen (): void {
    if (this.#isOver) return
    this.#isDeaf = true
    this.#socket.pause()
  }

  /** Closes the socket in such a way that the provider dials another node where it can. */
  drop (): void {
    const { redialCode } = this.codec
    this.#isOver = true
    if (redialCode === undefined) this.#socket.terminate()
    else this.#close(redialCode, 'the call moves to another connection')
  }

  /** Closes the socket in good order: the call is over. */
  hangUp (): void {
    this.#close(NORMAL, 'the call was ended')
    // Not only when the peer agrees.
    this.owner.disconnected(this, NORMAL)
  }

  /** Called every {@link PULSE_MS}. */
  pulse (): void {
    this.#malformed = Math.max(0, this.#malformed - MALFORMED_PER_PULSE)
    this.#ageMs += PULSE_MS
    this.#silentMs += PULSE_MS
    if (this.#isOver) {
      // Closed, and the peer does not answer that.
      if (this.#silentMs > PULSE_MS) this.#socket.terminate()
      return
    }
    if (this.#ageMs >= START_TIMEOUT_MS && !this.#hasStarted) return this.reject('the call did not start')
    this.owner.pulse()
    if (this.#isOver || this.#isDeaf) return
    if (this.#keepsAlive) {
      if (this.#silentMs >= KEEPALIVE_TIMEOUT_MS) this.#giveUp('the provider sends no keep-alives any more')
    } else {
      if (this.#silentMs >= SILENCE_TIMEOUT_MS) this.#giveUp('the provider answers no pings')
      else if (this.#ageMs % PING_INTERVAL_MS === 0) this.#socket.ping()
    }
  }

  get #hasStarted (): boolean {
    return this.#hasSpoken && this.owner.hasBegun
  }

  #ignore (): void {
    if (++this.#ignored > MOST_AFTER_END) this.#socket.terminate()
  }

  #countMalformed (): void {
    if (++this.#malformed > MALFORMED_BURST) this.reject('too many malformed frames')
  }

  /** Closes the socket on somebody who is no caller of ours: the call is over. */
  reject (why: string): void {
    this.owner.log.warn({ why }, 'connection closed')
    this.#close(POLICY_VIOLATION, why)
    // Not only when the peer agrees.
    this.owner.disconnected(this, POLICY_VIOLATION)
  }

  #close (code: number, why: string): void {
    this.#isOver = true
    this.#silentMs = 0
    this.#socket.close(code, why)
  }

  #giveUp (why: string): void {
    this.#isOver = true
    this.owner.log.warn({ why }, 'connection dropped')
    this.#socket.terminate()
  }
}
