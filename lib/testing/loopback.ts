import { Duplex } from 'node:stream'

/** One end of a connection without a network. Destroying one end destroys the other. */
class End extends Duplex {
  /** Node's HTTP server reads the client's address here. */
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

  // Deliver in a later turn of the event loop, as a network does: never synchronously within the write.
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
 * Makes both ends of a connection within the process.
 * @param address the client's, as the server sees it
 */
export function connectLoopback (address: string): { client: Duplex, server: Duplex } {
  const client = new End()
  const server = new End(address)
  client.peer = server
  server.peer = client
  return { client, server }
}
