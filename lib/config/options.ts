/**
 * The options of the plugin, as users write them. Each has a default, and wins over its environment variable.
 */
import type { LogLevel, RouteShorthandOptions } from 'fastify'
import type { AzureOptions } from '../agents/openai/model-server-options.js'
import type { OpenAIAgentOptions } from '../agents/openai/agent.js'
import type { CallHooks } from '../call/hooks.js'
import type { Goodbye } from '../call/limits.js'
import type { Redact } from '../speech/redact.js'
import type { Fallback, Filler } from '../call/stand-in.js'
import type { RedisClient } from '../cluster/redis-client.js'
import type { ProviderOptions, WebhookHooks } from '../providers/index.js'

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
export interface VoiceAgentOptions extends CallHooks, WebhookHooks, ProviderOptions {
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
