/**
 * The routes of the providers' webhooks. Each is there when the key is that its sender is known by.
 */
import type { FastifyInstance, HTTPMethods } from 'fastify'
import { parseAllowlist } from '../admission/allowlist.js'
import { closeUnread, comeAgain, createGuard, type GuardSettings } from '../admission/guard.js'
import { WITHOUT_RATE_LIMIT } from '../admission/rate-limit.js'
import { secretsOf } from '../admission/secret.js'
import type { HookRunner } from '../call/hooks.js'
import { ConfigError, WebhookLimitError } from '../contract/errors.js'
import { entriesOf, nameOf, type Env, type VoiceAgentOptions } from '../config/options.js'
import { WebhookDesk, type ProviderWebhooks } from './desk.js'
import type { WebhookHooks } from './hooks.js'
import { millisWebhooks } from './millis.js'
import { retellWebhooks } from './retell.js'
import { BODY_LIMIT_BYTES } from './unchecked-body.js'

/** What the webhooks share with the routes of the calls. */
export interface WebhookSettings extends Omit<GuardSettings, 'allowlist' | 'allowlistName' | 'knowsSecret'> {
  readonly hooks: HookRunner
}

/**
 * Registers the webhooks in a scope of their own: the app's body parsers are not theirs, nor theirs the app's.
 * @throws VOICE_AGENT_ERR_CONFIG when another route has the path of one
 */
export async function registerWebhooks (scope: FastifyInstance, config: Env, options: VoiceAgentOptions, { hooks, ...shared }: WebhookSettings): Promise<void> {
  const retellKeys = options.retell === false ? [] : secretsOf(config.RETELL_API_KEY)
  const millisSecrets = options.millis === false ? [] : secretsOf(config.MILLIS_WEBHOOK_SECRET)
  warnOfIdleHooks()

  await scope.register(async function webhooks (scope) {
    const desk = new WebhookDesk(options, hooks, shared.isClosing)
    if (retellKeys.length > 0) await add('RETELL', retellWebhooks(desk, retellKeys, nameOf('RETELL_API_KEY')))
    if (millisSecrets.length > 0) await add('MILLIS', millisWebhooks(desk, millisSecrets, nameOf('MILLIS_WEBHOOK_SECRET')))

    // Each provider has its bodies read in its own way.
    async function add (provider: 'RETELL' | 'MILLIS', { checkHeader, readBody, handlers }: ProviderWebhooks): Promise<void> {
      const path = `${provider}_WEBHOOK_PATH` as const
      const url = config[path]
      await scope.register(async function providerWebhooks (scope) {
        scope.removeAllContentTypeParsers()
        if (readBody === undefined) scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
        else scope.addContentTypeParser('*', readBody)
        scope.addHook('onError', async function refuse (request, reply, error) {
          // A body is read without the reply at hand.
          if (error instanceof WebhookLimitError) comeAgain(reply, error)
          closeUnread(request, reply)
        })
        for (const [method, handler] of Object.entries(handlers)) {
          if (scope.hasRoute({ method: method as HTTPMethods, url: scope.prefix + url })) throw new ConfigError(`${nameOf(path)}: another route has this path`)
          scope.route({
            method: method as HTTPMethods,
            url,
            // A HEAD would run a hook.
            exposeHeadRoute: false,
            config: WITHOUT_RATE_LIMIT,
            bodyLimit: BODY_LIMIT_BYTES,
            onRequest: [guardOf(`${provider}_ALLOWLIST`), checkHeader],
            handler
          })
        }
      })
    }
  })

  // What the sender knows stands for the secret: with an allowlist both must hold, and without one that alone.
  function guardOf (variable: 'RETELL_ALLOWLIST' | 'MILLIS_ALLOWLIST'): ReturnType<typeof createGuard> {
    const allowlistName = nameOf(variable)
    const allowlist = parseAllowlist(entriesOf(config[variable]), allowlistName)
    return createGuard({ ...shared, allowlistName, allowlist: allowlist.empty ? parseAllowlist(['*'], allowlistName) : allowlist, knowsSecret: undefined })
  }

  function warnOfIdleHooks (): void {
    const [retell, millis] = [nameOf('RETELL_API_KEY'), nameOf('MILLIS_WEBHOOK_SECRET')]
    const needs: Array<[hook: keyof WebhookHooks, secrets: string[], names: string]> = [
      ['onWebhook', [...retellKeys, ...millisSecrets], `${retell} or ${millis}`],
      ['onInboundCall', retellKeys, retell],
      ['onPrefetch', millisSecrets, millis]
    ]
    for (const [hook, secrets, names] of needs) {
      if (options[hook] !== undefined && secrets.length === 0) scope.log.warn(`${hook} is never called: set ${names}`)
    }
  }
}
