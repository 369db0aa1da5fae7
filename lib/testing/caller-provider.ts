/**
 * What the test kit, the command line and the playground know of a provider whose calls they place. The list of them stands in
 * `providers.ts`.
 */
import type { Provider } from '../contract/agent.js'
import type { Caller } from './caller.js'
import type { CallerOptions } from './caller-options.js'
import type { Reply } from './reply.js'
import type { DialTarget } from './target.js'

/** How an operator of this plugin lets a provider in: the texts of a `DialError` say it. */
export interface CalledRoute {
  /** The provider, for people. */
  readonly label: string
  /** Where its calls are taken unless the server says otherwise. */
  readonly path: string
  /** The variable of the path. */
  readonly pathVariable: string
  /** The variable of the allowlist. */
  readonly allowlistVariable: string
}

/** A call of any provider, with what only some have. */
export type PlacedCall = Caller & {
  /** The provider's id of the call. */
  readonly id: string
  /** Says nothing until the agent is asked to go on. */
  remind? (): Reply
  /** Digits that the agent pressed. */
  readonly digits?: string
}

/** A provider's side of calls. */
export interface CallerProvider<Name extends Provider = Provider> extends CalledRoute {
  readonly name: Name
  /** The names of its caller's options. */
  readonly options: readonly string[]
  /** Does the server report its tools to the provider? */
  readonly hearsOfTools: boolean
  /** Does it have the agent go on after a silence? */
  readonly hasReminders: boolean
  /** Options of a call from a web page that has this id. */
  webCall (id: string): object
  /** Places a call, and resolves once it is answered. */
  place (target: DialTarget, options: CallerOptions & { path?: string }): Promise<PlacedCall>
  /** Places a call to the URL, and resolves once the agent has greeted. */
  dial (url: string, options: CallerOptions): Promise<PlacedCall>
}
