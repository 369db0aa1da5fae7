/**
 * The seam: what the plugin knows of a provider. Everything outside its folder reads this, and names no provider.
 */
import type { Static, TObject, TSchema } from '@sinclair/typebox'
import type { Provider } from '../contract/agent.js'
import type { SettingsSchema, SettingTable } from '../contract/setting.js'
import type { WebhookRoute } from '../webhooks/routes.js'
import type { Codec, Feature } from './codec.js'

/** Who may open a route, by address. */
export interface AddressRule {
  /** Addresses and CIDR ranges, separated by commas. */
  readonly allowlist: string
  /** What the operator calls the list. */
  readonly allowlistName: string
}

/** The route that a provider opens for each call, as a WebSocket. */
export interface CallRoute extends AddressRule {
  readonly path: string
  /** What the operator calls the path. */
  readonly pathName: string
  /** True if the URL holds the call id. Otherwise the first frame does. */
  readonly needsCallId: boolean
  /** Makes the codec of one socket. */
  newCodec (): Codec
}

/** A provider's routes. Those that are not configured are left out. */
export interface ProviderRoutes {
  readonly calls: readonly CallRoute[]
  readonly webhooks: readonly WebhookRoute[]
}

/** A voice platform, as its folder describes it. */
export interface ProviderDefinition<Name extends Provider = Provider, Settings extends SettingTable = SettingTable> {
  /** In options, reports, metrics and keys of Redis. */
  readonly name: Name
  /** For people. */
  readonly label: string
  /** Settings that have a variable. Their options are members of the plugin's option that is called like the provider. */
  readonly settings: Settings
  /** Options that have no variable, by their names among the provider's own. */
  readonly options: Readonly<Record<string, TSchema>>
  readonly features: ReadonlySet<Feature>
  /** What `call.updateAgent()` takes, where the provider can do that. */
  readonly agentConfig?: TObject
  readonly webhooks: {
    /** The app's hooks that only this provider's webhooks run, by their option's name. */
    readonly hooks: readonly string[]
    /** What the operator calls the key that switches the webhooks on. */
    readonly keyName: string
  }
  /**
   * @param config the values of {@link ProviderDefinition.settings}
   * @param options the provider's own options, checked
   * @param hooks the plugin's options, of which {@link ProviderDefinition.webhooks} names the hooks
   */
  routes (config: Static<SettingsSchema<Settings>>, options: object, hooks: object): ProviderRoutes
}
