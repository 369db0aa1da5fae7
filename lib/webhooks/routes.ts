/**
 * The routes of the providers' webhooks. A provider without its key has none.
 */
import type { FastifyInstance, HTTPMethods } from 'fastify'
import { parseAllowlist } from '../admission/allowlist.js'
import { closeUnread, comeAgain, createGuard, type GuardSettings } from '../admission/guard.js'
import { WITHOUT_RATE_LIMIT } from '../admission/rate-limit.js'
import { ConfigError, WebhookLimitError } from '../contract/errors.js'
import { entriesOf } from '../contract/setting.js'
import { WebhookReceiver, type HookRunner, type ProviderWebhooks, type ReceiverHooks } from './receiver.js'
import { BODY_LIMIT_BYTES } from './unchecked-body.js'

/** Settings that webhooks share with the routes of calls. */
export interface WebhookSettings extends Omit<GuardSettings, 'allowlist' | 'allowlistName' | 'knowsSecret'> {
  readonly hooks: HookRunner
}

/** One route of one provider. */
export interface WebhookRoute {
  readonly path: string
  /** What the operator calls the path. */
  readonly pathName: string
  /** Addresses and CIDR ranges, separated by commas. */
  readonly allowlist: string
  /** What the operator calls the list. */
  readonly allowlistName: string
  /** Makes the route's hooks and handlers. */
  serve (receiver: WebhookReceiver): ProviderWebhooks
}

/**
 * Registers the webhooks in a scope of their own, so that their body parsers and the app's do not mix.
 * @throws VOICE_AGENT_ERR_CONFIG when another route has the path of one
 */
export async function registerWebhooks (
  scope: FastifyInstance,
  routes: readonly WebhookRoute[],
  options: ReceiverHooks,
  { hooks, ...shared }: WebhookSettings
): Promise<void> {
  await scope.register(async function webhooks (scope) {
    const receiver = new WebhookReceiver(options, hooks, shared.isClosing)
    for (const route of routes) await add(route, route.serve(receiver))

    // One scope per route, as each provider reads bodies in its own way.
    async function add (route: WebhookRoute, { checkHeader, readBody, handlers }: ProviderWebhooks): Promise<void> {
      const url = route.path
      await scope.register(async function providerWebhooks (scope) {
        scope.removeAllContentTypeParsers()
        if (readBody === undefined) scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
        else scope.addContentTypeParser('*', readBody)
        scope.addHook('onError', async function refuse (request, reply, error) {
          // The parser that throws this has no access to the reply.
          if (error instanceof WebhookLimitError) comeAgain(reply, error)
          closeUnread(request, reply)
        })
        for (const [method, handler] of Object.entries(handlers)) {
          if (scope.hasRoute({ method: method as HTTPMethods, url: scope.prefix + url })) {
            throw new ConfigError(`${route.pathName}: another route has this path`)
          }
          scope.route({
            method: method as HTTPMethods,
            url,
            // A HEAD would run a hook.
            exposeHeadRoute: false,
            config: WITHOUT_RATE_LIMIT,
            bodyLimit: BODY_LIMIT_BYTES,
            onRequest: [guardOf(route), checkHeader],
            handler
          })
        }
      })
    }
  })

  // The provider's key replaces the secret: with an allowlist both must match, without one the key alone.
  function guardOf ({ allowlist: list, allowlistName }: WebhookRoute): ReturnType<typeof createGuard> {
    const allowlist = parseAllowlist(entriesOf(list), allowlistName)
    return createGuard({
      ...shared,
      allowlistName,
      allowlist: allowlist.empty ? parseAllowlist(['*'], allowlistName) : allowlist,
      knowsSecret: undefined
    })
  }
}
