import type { Finding } from './finding.js'
import type { Reply } from './reply.js'

/** One message on the wire. */
export interface WireFrame {
  readonly from: 'provider' | 'server'
  /** Parsed JSON; the text if it is not JSON; the bytes of a binary message. */
  readonly frame: unknown
  readonly atMs: number
}

/** One entry of a conversation as the provider reports it. */
export interface Spoken {
  readonly role: 'user' | 'agent'
  readonly content: string
}

/** A tool call that the server recorded in the transcript. */
export interface ToolRecord {
  readonly id: string
  readonly name: string
  /** JSON. */
  readonly arguments: string
  readonly result?: string
  readonly successful?: boolean
}

/** How a call ended. */
export interface CallEnd {
  /** The caller, the agent (by an action or a normal close of the socket), or a fault of the server. */
  readonly by: 'caller' | 'agent' | 'fault'
  /** In the provider's words, if it has some. */
  readonly reason: string
  /** The destination of a transfer. */
  readonly destination?: string
}

/** Events during a call. */
export interface CallerEvents {
  frame: [WireFrame]
  /** A turn begins. */
  reply: [Reply]
  finding: [Finding]
  /** The connection broke or was dropped during the call. */
  disconnected: []
  /** The provider has reconnected and repeated the pending request. */
  redialled: []
}
