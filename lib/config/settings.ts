/**
 * The plugin's settings, except those of its providers, and the environment schema of all settings.
 */
import { Type, type Static, type TObject } from '@sinclair/typebox'
import type { Provider } from '../contract/agent.js'
import {
  addresses, milliseconds, optionalPath, schemaOf, setting, settingName, TextList, type SettingsSchema, type SettingTable
} from '../contract/setting.js'
import { providers, providerSettings } from '../providers/index.js'
import type { LimitOptions } from './options.js'

const HOUR_MS = 3_600_000

const text = (option: string) => setting(Type.String({ title: option, description: 'text', default: '' }))
const optionalText = (option: string) => setting(Type.Optional(Type.String({ title: option, description: 'text' })))
const limit = (option: keyof LimitOptions, most: number) => setting(Type.Integer({ ...limitOptions(option), default: most }))
/** A limit without a constant default: another setting decides. */
const dependentLimit = (option: keyof LimitOptions) => setting(Type.Optional(Type.Integer(limitOptions(option))))
const limitOptions = (option: keyof LimitOptions) => ({
  title: `limits.${option}`, description: 'a whole number, 0 = no limit', minimum: 0, maximum: Number.MAX_SAFE_INTEGER
})
const name = (option: string, name: string) => setting(Type.String({
  title: option, description: 'letters, digits and . _ : -, at most 64', default: name, pattern: '^[A-Za-z0-9._:-]{0,64}$'
}))

const coreSettings = {
  VOICE_AGENT_SECRET: setting(Type.Optional(Type.String({
    title: 'secret',
    description: 'at least one letter, digit or one of . _ ~ -, and nothing else; several are separated by commas',
    pattern: '^[A-Za-z0-9._~-]+(,[A-Za-z0-9._~-]+)*$'
  })), TextList),
  ADMITTED_CALLS_ONLY: setting(Type.Boolean({ title: 'admittedCallsOnly', description: 'true or false', default: false })),
  MAX_CALLS: limit('maxCalls', 1_000),
  MAX_CALLS_PER_ADDRESS: dependentLimit('maxCallsPerAddress'),
  MAX_UNSTARTED_CALLS: dependentLimit('maxUnstartedCalls'),
  MAX_UPGRADES_PER_SECOND: dependentLimit('maxUpgradesPerSecond'),
  MAX_CLUSTER_CALLS: limit('maxClusterCalls', 0),
  REDIS_URL: setting(Type.String({
    title: 'cluster.redis',
    description: 'a URL such as redis://localhost:6379, or rediss:// with TLS; in a password / ? # @ % are written as %2F %3F %23 %40 %25',
    default: '',
    // Host, database number, options. An @ after the host belongs to a password that is not encoded.
    pattern: '^(rediss?://[!"$-.0->@-~]+(/\\d*)?(\\?[!"$-?A-~]*)?)?$'
  }), Type.Union([Type.String(), Type.Object({})])),
  REDIS_PREFIX: name('cluster.prefix', 'voice-agent'),
  NODE_NAME: name('cluster.node', ''),
  MAX_FRAMES_PER_SECOND: limit('maxFramesPerSecond', 100),
  MAX_BYTES_PER_CALL: limit('maxBytesPerCall', 128 * 1024 ** 3),
  MAX_TURNS_PER_CALL: limit('maxTurnsPerCall', 2_000),
  MAX_CALL_DURATION_MS: limit('maxCallDurationMs', 2 * HOUR_MS),
  MAX_TOKENS_PER_CALL: limit('maxTokensPerCall', 100_000_000),
  TRUSTED_PROXIES: addresses('trustedProxies'),
  ALLOWED_ORIGINS: setting(Type.String({
    title: 'allowedOrigins', description: 'origins such as https://app.example.com, separated by commas', default: ''
  }), TextList),
  FIRST_TOKEN_TIMEOUT_MS: milliseconds('deadlines.firstTokenMs', 5_000, HOUR_MS),
  TOKEN_GAP_TIMEOUT_MS: milliseconds('deadlines.tokenGapMs', 5_000, HOUR_MS),
  TURN_TIMEOUT_MS: milliseconds('deadlines.turnMs', 60_000, HOUR_MS),
  FILLER_DELAY_MS: milliseconds('deadlines.fillerMs', 1_500, HOUR_MS),
  RECONNECT_GRACE_MS: milliseconds('reconnectGraceMs', 30_000, HOUR_MS),
  DRAIN_TIMEOUT_MS: milliseconds('drainTimeoutMs', 5_000, HOUR_MS),
  READINESS_PATH: optionalPath('readinessPath', '/ready'),
  LIVENESS_PATH: optionalPath('livenessPath', '/live'),
  // OpenTelemetry's instrumentations share this variable. Some accept other values than true and false, so those are not refused.
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: setting(
    Type.String({ title: 'telemetry.content', description: 'true or false', default: '' }),
    Type.Boolean()
  ),
  OPENAI_API_KEY: text('openai.apiKey'),
  OPENAI_BASE_URL: text('openai.baseURL'),
  OPENAI_MODEL: optionalText('openai.model'),
  OPENAI_PROXY: setting(Type.Union([Type.Literal('none'), Type.Literal('environment')], {
    title: 'openai.proxy', description: 'none or environment', default: 'none'
  }), Type.Union([Type.Literal('none'), Type.Literal('environment')])),
  AZURE_OPENAI_ENDPOINT: text('openai.azure.endpoint'),
  AZURE_OPENAI_API_KEY: text('openai.azure.apiKey'),
  OPENAI_API_VERSION: optionalText('openai.azure.apiVersion'),
  AGENT_INSTRUCTIONS: optionalText('openai.instructions'),
  AGENT_GREETING: optionalText('openai.greeting')
}

/** All settings that have a variable. */
export const settings = { ...providerSettings, ...coreSettings }

/** The environment variables the plugin reads, as JSON schema. */
export const envSchema: SettingsSchema<typeof settings> = schemaOf(settings)

/**
 * The environment variables that the plugin reads if an app uses only some providers.
 * @param names the names of those providers
 */
export function envSchemaOf (names: readonly Provider[]): TObject {
  const tables: SettingTable[] = providers.filter(({ name }) => names.includes(name)).map(({ settings }) => settings)
  return schemaOf(Object.assign({}, ...tables, coreSettings) as SettingTable)
}

/** The values that {@link envSchema} accepts. */
export type Env = Static<typeof envSchema>

/** A variable that the plugin reads. */
export type Variable = keyof Env

/** All variables that the plugin reads. */
export const VARIABLES = Object.keys(settings) as Variable[]

/** A setting's name for the operator: variable and option. */
export function nameOf (variable: Variable): string {
  return settingName(settings, variable)
}

/** The error text that names a setting and its accepted values, without the rejected value. */
export function accepted (variable: Variable): string {
  return `${nameOf(variable)} must be ${settings[variable].schema.description}`
}
