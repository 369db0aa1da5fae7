/**
 * The proxy of the environment, over which a model's server is reached: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, read by undici.
 */
import { BlockList } from 'node:net'
import type { buildConnector } from 'undici'
import { ConfigError } from '../../contract/errors.js'
import type { ModelLibraries } from './model-libraries.js'

const VARIABLES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']

/** As long as undici waits for a connection without a proxy. */
const TUNNEL_TIMEOUT_MS = 10_000

/** Opens connections through a proxy. Whoever opened it closes it. */
export interface Tunnels {
  readonly connect: buildConnector.connector
  /** Gives up what is being opened. What is open stays, and is its user's to close. Never rejects. */
  close (): Promise<void>
}

/**
 * Checks the environment's proxies.
 * @throws VOICE_AGENT_ERR_CONFIG when one is no URL of a proxy, without its value, which may hold a password
 */
export function checkProxies (env: Readonly<Record<string, string | undefined>>): void {
  const wrong = VARIABLES.find(name => !isProxy(env[name] ?? ''))
  if (wrong !== undefined) {
    throw new ConfigError(`${wrong} must be an http or https URL, since OPENAI_PROXY (option openai.proxy) is environment`)
  }
}

function isProxy (value: string): boolean {
  if (value === '') return true
  try {
    const { protocol, username, password } = new URL(value)
    decodeURIComponent(username + password)
    return protocol === 'http:' || protocol === 'https:'
  } catch {
    return false
  }
}

/** Opens no connection yet. Undefined if the server is reached without a proxy: it is local, or the environment says so. */
export function openTunnels ({ Dispatcher, EnvHttpProxyAgent, Pool }: ModelLibraries['undici'], origin: string): Tunnels | undefined {
  if (isLoopback(new URL(origin).hostname)) return undefined
  let connect: buildConnector.connector | undefined
  /** Dispatches nothing: undici's agent is asked which way it would go, and how it opens a tunnel there. */
  class Signpost extends Dispatcher {
    override dispatch (): boolean {
      return true
    }

    override async destroy (): Promise<void> {}
  }
  const agent = new EnvHttpProxyAgent({
    factory (_origin: string | URL, options: object) {
      connect = (options as { connect?: buildConnector.connector }).connect
      return new Signpost()
    },
    clientFactory: (proxy: URL, options: object) => new Pool(proxy, { ...options, headersTimeout: TUNNEL_TIMEOUT_MS })
  })
  agent.dispatch({ origin, path: '/', method: 'GET' }, {})
  return connect && { connect, close: async () => { await agent.destroy() } }
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

function isLoopback (hostname: string): boolean {
  const address = hostname.replace(/^\[|\]$/g, '')
  return /(^|\.)localhost\.?$/i.test(hostname) || LOOPBACK.check(address) || LOOPBACK.check(address, 'ipv6')
}
