/**
 * Plugin options and environment variables: names, defaults, units and what is accepted, in one place.
 * Environment < options.
 */
import { Type, type Static } from '@sinclair/typebox'
import type { LogLevel, RouteShorthandOptions } from 'fastify'
import type { AzureOptions } from '../agents/openai/model-server-options.js'
import type { OpenAIAgentOptions } from '../agents/openai/agent.js'
import type { CallHooks } from '../call/hooks.js'
import type { Goodbye } from '../call/limits.js'
import type { Redact } from '../call/redaction.js'
import type { RedisClient } from '../cluster/redis-client.js'
import type { Fallback, Filler } from '../call/stand-in.js'
import { ConfigError } from '../contract/errors.js'
import type { MillisControlFrames } from '../providers/millis/frames.js'
import type { CallCeiling, Ceiling } from '../telemetry/refusals.js'
import type { WebhookHooks } from '../webhooks/hooks.js'

/** Options of the Retell route. */
export interface RetellOptions {
  /** Base path; the call id is appended. `RETELL_PATH`, default `/llm-websocket`. */
  path?: string
  /** Addresses and CIDR ranges that are admitted, `*` = everyone. `RETELL_ALLOWLIST`, default `100.20.5.228`, Retell's only one. */
  allowlist?: string | readonly string[]
  /** How long the greeting waits for the call's details, in ms. `RETELL_CALL_DETAILS_TIMEOUT_MS`, default 2,000. */
  callDetailsTimeoutMs?: number
  /** The key with the webhook badge, or several, any of which may have signed: switches Retell's webhooks on. `RETELL_API_KEY`, default none. */
  apiKey?: string | readonly string[]
  /** `RETELL_WEBHOOK_PATH`, default `/webhooks/retell`. */
  webhookPath?: string
}

/** Options of the Millis route. */
export interface MillisOptions {
  /** `MILLIS_PATH`, default `/millis`. */
  path?: string
  /** Addresses and CIDR ranges that are admitted, `*` = everyone. `MILLIS_ALLOWLIST`, default nobody, since Millis publishes none. */
  allowlist?: string | readonly string[]
  /** Replaces the frames that end or transfer a call, whose names are not proven. */
  controlFrames?: Partial<MillisControlFrames>
  /** What Millis' webhooks are sent with as `Authorization: Bearer <secret>`, or several: switches them on. `MILLIS_WEBHOOK_SECRET`, default none. */
  webhookSecret?: string | readonly string[]
  /** `MILLIS_WEBHOOK_PATH`, default `/webhooks/millis`. */
  webhookPath?: string
}

/** How long a caller may be kept waiting, in ms; 0 = for ever. What is said then is up to `fallback`. */
export interface DeadlineOptions {
  /** For the first word of an answer. `FIRST_TOKEN_TIMEOUT_MS`, default 5,000: most models begin within 1 s, and callers hang up on silence. */
  firstTokenMs?: number
  /** For each further piece of it. `TOKEN_GAP_TIMEOUT_MS`, default 5,000. */
  tokenGapMs?: number
  /** For the whole of it. `TURN_TIMEOUT_MS`, default 60,000: nobody listens to a longer speech. */
  turnMs?: number
  /** For anything at all, before `filler` is said. `FILLER_DELAY_MS`, default 1,500. */
  fillerMs?: number
}

/** How much is too much; 0 = no ceiling. New calls are refused with 503, a call that is too long or too busy is ended with a goodbye. */
export interface LimitOptions {
  /** Calls at the same time, those included that wait for their provider to dial again. `MAX_CALLS`, default 1,000. */
  maxCalls?: number
  /** Calls from one address. `MAX_CALLS_PER_ADDRESS`, default `maxCalls`: a provider has one address, or few. */
  maxCallsPerAddress?: number
  /** Sockets whose call has not been introduced. `MAX_UNSTARTED_CALLS`, default 500, or half of `maxCalls` if that is more; none stays for longer than 30 s. */
  maxUnstartedCalls?: number
  /** New sockets in a second. `MAX_UPGRADES_PER_SECOND`, default 1,000, or `maxCalls` if that is more: all calls of another node may come at once. */
  maxUpgradesPerSecond?: number
  /** Calls at the same time on all nodes together, where `cluster` knows of them. `MAX_CLUSTER_CALLS`, default 0. */
  maxClusterCalls?: number
  /** Frames of one call in a second, pings and pongs included, for ten of them. `MAX_FRAMES_PER_SECOND`, default 100: providers send 10 while people talk. */
  maxFramesPerSecond?: number
  /** Bytes read of one call. `MAX_BYTES_PER_CALL`, default 128 GiB: Retell repeats the whole call in each update, up to 2 MiB; ten a second come to 72 GiB in 2 h. */
  maxBytesPerCall?: number
  /** Turns of one call, those superseded included. `MAX_TURNS_PER_CALL`, default 2,000: one every 4 s for 2 h. */
  maxTurnsPerCall?: number
  /** `MAX_CALL_DURATION_MS`, default 7,200,000: Retell's own maximum. */
  maxCallDurationMs?: number
  /** What the models of one call read and write, as {@link Call.countTokens} is told. `MAX_TOKENS_PER_CALL`, default 100,000,000: each turn reads the whole call, which in 2 h, with a turn every 4 s, comes to half of that. */
  maxTokensPerCall?: number
  /** What the caller hears when a call is ended for one of these. Default `I am sorry, we have to end our call here. Goodbye.`. */
  goodbye?: Goodbye
}

/** Many nodes that share their calls through Redis. */
export interface ClusterOptions {
  /** A URL, or an `ioredis` client (of one server, or of a Redis Cluster), which stays the app's to close. `REDIS_URL`, default none: a node of its own. */
  redis?: string | RedisClient
  /** What all keys begin with: nodes that have it in common are one cluster. `REDIS_PREFIX`, default `voice-agent`. */
  prefix?: string
  /** This node's name, in `fastify.calls.cluster` and in the log; what is unique of it is added. `NODE_NAME`, default the host's. */
  node?: string
}

/** What OpenTelemetry is told. */
export interface TelemetryOptions {
  /** Does what people say, and what tools are told and return, stand in spans? It passes through `redact`. Default false. */
  content?: boolean
}

/** Options of `app.register(voiceAgentPlugin, options)`. All are optional, and win over the environment. */
export interface VoiceAgentOptions extends CallHooks, WebhookHooks {
  /** `false` = no Retell route. */
  retell?: false | RetellOptions
  /** `false` = no Millis route. */
  millis?: false | MillisOptions
  /** A path segment callers must know: `/llm-websocket/<secret>/:call_id`, `/millis/<secret>`; of several each is right. `VOICE_AGENT_SECRET`, default none. */
  secret?: string | readonly string[]
  /** Only calls that the app placed itself are taken: those whose ids `app.admitCall()` was told. `ADMITTED_CALLS_ONLY`, default false. */
  admittedCallsOnly?: boolean
  limits?: LimitOptions
  /** Shares calls with other nodes: any of them goes on with a call whose node is gone. Default: this node alone. */
  cluster?: ClusterOptions
  /** Addresses and CIDR ranges of the proxies whose X-Forwarded-For is believed. `TRUSTED_PROXIES`, default none. */
  trustedProxies?: string | readonly string[]
  /** Origins of the web pages that may place calls, such as `https://app.example.com`; upgrades with any other `Origin` are refused. `ALLOWED_ORIGINS`, default none: then they are refused where the judged address is private, or only `*` admits it. */
  allowedOrigins?: string | readonly string[]
  /** The built-in agent, which serves when `fastify.agent` is not decorated and a key or a server is known. */
  openai?: Omit<OpenAIAgentOptions, 'azure'> & { azure?: Partial<AzureOptions> }
  /** What the caller hears when the agent failed or exceeded a deadline (then the error is a DeadlineError); `''` = nothing. Default: `How may I help you?` to a greeting, else `I am sorry, can you say that again?`. */
  fallback?: Fallback
  /** What a caller who waits for an answer hears when nothing came for `deadlines.fillerMs`. Once a turn; never history. Default nothing. */
  filler?: Filler
  deadlines?: DeadlineOptions
  /** How `turn.messages` is made. */
  messages?: {
    /** Default false: a message `(The call has connected.)` stands before the agent's greeting, since many models want the user to come first. */
    leadingAssistant?: boolean
    /** What the assistant says between a tool's result and the caller's next words. Mistral's servers, among others, refuse them side by side. Default none. */
    afterTool?: string
  }
  /** Takes out of what people say what is not to be stored, before `onTranscript`, `onTurnEnd`, `onCallEnd` and `onWebhook` are told; where it fails they are told `[redacted]`. Default: nothing is taken out. */
  redact?: Redact
  /** What OpenTelemetry is told, where the app has an SDK of it. */
  telemetry?: TelemetryOptions
  /** How long a call whose connection broke waits for its provider to dial again, in ms; 0 = it ends. `RECONNECT_GRACE_MS`, default 30,000: Retell may take up to 27 s to connect. */
  reconnectGraceMs?: number
  /** How long live calls may go on once the app closes, in ms. `DRAIN_TIMEOUT_MS`, default 5,000: with a last answer of at most 3 s still less than the 10 s after which Docker kills. */
  drainTimeoutMs?: number
  /** A route for load balancers: 200 while new calls are taken, 503 while the app closes, is full or under pressure. `READINESS_PATH`, default none. */
  readinessPath?: string
  /** A route for supervisors: 200 as long as the process answers. `LIVENESS_PATH`, default none. */
  livenessPath?: string
  /** Prefix of all routes. */
  prefix?: string
  /** Fastify's own: the log level of the routes. */
  logLevel?: LogLevel
  /** Fastify's own: serializers for the routes. One for `req` replaces ours, which leaves out the URL and the secret in it. */
  logSerializers?: NonNullable<RouteShorthandOptions['logSerializers']>
}

const HOUR_MS = 3_600_000

// `title` is the option that stands for the same thing, `description` what is accepted: the error says both.
const Path = (option: string, path: string) => Type.String({
  title: option, description: `a path such as ${path}`, default: path, pattern: '^(/[A-Za-z0-9._~-]+)+$'
})
const OptionalPath = (option: string, path: string) => Type.String({
  title: option, description: `a path such as ${path}`, default: '', pattern: '^(/[A-Za-z0-9._~-]+)*$'
})
const List = (option: string, list = '') => Type.String({
  title: option, description: 'addresses and CIDR ranges, separated by commas', default: list
})
const Secrets = (option: string) => Type.String({
  // A list of nothing is a mistake: whoever means none leaves it empty.
  title: option, description: 'ASCII text other than blanks; several are separated by commas', default: '', pattern: '^([ ,]*[!-+\\--~][ -~]*)?$'
})
const Text = (option: string) => Type.String({ title: option, description: 'text', default: '' })
const Milliseconds = (option: string, ms: number, maximum: number) => Type.Integer({
  title: option, description: `milliseconds, 0 to ${maximum}`, default: ms, minimum: 0, maximum
})
const Ceiling = (option: keyof LimitOptions, most?: number) => Type.Integer({
  title: `limits.${option}`,
  description: 'a whole number, 0 = no ceiling',
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  ...(most !== undefined && { default: most })
})
const Name = (option: string, name: string) => Type.String({
  title: option, description: 'letters, digits and . _ : -, at most 64', default: name, pattern: '^[A-Za-z0-9._:-]{0,64}$'
})
const OptionalText = (option: string) => Type.Optional(Type.String({ title: option, description: 'text' }))

/** The environment variables the plugin reads, as JSON schema. */
export const envSchema = Type.Object({
  RETELL_PATH: Path('retell.path', '/llm-websocket'),
  RETELL_ALLOWLIST: List('retell.allowlist', '100.20.5.228'),
  RETELL_CALL_DETAILS_TIMEOUT_MS: Milliseconds('retell.callDetailsTimeoutMs', 2_000, 20_000),
  MILLIS_PATH: Path('millis.path', '/millis'),
  MILLIS_ALLOWLIST: List('millis.allowlist'),
  RETELL_API_KEY: Secrets('retell.apiKey'),
  RETELL_WEBHOOK_PATH: Path('retell.webhookPath', '/webhooks/retell'),
  MILLIS_WEBHOOK_SECRET: Secrets('millis.webhookSecret'),
  MILLIS_WEBHOOK_PATH: Path('millis.webhookPath', '/webhooks/millis'),
  VOICE_AGENT_SECRET: Type.Optional(Type.String({
    title: 'secret',
    description: 'at least one letter, digit or one of . _ ~ -, and nothing else; several are separated by commas',
    pattern: '^[A-Za-z0-9._~-]+(,[A-Za-z0-9._~-]+)*$'
  })),
  ADMITTED_CALLS_ONLY: Type.Boolean({ title: 'admittedCallsOnly', description: 'true or false', default: false }),
  MAX_CALLS: Ceiling('maxCalls', 1_000),
  MAX_CALLS_PER_ADDRESS: Type.Optional(Ceiling('maxCallsPerAddress')),
  MAX_UNSTARTED_CALLS: Type.Optional(Ceiling('maxUnstartedCalls')),
  MAX_UPGRADES_PER_SECOND: Type.Optional(Ceiling('maxUpgradesPerSecond')),
  MAX_CLUSTER_CALLS: Ceiling('maxClusterCalls', 0),
  REDIS_URL: Type.String({
    title: 'cluster.redis',
    description: 'a URL such as redis://localhost:6379, or rediss:// with TLS; in a password / ? # @ % are written as %2F %3F %23 %40 %25',
    default: '',
    // Host, number of a database, options. An @ behind the host is part of a password that was cut short.
    pattern: '^(rediss?://[!"$-.0->@-~]+(/\\d*)?(\\?[!"$-?A-~]*)?)?$'
  }),
  REDIS_PREFIX: Name('cluster.prefix', 'voice-agent'),
  NODE_NAME: Name('cluster.node', ''),
  MAX_FRAMES_PER_SECOND: Ceiling('maxFramesPerSecond', 100),
  MAX_BYTES_PER_CALL: Ceiling('maxBytesPerCall', 128 * 1024 ** 3),
  MAX_TURNS_PER_CALL: Ceiling('maxTurnsPerCall', 2_000),
  MAX_CALL_DURATION_MS: Ceiling('maxCallDurationMs', 2 * HOUR_MS),
  MAX_TOKENS_PER_CALL: Ceiling('maxTokensPerCall', 100_000_000),
  TRUSTED_PROXIES: List('trustedProxies'),
  ALLOWED_ORIGINS: Type.String({ title: 'allowedOrigins', description: 'origins such as https://app.example.com, separated by commas', default: '' }),
  FIRST_TOKEN_TIMEOUT_MS: Milliseconds('deadlines.firstTokenMs', 5_000, HOUR_MS),
  TOKEN_GAP_TIMEOUT_MS: Milliseconds('deadlines.tokenGapMs', 5_000, HOUR_MS),
  TURN_TIMEOUT_MS: Milliseconds('deadlines.turnMs', 60_000, HOUR_MS),
  FILLER_DELAY_MS: Milliseconds('deadlines.fillerMs', 1_500, HOUR_MS),
  RECONNECT_GRACE_MS: Milliseconds('reconnectGraceMs', 30_000, HOUR_MS),
  DRAIN_TIMEOUT_MS: Milliseconds('drainTimeoutMs', 5_000, HOUR_MS),
  READINESS_PATH: OptionalPath('readinessPath', '/ready'),
  LIVENESS_PATH: OptionalPath('livenessPath', '/live'),
  // What others who read it understand, besides true and false, is not refused.
  OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: Type.String({ title: 'telemetry.content', description: 'true or false', default: '' }),
  OPENAI_API_KEY: Text('openai.apiKey'),
  OPENAI_BASE_URL: Text('openai.baseURL'),
  OPENAI_MODEL: OptionalText('openai.model'),
  AZURE_OPENAI_ENDPOINT: Text('openai.azure.endpoint'),
  AZURE_OPENAI_API_KEY: Text('openai.azure.apiKey'),
  OPENAI_API_VERSION: OptionalText('openai.azure.apiVersion'),
  AGENT_INSTRUCTIONS: OptionalText('openai.instructions'),
  AGENT_GREETING: OptionalText('openai.greeting')
})

/** What {@link envSchema} lets through. */
export type Env = Static<typeof envSchema>

/** All that the plugin reads. */
export const VARIABLES = Object.keys(envSchema.properties) as Array<keyof Env>

/** The options as the environment would have them, to be laid over it. */
export function toEnv (options: VoiceAgentOptions): Partial<Record<keyof Env, string | number | boolean>> {
  const { retell, millis, openai, deadlines, limits, cluster } = options
  return withoutUndefined({
    RETELL_PATH: retell ? retell.path : undefined,
    RETELL_ALLOWLIST: retell ? joined(retell.allowlist) : undefined,
    RETELL_CALL_DETAILS_TIMEOUT_MS: retell ? retell.callDetailsTimeoutMs : undefined,
    MILLIS_PATH: millis ? millis.path : undefined,
    MILLIS_ALLOWLIST: millis ? joined(millis.allowlist) : undefined,
    RETELL_API_KEY: retell ? joined(retell.apiKey) : undefined,
    RETELL_WEBHOOK_PATH: retell ? retell.webhookPath : undefined,
    MILLIS_WEBHOOK_SECRET: millis ? joined(millis.webhookSecret) : undefined,
    MILLIS_WEBHOOK_PATH: millis ? millis.webhookPath : undefined,
    VOICE_AGENT_SECRET: joined(options.secret),
    ADMITTED_CALLS_ONLY: options.admittedCallsOnly,
    MAX_CALLS: limits?.maxCalls,
    MAX_CALLS_PER_ADDRESS: limits?.maxCallsPerAddress,
    MAX_UNSTARTED_CALLS: limits?.maxUnstartedCalls,
    MAX_UPGRADES_PER_SECOND: limits?.maxUpgradesPerSecond,
    MAX_CLUSTER_CALLS: limits?.maxClusterCalls,
    // A client is no text.
    REDIS_URL: typeof cluster?.redis === 'object' ? '' : cluster?.redis,
    REDIS_PREFIX: cluster?.prefix,
    NODE_NAME: cluster?.node,
    MAX_FRAMES_PER_SECOND: limits?.maxFramesPerSecond,
    MAX_BYTES_PER_CALL: limits?.maxBytesPerCall,
    MAX_TURNS_PER_CALL: limits?.maxTurnsPerCall,
    MAX_CALL_DURATION_MS: limits?.maxCallDurationMs,
    MAX_TOKENS_PER_CALL: limits?.maxTokensPerCall,
    TRUSTED_PROXIES: joined(options.trustedProxies),
    ALLOWED_ORIGINS: joined(options.allowedOrigins),
    FIRST_TOKEN_TIMEOUT_MS: deadlines?.firstTokenMs,
    TOKEN_GAP_TIMEOUT_MS: deadlines?.tokenGapMs,
    TURN_TIMEOUT_MS: deadlines?.turnMs,
    FILLER_DELAY_MS: deadlines?.fillerMs,
    RECONNECT_GRACE_MS: options.reconnectGraceMs,
    DRAIN_TIMEOUT_MS: options.drainTimeoutMs,
    READINESS_PATH: options.readinessPath,
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: options.telemetry?.content?.toString(),
    LIVENESS_PATH: options.livenessPath,
    OPENAI_API_KEY: openai?.apiKey,
    OPENAI_BASE_URL: openai?.baseURL,
    OPENAI_MODEL: openai?.model,
    AZURE_OPENAI_ENDPOINT: openai?.azure?.endpoint,
    AZURE_OPENAI_API_KEY: openai?.azure?.apiKey,
    OPENAI_API_VERSION: openai?.azure?.apiVersion,
    AGENT_INSTRUCTIONS: openai?.instructions,
    AGENT_GREETING: openai?.greeting
  })
}

/** The ceilings, of which 0 is none. */
export function ceilingsOf (config: Env): Readonly<Record<Ceiling | CallCeiling, number>> {
  const ceiling = (limit: number): number => limit === 0 ? Infinity : limit
  return {
    maxCalls: ceiling(config.MAX_CALLS),
    maxCallsPerAddress: ceiling(config.MAX_CALLS_PER_ADDRESS ?? config.MAX_CALLS),
    maxUnstartedCalls: ceiling(config.MAX_UNSTARTED_CALLS ?? Math.max(500, config.MAX_CALLS / 2)),
    maxUpgradesPerSecond: ceiling(config.MAX_UPGRADES_PER_SECOND ?? Math.max(1_000, config.MAX_CALLS)),
    maxClusterCalls: ceiling(config.MAX_CLUSTER_CALLS),
    maxFramesPerSecond: ceiling(config.MAX_FRAMES_PER_SECOND),
    maxBytesPerCall: ceiling(config.MAX_BYTES_PER_CALL),
    maxTurnsPerCall: ceiling(config.MAX_TURNS_PER_CALL),
    maxCallDurationMs: ceiling(config.MAX_CALL_DURATION_MS),
    maxTokensPerCall: ceiling(config.MAX_TOKENS_PER_CALL)
  }
}

/** Is what people say to stand in spans? OpenTelemetry's instrumentations share the variable, and not all know the same words. */
export function capturesContent (config: Env): boolean {
  return /^(true|span_only|span_and_event)$/i.test(config.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT)
}

/** Turns what @fastify/env found wrong into one message that names variable, option and what is accepted. */
export function toConfigError (error: Error & { errors?: ReadonlyArray<{ instancePath: string }> }): Error {
  if (error.errors === undefined) return error
  const names = new Set(error.errors.map(({ instancePath }) => instancePath.slice(1) as keyof Env))
  return new ConfigError(Array.from(names, accepted).join('; '))
}

/**
 * Ajv takes `Infinity` for a whole number within any bounds. A timer of that many milliseconds fires at once.
 * @throws VOICE_AGENT_ERR_CONFIG naming the variables
 */
export function refuseInfinity (config: Env): void {
  const infinite = VARIABLES.filter(name => typeof config[name] === 'number' && !Number.isFinite(config[name]))
  if (infinite.length > 0) throw new ConfigError(infinite.map(accepted).join('; '))
}

/** Says what is accepted, without the value that is not. */
export function accepted (variable: keyof Env): string {
  return `${nameOf(variable)} must be ${envSchema.properties[variable].description}`
}

/** What the operator calls a setting: the variable and the option. */
export function nameOf (variable: keyof Env): string {
  return `${variable} (option ${envSchema.properties[variable].title})`
}

/** The entries of a comma-separated list. */
export function entriesOf (list: string): string[] {
  return list.split(',')
}

function joined (list: string | readonly string[] | undefined): string | undefined {
  return typeof list === 'string' ? list : list?.join(',')
}

function withoutUndefined<T extends Record<string, unknown>> (object: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
