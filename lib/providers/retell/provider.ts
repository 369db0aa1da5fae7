/**
 * Retell, as the plugin knows it.
 */
import { secretsOf } from '../../admission/secret.js'
import { addresses, milliseconds, path, secrets, settingName } from '../../contract/setting.js'
import type { ProviderDefinition } from '../provider.js'
import { RETELL_FEATURES, RetellCodec, retellBegin } from './codec.js'
import { RetellAgentConfig } from './frames.js'
import { retellWebhooks } from './webhooks.js'
import type { RetellWebhookHooks } from './webhook-events.js'

declare module '../../contract/agent.js' {
  interface ProviderNames {
    retell: true
  }
}

/** Options of Retell's routes. */
export interface RetellOptions {
  /**
   * The path of the route. The call's id follows it.
   * @default `/llm-websocket`
   * @env RETELL_PATH
   */
  path?: string
  /**
   * Addresses and CIDR ranges that are admitted; `*` = everyone. The default is Retell's only address.
   * @default `100.20.5.228`
   * @env RETELL_ALLOWLIST
   */
  allowlist?: string | readonly string[]
  /**
   * How long the greeting waits for the call's details, in ms.
   * @default 2,000
   * @env RETELL_CALL_DETAILS_TIMEOUT_MS
   */
  callDetailsTimeoutMs?: number
  /**
   * The API key with the webhook badge, or several, any of which may have signed. Switches Retell's webhooks on.
   * @default none
   * @env RETELL_API_KEY
   */
  apiKey?: string | readonly string[]
  /**
   * The path of the webhooks.
   * @default `/webhooks/retell`
   * @env RETELL_WEBHOOK_PATH
   */
  webhookPath?: string
}

const settings = {
  RETELL_PATH: path('retell.path', '/llm-websocket'),
  RETELL_ALLOWLIST: addresses('retell.allowlist', '100.20.5.228'),
  RETELL_CALL_DETAILS_TIMEOUT_MS: milliseconds('retell.callDetailsTimeoutMs', 2_000, 20_000),
  RETELL_API_KEY: secrets('retell.apiKey'),
  RETELL_WEBHOOK_PATH: path('retell.webhookPath', '/webhooks/retell')
}

const keyName = settingName(settings, 'RETELL_API_KEY')

/** Retell AI, https://docs.retellai.com/api-references/llm-websocket. */
export const retell = {
  name: 'retell',
  label: 'Retell',
  settings,
  options: {},
  features: RETELL_FEATURES,
  agentConfig: RetellAgentConfig,
  webhooks: { hooks: ['onInboundCall'], keyName },
  routes (config, _options: RetellOptions, hooks: RetellWebhookHooks) {
    const rule = { allowlist: config.RETELL_ALLOWLIST, allowlistName: settingName(settings, 'RETELL_ALLOWLIST') }
    const begin = retellBegin(config.RETELL_CALL_DETAILS_TIMEOUT_MS)
    const keys = secretsOf(config.RETELL_API_KEY)
    return {
      calls: [{
        ...rule,
        path: config.RETELL_PATH,
        pathName: settingName(settings, 'RETELL_PATH'),
        needsCallId: true,
        newCodec: () => new RetellCodec(begin)
      }],
      webhooks: keys.length === 0
        ? []
        : [{
            ...rule,
            path: config.RETELL_WEBHOOK_PATH,
            pathName: settingName(settings, 'RETELL_WEBHOOK_PATH'),
            serve: receiver => retellWebhooks(receiver, hooks, keys, keyName)
          }]
    }
  }
} as const satisfies ProviderDefinition<'retell', typeof settings>
