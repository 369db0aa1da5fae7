/**
 * Millis, as the plugin knows it.
 */
import { Type } from '@sinclair/typebox'
import { secretsOf } from '../../admission/secret.js'
import { addresses, path, secrets, settingName } from '../../contract/setting.js'
import type { ProviderDefinition } from '../provider.js'
import { MILLIS_FEATURES, MillisCodec } from './codec.js'
import { millisControlFrames, type MillisControlFrames } from './frames.js'
import { millisWebhooks } from './webhooks.js'
import type { MillisWebhookHooks } from './webhook-events.js'

declare module '../../contract/agent.js' {
  interface ProviderNames {
    millis: true
  }
}

/** Options of Millis' routes. */
export interface MillisOptions {
  /**
   * The path of the route.
   * @default `/millis`
   * @env MILLIS_PATH
   */
  path?: string
  /**
   * Addresses and CIDR ranges that are admitted; `*` = everyone. Millis publishes no addresses.
   * @default nobody
   * @env MILLIS_ALLOWLIST
   */
  allowlist?: string | readonly string[]
  /** Replaces the frames that end or transfer a call. Millis' documentation does not show them. */
  controlFrames?: Partial<MillisControlFrames>
  /**
   * The secret that Millis' webhooks are sent with, as `Authorization: Bearer <secret>`, or several. Switches the webhooks on.
   * @default none
   * @env MILLIS_WEBHOOK_SECRET
   */
  webhookSecret?: string | readonly string[]
  /**
   * The path of the webhooks.
   * @default `/webhooks/millis`
   * @env MILLIS_WEBHOOK_PATH
   */
  webhookPath?: string
}

const settings = {
  MILLIS_PATH: path('millis.path', '/millis'),
  MILLIS_ALLOWLIST: addresses('millis.allowlist'),
  MILLIS_WEBHOOK_SECRET: secrets('millis.webhookSecret'),
  MILLIS_WEBHOOK_PATH: path('millis.webhookPath', '/webhooks/millis')
}

const keyName = settingName(settings, 'MILLIS_WEBHOOK_SECRET')

const frame = Type.Optional(Type.Function([], Type.Any(), { description: 'a function' }))

/** Millis AI, https://docs.millis.ai/core/custom-llm. */
export const millis = {
  name: 'millis',
  label: 'Millis',
  settings,
  options: {
    controlFrames: Type.Partial(Type.Object({ endCall: frame, transferCall: frame }), { additionalProperties: false, description: 'an object' })
  },
  features: MILLIS_FEATURES,
  webhooks: { hooks: ['onPrefetch'], keyName },
  routes (config, options: MillisOptions, hooks: MillisWebhookHooks) {
    const rule = { allowlist: config.MILLIS_ALLOWLIST, allowlistName: settingName(settings, 'MILLIS_ALLOWLIST') }
    const controlFrames = { ...millisControlFrames, ...options.controlFrames }
    const secrets = secretsOf(config.MILLIS_WEBHOOK_SECRET)
    return {
      calls: [{
        ...rule,
        path: config.MILLIS_PATH,
        pathName: settingName(settings, 'MILLIS_PATH'),
        needsCallId: false,
        newCodec: () => new MillisCodec(controlFrames)
      }],
      webhooks: secrets.length === 0
        ? []
        : [{
            ...rule,
            path: config.MILLIS_WEBHOOK_PATH,
            pathName: settingName(settings, 'MILLIS_WEBHOOK_PATH'),
            serve: receiver => millisWebhooks(receiver, hooks, secrets, keyName)
          }]
    }
  }
} as const satisfies ProviderDefinition<'millis', typeof settings>
