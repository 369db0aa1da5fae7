/** What a connection needs of a WebSocket. `send` on a closed one must not throw, and must call back. */
export interface Socket {
  /** Bytes that the peer has not taken yet. */
  readonly bufferedAmount: number
  /** @param written called once the frame left, or never will */
  send (frame: string, written?: () => void): void
  ping (): void
  /** Reads no more. */
  pause (): void
  close (code: number, reason: string): void
  terminate (): void
}
