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

/** How long a caller waits for the agent, in ms; 0 = without end. `fallback` is said when the time is over. */
export interface DeadlineOptions {
  /**
   * For the first word of an answer. Most models begin within 1 s, and callers hang up on silence.
   * @default 5,000
   * @env FIRST_TOKEN_TIMEOUT_MS
   */
  firstTokenMs?: number
  /**
   * For each further piece of the answer.
   * @default 5,000
   * @env TOKEN_GAP_TIMEOUT_MS
   */
  tokenGapMs?: number
  /**
   * For the whole answer.
   * @default 60,000
   * @env TURN_TIMEOUT_MS
   */
  turnMs?: number
  /**
   * For any speech at all, before `filler` is said.
   * @default 1,500
   * @env FILLER_DELAY_MS
   */
  fillerMs?: number
}

/**
 * Limits; 0 = no limit. New calls beyond them are refused with 503. A call that is too long or too busy is ended with a goodbye.
 */
export interface LimitOptions {
  /**
   * Calls at the same time, with those that wait for their provider to dial again.
   * @default 1,000
   * @env MAX_CALLS
   */
  maxCalls?: number
  /**
   * Calls from one address at the same time. A provider has one address, or few.
   * @default `maxCalls`
   * @env MAX_CALLS_PER_ADDRESS
   */
  maxCallsPerAddress?: number
  /**
   * Sockets whose call is not introduced yet. None of them stays for longer than 30 s.
   * @default 500, or half of `maxCalls` if that is more
   * @env MAX_UNSTARTED_CALLS
   */
  maxUnstartedCalls?: number
  /**
   * New sockets in a second. All calls of another node may come at once.
   * @default 1,000, or `maxCalls` if that is more
   * @env MAX_UPGRADES_PER_SECOND
   */
  maxUpgradesPerSecond?: number
  /**
   * Calls at the same time on all nodes together, where `cluster` is configured.
   * @default 0
   * @env MAX_CLUSTER_CALLS
   */
  maxClusterCalls?: number
  /**
   * Frames of one call in a second, with pings and pongs, for ten seconds. Providers send 10 while people talk.
   * @default 100
   * @env MAX_FRAMES_PER_SECOND
   */
  maxFramesPerSecond?: number
  /**
   * Bytes that are read of one call. A provider may repeat the whole call in each update, up to 2 MiB: ten a second come to 72 GiB in 2 h.
   * @default 128 GiB
   * @env MAX_BYTES_PER_CALL
   */
  maxBytesPerCall?: number
  /**
   * Turns of one call, with the superseded ones. The default is one every 4 s for 2 h.
   * @default 2,000
   * @env MAX_TURNS_PER_CALL
   */
  maxTurnsPerCall?: number
  /**
   * How long a call may last, in ms. Providers end calls after 2 h at the latest.
   * @default 7,200,000
   * @env MAX_CALL_DURATION_MS
   */
  maxCallDurationMs?: number
  /**
   * Tokens that the models of one call read and write, as `call.countTokens()` counts them. Each turn reads the whole call: 2 h with a
   * turn every 4 s come to half of the default.
   * @default 100,000,000
   * @env MAX_TOKENS_PER_CALL
   */
  maxTokensPerCall?: number
  /**
   * What the caller hears before a call is ended for one of these limits: a line, or `(call, limit) => line`.
   * @default `I am sorry, we have to end our call here. Goodbye.`
   */
  goodbye?: Goodbye
}

/** Many nodes that share their calls through Redis: any of them continues a call whose node is gone. */
export interface ClusterOptions {
  /**
   * A URL, or an `ioredis` client of one server or of a Redis Cluster. The app closes its own client.
   * @default none: this node alone
   * @env REDIS_URL
   */
  redis?: string | RedisClient
  /**
   * What all keys begin with. Nodes with the same prefix are one cluster.
   * @default `voice-agent`
   * @env REDIS_PREFIX
   */
  prefix?: string
  /**
   * The name of this node in `fastify.calls.cluster` and in the log. A random suffix makes it unique.
   * @default the host's name
   * @env NODE_NAME
   */
  node?: string
}

/** What OpenTelemetry records, where the app has an SDK of it. */
export interface TelemetryOptions {
  /**
   * Shows in spans what people say, and the arguments and results of tools. The text passes through `redact`.
   * @default false
   * @env OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT
   */
  content?: boolean
}

/** Options of `app.register(voiceAgentPlugin, options)`. All are optional, and win over the environment. */
export interface VoiceAgentOptions extends CallHooks, WebhookHooks, ProviderOptions {
  /**
   * A path segment that callers must know: the last one of a route's path, ahead of the call's id, as in
   * `/llm-websocket/<secret>/:call_id`. Of several each is right.
   * @default none
   * @env VOICE_AGENT_SECRET
   */
  secret?: string | readonly string[]
  /**
   * Takes only calls that the app placed itself: those whose ids `app.admitCall()` was given.
   * @default false
   * @env ADMITTED_CALLS_ONLY
   */
  admittedCallsOnly?: boolean
  limits?: LimitOptions
  cluster?: ClusterOptions
  /**
   * Addresses and CIDR ranges of the proxies whose X-Forwarded-For is believed.
   * @default none
   * @env TRUSTED_PROXIES
   */
  trustedProxies?: string | readonly string[]
  /**
   * Origins of the web pages that may place calls, such as `https://app.example.com`. Upgrades with any other `Origin` are refused.
   * Without the option they are refused where the judged address is private, or only `*` admits it.
   * @default none
   * @env ALLOWED_ORIGINS
   */
  allowedOrigins?: string | readonly string[]
  /** The built-in agent, which serves when `fastify.agent` is not decorated and a key or a server is configured. */
  openai?: Omit<OpenAIAgentOptions, 'azure'> & {
    /** Asks a deployment of Azure OpenAI; `apiKey` and `baseURL` are then not used. */
    azure?: Partial<AzureOptions>
  }
  /**
   * What the caller hears when the agent fails, or exceeds a deadline (then the error is a DeadlineError): a line, or
   * `(turn, error) => line`; `''` = nothing.
   * @default `How may I help you?` to a greeting, else `I am sorry, can you say that again?`
   */
  fallback?: Fallback
  /**
   * What a caller hears who has waited for an answer for `deadlines.fillerMs`: a line, or `(turn) => line`. Once a turn; it is never
   * part of the history.
   * @default nothing
   */
  filler?: Filler
  deadlines?: DeadlineOptions
  /** How `turn.messages` is made. */
  messages?: {
    /**
     * Lets the messages begin with the assistant. Otherwise a message `(The call has connected.)` stands ahead of the greeting, since
     * many models want the user to come first.
     * @default false
     */
    leadingAssistant?: boolean
    /**
     * What the assistant says between a tool's result and the caller's next words. Mistral's servers, among others, refuse these side by
     * side.
     * @default none
     */
    afterTool?: string
  }
  /**
   * `(text) => text`: takes out of what people say what must not be stored, before `onTranscript`, `onTurnEnd`, `onCallEnd`, `onWebhook`
   * and spans have it. Where it fails they have `[redacted]`.
   * @default nothing is taken out
   */
  redact?: Redact
  telemetry?: TelemetryOptions
  /**
   * How long a call whose connection broke waits for its provider to dial again, in ms; 0 = it ends. Providers may take up to 27 s to
   * connect.
   * @default 30,000
   * @env RECONNECT_GRACE_MS
   */
  reconnectGraceMs?: number
  /**
   * How long live calls may go on once the app closes, in ms. With a last answer of at most 3 s the default is less than the 10 s after
   * which Docker kills.
   * @default 5,000
   * @env DRAIN_TIMEOUT_MS
   */
  drainTimeoutMs?: number
  /**
   * A route for load balancers: 200 while new calls are taken, 503 while the app closes, is full or under pressure.
   * @default none
   * @env READINESS_PATH
   */
  readinessPath?: string
  /**
   * A route for supervisors: 200 as long as the process answers.
   * @default none
   * @env LIVENESS_PATH
   */
  livenessPath?: string
  /** Prefix of all routes. */
  prefix?: string
  /** Fastify's own: the log level of the routes. */
  logLevel?: LogLevel
  /** Fastify's own: serializers for the routes. One for `req` replaces ours, which leaves out the URL and the secret in it. */
  logSerializers?: NonNullable<RouteShorthandOptions['logSerializers']>
}
