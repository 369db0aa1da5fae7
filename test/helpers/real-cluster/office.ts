/**
 * Where the agents book, as a system of somebody else's would be: it does whatever it is asked to, and keeps count.
 */
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { json } from 'node:stream/consumers'

/** One booking that was made. A system that knows idempotency keys would have made one of several with the same. */
export interface Booking {
  readonly call: string
  readonly slot: string
  readonly key: string | undefined
  /** By the clock of `performance`, in ms. */
  readonly atMs: number
}

/** Something that waits until it is let go. */
export interface Gate {
  readonly opened: Promise<void>
  open (): void
}

export function gate (): Gate {
  let open!: () => void
  const opened = new Promise<void>(resolve => { open = resolve })
  return { opened, open }
}

/** Whoever starts it stops it. */
export class Office {
  readonly bookings: Booking[] = []
  /** Ids of the calls of which an app was told that they are over, as often as it was. */
  readonly ends: string[] = []
  readonly events = new EventEmitter<{ booking: [Booking], end: [string] }>()
  /** How long it takes, in ms, once it has booked. */
  delayMs = 0
  /** Bookings that are made while it is set are not answered until it opens. */
  gate: Gate | undefined
  readonly #server = createServer((request, response) => {
    this.#serve(request).then(() => response.end('{}'), () => response.destroy())
  })

  static async start (): Promise<Office> {
    const office = new Office()
    office.#server.listen(0, '127.0.0.1')
    await once(office.#server, 'listening')
    return office
  }

  get url (): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The bookings of this, of which there is to be one. */
  bookingsOf (call: string, slot: string): Booking[] {
    return this.bookings.filter(booking => booking.call === call && booking.slot === slot)
  }

  async stop (): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  async #serve (request: IncomingMessage): Promise<void> {
    const { call, slot } = await json(request) as { call: string, slot: string }
    if (request.url === '/ends') {
      this.ends.push(call)
      this.events.emit('end', call)
      return
    }
    const booking = { call, slot, key: request.headers['idempotency-key'] as string | undefined, atMs: performance.now() }
    this.bookings.push(booking)
    const held = this.gate?.opened
    this.events.emit('booking', booking)
    await (held ?? delay(this.delayMs))
  }
}
