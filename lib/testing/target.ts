import type { Server } from 'node:http'

/** What is used of a Fastify instance. */
export interface DialledApp {
  readonly server: Pick<Server, 'emit'>
  /** Resolves once it takes calls. */
  ready (): PromiseLike<unknown>
}

/** Whom to call: an app, which need not listen, or the URL of any server, as `ws://localhost:3000/llm-websocket`. */
export type DialTarget = DialledApp | string

/** The server refused the handshake, or there is none. */
export class DialError extends Error {
  override readonly name = 'DialError'
  /** Of the server's answer, such as 403. Undefined where none came. */
  readonly status: number | undefined

  constructor (message: string, status?: number, cause?: unknown) {
    super(message, { cause })
    this.status = status
  }
}
