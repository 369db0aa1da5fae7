import { Duplex } from 'node:stream'

/** One end of a connection that needs no network. What breaks one end breaks the other. */
class End extends Duplex {
  /** What Node's HTTP server takes for the address of whoever is at the other end. */
  readonly remoteAddress: string | undefined
  peer!: End
  #wanted: (() => void) | undefined

  constructor (remoteAddress?: string) {
    super()
    this.remoteAddress = remoteAddress
  }

  override _read (): void {
    const wanted = this.#wanted
    this.#wanted = undefined
    wanted?.()
  }

  // In a later turn of the event loop, as from a network: never within whoever writes.
  override _write (chunk: Buffer, _encoding: string, written: () => void): void {
    setImmediate(() => {
      if (this.peer.destroyed || this.peer.push(chunk)) written()
      else this.peer.#wanted = written
    })
  }

  override _final (ended: () => void): void {
    setImmediate(() => {
      if (!this.peer.destroyed) this.peer.push(null)
      ended()
    })
  }

  override _destroy (error: Error | null, destroyed: (error: Error | null) => void): void {
    setImmediate(() => this.peer.destroy())
    destroyed(error)
  }
}

/**
 * Both ends of a connection within the process.
 * @param address of the client, as the server sees it
 */
export function connectLoopback (address: string): { client: Duplex, server: Duplex } {
  const client = new End()
  const server = new End(address)
  client.peer = server
  server.peer = client
  return { client, server }
}
