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

/** Why servers refuse, by status. */
export const REFUSALS: Readonly<Record<number, string>> = {
  400: 'the URL holds no call id that can be used',
  401: 'it wants credentials, which neither Retell nor Millis has',
  403: 'the address that the call came from is not on its allowlist, or the URL does not hold its secret; with this plugin set RETELL_ALLOWLIST or MILLIS_ALLOWLIST, or put VOICE_AGENT_SECRET into the path',
  404: 'nothing is at this path',
  426: 'it takes WebSockets there, and was asked without `Upgrade: websocket`: a proxy in between drops the headers Upgrade and Connection',
  503: 'it is closing, full or under pressure'
}
