/**
 * The routes of all providers that are not switched off.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { VoiceAgentOptions } from '../config/options.js'
import { nameOf, type Env } from '../config/settings.js'
import type { Provider } from '../contract/agent.js'
import { ConfigError } from '../contract/errors.js'
import { providers } from '../providers/index.js'
import type { WebhookRoute } from '../webhooks/routes.js'
import type { ProviderRoute } from './call-routes.js'

/** The routes of all providers. */
export interface Routes {
  readonly calls: readonly ProviderRoute[]
  readonly webhooks: ReadonlyArray<WebhookRoute & { readonly provider: Provider }>
}

/**
 * Collects the routes of the providers.
 * @throws VOICE_AGENT_ERR_CONFIG when two routes have one path
 */
export function routesOf (config: Env, options: VoiceAgentOptions): Routes {
  const served = providers.flatMap(provider => {
    const own = options[provider.name] ?? {}
    return own === false ? [] : [{ provider: provider.name, ...provider.routes(config, own, options) }]
  })
  const calls = served.flatMap(({ provider, calls }) => calls.map(route => ({ ...route, provider })))
  assertDistinct([
    ...calls.map(({ path, pathName }) => [path, pathName] as const),
    [config.READINESS_PATH, nameOf('READINESS_PATH')],
    [config.LIVENESS_PATH, nameOf('LIVENESS_PATH')]
  ])
  return { calls, webhooks: served.flatMap(({ provider, webhooks }) => webhooks.map(route => ({ ...route, provider }))) }
}

// A route that is switched off has an empty path.
function assertDistinct (paths: ReadonlyArray<readonly [path: string, name: string]>): void {
  const taken = paths.map(([path]) => path).filter(path => path !== '')
  if (new Set(taken).size === taken.length) return
  const names = paths.map(([, name]) => name)
  throw new ConfigError(`${names.slice(0, -1).join(', ')} and ${names.at(-1)} must all differ`)
}

/** Logs a warning for each hook that no webhook route runs. */
export function warnOfIdleHooks (log: FastifyBaseLogger, routes: Routes, options: VoiceAgentOptions): void {
  const known = options as Readonly<Record<string, unknown>>
  const idle = providers.filter(({ name }) => routes.webhooks.every(({ provider }) => provider !== name))
  const keys = idle.map(({ webhooks }) => webhooks.keyName)
  if (known['onWebhook'] !== undefined && idle.length === providers.length) log.warn(`onWebhook is never called: set ${keys.join(' or ')}`)
  for (const { webhooks } of idle) {
    for (const hook of webhooks.hooks) {
      if (known[hook] !== undefined) log.warn(`${hook} is never called: set ${webhooks.keyName}`)
    }
  }
}
