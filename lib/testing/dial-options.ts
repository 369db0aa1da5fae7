import type { CalledRoute } from './caller-provider.js'

/** How to reach a server. */
export interface DialOptions {
  readonly path: string
  /** The caller's address; for an app only. */
  readonly address: string
  /** How the plugin admits the provider, for the message of an error. */
  readonly route: CalledRoute
  readonly headers: Readonly<Record<string, string>>
  /** How long the handshake may take, in ms. */
  readonly timeoutMs: number
}
