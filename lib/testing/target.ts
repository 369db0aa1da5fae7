import type { Server } from 'node:http'

/** The part of a Fastify instance that callers use. */
export interface DialledApp {
  readonly server: Pick<Server, 'emit'>
  /** Resolves when the app accepts calls. */
  ready (): PromiseLike<unknown>
}

/** The target of a call: an app, which need not listen, or the URL of any server, such as `ws://localhost:3000/llm-websocket`. */
export type DialTarget = DialledApp | string

/** The server refused the handshake, or cannot be reached. */
export class DialError extends Error {
  override readonly name = 'DialError'
  /** The status of the server's answer, such as 403; undefined without an answer. */
  readonly status: number | undefined

  constructor (message: string, status?: number, cause?: unknown) {
    super(message, { cause })
    this.status = status
  }
}
