/**
 * A provider as the test kit, the command line and the playground see it. `providers.ts` has the list.
 */
import type { Provider } from '../contract/agent.js'
import type { Caller } from './caller.js'
import type { CallerOptions } from './caller-options.js'
import type { Reply } from './reply.js'
import type { DialTarget } from './target.js'

/** How the plugin's configuration admits a provider, for the messages of a `DialError`. */
export interface CalledRoute {
  /** The provider's name for people. */
  readonly label: string
  /** The default path of its route. */
  readonly path: string
  /** The environment variable of the path. */
  readonly pathVariable: string
  /** The environment variable of the allowlist. */
  readonly allowlistVariable: string
}

/** A call of any provider; members that only some providers have are optional. */
export type PlacedCall = Caller & {
  /** The provider's id of the call. */
  readonly id: string
  /** Stays silent until the provider requests a reminder. */
  remind? (): Reply
  /** Digits that the agent pressed. */
  readonly digits?: string
}

/** A provider whose calls can be placed. */
export interface CallerProvider<Name extends Provider = Provider> extends CalledRoute {
  readonly name: Name
  /** The names of its caller's options. */
  readonly options: readonly string[]
  /** True if the server reports its tool calls to the provider. */
  readonly reportsTools: boolean
  /** True if the provider requests reminders after a silence. */
  readonly hasReminders: boolean
  /** Options of a web call with this id. */
  webCall (id: string): object
  /** Places a call. Resolves when it is answered. */
  place (target: DialTarget, options: CallerOptions & { path?: string }): Promise<PlacedCall>
  /** Places a call to the URL. Resolves when the agent has greeted. */
  dial (url: string, options: CallerOptions): Promise<PlacedCall>
}
