/**
 * What is answered to each option and each variable of the environment with a value that is wrong, and to names that are. The texts
 * are whole, so that a reader can judge their wording. More wrong values of each: test/config/options.test.ts.
 */
import t, { type Test } from 'tap'
import voiceAgentPlugin, { envSchema, type VoiceAgentOptions } from '../../lib/index.js'
import { OPTION_NAMES } from '../../lib/config/option-check.js'
import { createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

type Variable = keyof typeof envSchema.properties

/** What the app does not start with. */
async function answerTo (t: Test, options: unknown, env: Partial<Record<Variable, string>> = {}): Promise<string> {
  setEnv(t, env)
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, options as VoiceAgentOptions)
  const error: Error & { code?: string } = await app.ready().then(() => new Error('it started'), error => error)
  if (error.code !== undefined) t.equal(error.code, 'VOICE_AGENT_ERR_CONFIG')
  return error.message
}

/** `{ a: { b: value } }` of `a.b`. */
const nested = (option: string, value: unknown): unknown => option.split('.').reduceRight((inner, name) => ({ [name]: inner }), value)

const ADDRESSES = 'must be addresses and CIDR ranges, separated by commas'
const SECRETS = 'must be ASCII text other than blanks; several are separated by commas'
const COUNT = 'must be a whole number, 0 = no limit'
const HOUR = 'must be milliseconds, 0 to 3600000'
const NAME = 'must be letters, digits and . _ : -, at most 64'
const REDIS = 'must be a URL such as redis://localhost:6379, or rediss:// with TLS; in a password / ? # @ % are written as %2F %3F %23 %40 %25'
const PATH_SECRET = 'must be at least one letter, digit or one of . _ ~ -, and nothing else; several are separated by commas'

/** Each option with a value of the wrong kind. */
const OPTIONS: ReadonlyArray<readonly [option: string, value: unknown, answer: string]> = [
  ['retell', true, 'option retell must be false or an object'],
  ['retell.path', 5, 'RETELL_PATH (option retell.path) must be a path such as /llm-websocket'],
  ['retell.allowlist', ['192.0.2.1', 5], `RETELL_ALLOWLIST (option retell.allowlist) ${ADDRESSES}`],
  ['retell.callDetailsTimeoutMs', '5', 'RETELL_CALL_DETAILS_TIMEOUT_MS (option retell.callDetailsTimeoutMs) must be milliseconds, 0 to 20000'],
  ['retell.apiKey', 5, `RETELL_API_KEY (option retell.apiKey) ${SECRETS}`],
  ['retell.webhookPath', 5, 'RETELL_WEBHOOK_PATH (option retell.webhookPath) must be a path such as /webhooks/retell'],
  ['millis', 'no', 'option millis must be false or an object'],
  ['millis.path', null, 'MILLIS_PATH (option millis.path) must be a path such as /millis'],
  ['millis.allowlist', true, `MILLIS_ALLOWLIST (option millis.allowlist) ${ADDRESSES}`],
  ['millis.controlFrames', 5, 'option millis.controlFrames must be an object'],
  ['millis.controlFrames.endCall', {}, 'option millis.controlFrames.endCall must be a function'],
  ['millis.controlFrames.transferCall', '', 'option millis.controlFrames.transferCall must be a function'],
  ['millis.webhookSecret', ['a', 5], `MILLIS_WEBHOOK_SECRET (option millis.webhookSecret) ${SECRETS}`],
  ['millis.webhookPath', 5, 'MILLIS_WEBHOOK_PATH (option millis.webhookPath) must be a path such as /webhooks/millis'],
  ['secret', 5, `VOICE_AGENT_SECRET (option secret) ${PATH_SECRET}`],
  ['admittedCallsOnly', 'yes', 'ADMITTED_CALLS_ONLY (option admittedCallsOnly) must be true or false'],
  ['limits', 5, 'option limits must be an object'],
  ['limits.maxCalls', '5', `MAX_CALLS (option limits.maxCalls) ${COUNT}`],
  ['limits.maxCallsPerAddress', -1, `MAX_CALLS_PER_ADDRESS (option limits.maxCallsPerAddress) ${COUNT}`],
  ['limits.maxUnstartedCalls', 1.5, `MAX_UNSTARTED_CALLS (option limits.maxUnstartedCalls) ${COUNT}`],
  ['limits.maxUpgradesPerSecond', NaN, `MAX_UPGRADES_PER_SECOND (option limits.maxUpgradesPerSecond) ${COUNT}`],
  ['limits.maxClusterCalls', Infinity, `MAX_CLUSTER_CALLS (option limits.maxClusterCalls) ${COUNT}`],
  ['limits.maxFramesPerSecond', '', `MAX_FRAMES_PER_SECOND (option limits.maxFramesPerSecond) ${COUNT}`],
  ['limits.maxBytesPerCall', '128 GiB', `MAX_BYTES_PER_CALL (option limits.maxBytesPerCall) ${COUNT}`],
  ['limits.maxTurnsPerCall', false, `MAX_TURNS_PER_CALL (option limits.maxTurnsPerCall) ${COUNT}`],
  ['limits.maxCallDurationMs', '2 h', `MAX_CALL_DURATION_MS (option limits.maxCallDurationMs) ${COUNT}`],
  ['limits.maxTokensPerCall', 10n, `MAX_TOKENS_PER_CALL (option limits.maxTokensPerCall) ${COUNT}`],
  ['limits.goodbye', 5, 'option limits.goodbye must be a string or a function'],
  ['cluster', 'redis://localhost', 'option cluster must be an object'],
  ['cluster.redis', 5, `REDIS_URL (option cluster.redis) ${REDIS}`],
  ['cluster.redis', { duplicate () {}, sendCommand () {} }, 'REDIS_URL (option cluster.redis) must be a URL, or a client of ioredis'],
  ['cluster.prefix', 5, `REDIS_PREFIX (option cluster.prefix) ${NAME}`],
  ['cluster.node', 5, `NODE_NAME (option cluster.node) ${NAME}`],
  ['trustedProxies', true, `TRUSTED_PROXIES (option trustedProxies) ${ADDRESSES}`],
  ['allowedOrigins', true, 'ALLOWED_ORIGINS (option allowedOrigins) must be origins such as https://app.example.com, separated by commas'],
  ['openai', 'sk-secret', 'option openai must be an object'],
  ['openai.apiKey', ['sk-secret'], 'OPENAI_API_KEY (option openai.apiKey) must be text'],
  ['openai.baseURL', new URL('http://localhost/v1'), 'OPENAI_BASE_URL (option openai.baseURL) must be text'],
  ['openai.model', 5, 'OPENAI_MODEL (option openai.model) must be text'],
  ['openai.instructions', ['Be brief.'], 'AGENT_INSTRUCTIONS (option openai.instructions) must be text'],
  ['openai.greeting', false, 'AGENT_GREETING (option openai.greeting) must be text'],
  ['openai.temperature', 3, 'option openai.temperature must be a number, 0 to 2'],
  ['openai.maxTokens', 0, 'option openai.maxTokens must be a whole number, at least 1'],
  ['openai.tools', {}, 'option openai.tools must be a list of tools'],
  ['openai.maxSteps', 1, 'option openai.maxSteps must be a whole number, at least 2'],
  ['openai.maxResultCharacters', 0, 'option openai.maxResultCharacters must be a whole number, at least 1'],
  ['openai.maxHistoryCharacters', 1.5, 'option openai.maxHistoryCharacters must be a whole number, at least 1'],
  ['openai.parallelToolCalls', 'no', 'option openai.parallelToolCalls must be true or false'],
  ['openai.speakable', 'no', 'option openai.speakable must be true or false'],
  ['openai.usage', 'no', 'option openai.usage must be true, false or always'],
  ['openai.headers', 'x-team: canary', 'option openai.headers must be an object or a function'],
  ['openai.body', 'canary', 'option openai.body must be an object'],
  ['openai.proxy', 'http://canary@proxy:3128', 'OPENAI_PROXY (option openai.proxy) must be none or environment'],
  ['openai.maxTokensAs', 'max_output_tokens', 'option openai.maxTokensAs must be max_tokens or max_completion_tokens'],
  ['openai.startsInReasoning', 'no', 'option openai.startsInReasoning must be true or false'],
  ['openai.runsTextCalls', 'no', 'option openai.runsTextCalls must be true or false'],
  ['openai.azure', 'https://desk.openai.azure.com', 'option openai.azure must be an object'],
  ['openai.azure.endpoint', 5, 'AZURE_OPENAI_ENDPOINT (option openai.azure.endpoint) must be text'],
  ['openai.azure.apiKey', 5, 'AZURE_OPENAI_API_KEY (option openai.azure.apiKey) must be text'],
  ['openai.azure.apiVersion', 5, 'OPENAI_API_VERSION (option openai.azure.apiVersion) must be text'],
  ['fallback', 5, 'option fallback must be a string or a function'],
  ['filler', ['One moment.'], 'option filler must be a string or a function'],
  ['deadlines', 5, 'option deadlines must be an object'],
  ['deadlines.firstTokenMs', '5', `FIRST_TOKEN_TIMEOUT_MS (option deadlines.firstTokenMs) ${HOUR}`],
  ['deadlines.tokenGapMs', -1, `TOKEN_GAP_TIMEOUT_MS (option deadlines.tokenGapMs) ${HOUR}`],
  ['deadlines.turnMs', Infinity, `TURN_TIMEOUT_MS (option deadlines.turnMs) ${HOUR}`],
  ['deadlines.fillerMs', 0.5, `FILLER_DELAY_MS (option deadlines.fillerMs) ${HOUR}`],
  ['messages', 5, 'option messages must be an object'],
  ['messages.leadingAssistant', 'yes', 'option messages.leadingAssistant must be true or false'],
  ['messages.afterTool', 5, 'option messages.afterTool must be text'],
  ['telemetry', true, 'option telemetry must be an object'],
  ['telemetry.content', 'yes', 'OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT (option telemetry.content) must be true or false'],
  ['redact', /\d+/, 'option redact must be a function'],
  ...['onCallStart', 'onCallResume', 'onTranscript', 'onTurnEnd', 'onCallEnd', 'onWebhook', 'onInboundCall', 'onPrefetch'].map(hook => [hook, 'log', `option ${hook} must be a function`] as const),
  ['reconnectGraceMs', '30s', `RECONNECT_GRACE_MS (option reconnectGraceMs) ${HOUR}`],
  ['drainTimeoutMs', -1, `DRAIN_TIMEOUT_MS (option drainTimeoutMs) ${HOUR}`],
  ['readinessPath', true, 'READINESS_PATH (option readinessPath) must be a path such as /ready'],
  ['livenessPath', true, 'LIVENESS_PATH (option livenessPath) must be a path such as /live'],
  ['prefix', 5, 'option prefix must be text'],
  ['logLevel', 30, 'option logLevel must be text'],
  ['logSerializers', () => {}, 'option logSerializers must be an object']
]

/** Each variable with a value that is not accepted. */
const VARIABLES: ReadonlyArray<readonly [variable: Variable, value: string, answer: string, others?: Partial<Record<Variable, string>>]> = [
  ['RETELL_PATH', 'wss://voice.example.com/llm-websocket', 'RETELL_PATH (option retell.path) must be a path such as /llm-websocket'],
  ['RETELL_ALLOWLIST', 'retellai.com', 'RETELL_ALLOWLIST (option retell.allowlist): entry 1 is not accepted; accepted are IP addresses, CIDR ranges such as 203.0.113.0/24 and * for everyone'],
  ['RETELL_CALL_DETAILS_TIMEOUT_MS', '2s', 'RETELL_CALL_DETAILS_TIMEOUT_MS (option retell.callDetailsTimeoutMs) must be milliseconds, 0 to 20000'],
  ['MILLIS_PATH', 'millis/', 'MILLIS_PATH (option millis.path) must be a path such as /millis'],
  ['MILLIS_ALLOWLIST', '1.2.3.4;1.2.3.5', 'MILLIS_ALLOWLIST (option millis.allowlist): entry 1 is not accepted; accepted are IP addresses, CIDR ranges such as 203.0.113.0/24 and * for everyone'],
  ['RETELL_API_KEY', ' ', `RETELL_API_KEY (option retell.apiKey) ${SECRETS}`],
  ['RETELL_WEBHOOK_PATH', 'hooks', 'RETELL_WEBHOOK_PATH (option retell.webhookPath) must be a path such as /webhooks/retell'],
  ['MILLIS_WEBHOOK_SECRET', ' ', `MILLIS_WEBHOOK_SECRET (option millis.webhookSecret) ${SECRETS}`],
  ['MILLIS_WEBHOOK_PATH', '/', 'MILLIS_WEBHOOK_PATH (option millis.webhookPath) must be a path such as /webhooks/millis'],
  ['VOICE_AGENT_SECRET', 'a/b', `VOICE_AGENT_SECRET (option secret) ${PATH_SECRET}`],
  ['ADMITTED_CALLS_ONLY', '1', 'ADMITTED_CALLS_ONLY (option admittedCallsOnly) must be true or false'],
  ['MAX_CALLS', 'many', `MAX_CALLS (option limits.maxCalls) ${COUNT}`],
  ['MAX_CALLS_PER_ADDRESS', '-1', `MAX_CALLS_PER_ADDRESS (option limits.maxCallsPerAddress) ${COUNT}`],
  ['MAX_UNSTARTED_CALLS', '1.5', `MAX_UNSTARTED_CALLS (option limits.maxUnstartedCalls) ${COUNT}`],
  ['MAX_UPGRADES_PER_SECOND', '', `MAX_UPGRADES_PER_SECOND (option limits.maxUpgradesPerSecond) ${COUNT}`],
  ['MAX_CLUSTER_CALLS', '1e99', `MAX_CLUSTER_CALLS (option limits.maxClusterCalls) ${COUNT}`],
  ['REDIS_URL', 'localhost:6379', `REDIS_URL (option cluster.redis) ${REDIS}`],
  ['REDIS_PREFIX', 'voice agent', `REDIS_PREFIX (option cluster.prefix) ${NAME}`],
  ['NODE_NAME', 'eu/1', `NODE_NAME (option cluster.node) ${NAME}`],
  ['MAX_FRAMES_PER_SECOND', '100/s', `MAX_FRAMES_PER_SECOND (option limits.maxFramesPerSecond) ${COUNT}`],
  ['MAX_BYTES_PER_CALL', '128GiB', `MAX_BYTES_PER_CALL (option limits.maxBytesPerCall) ${COUNT}`],
  ['MAX_TURNS_PER_CALL', '2,000', `MAX_TURNS_PER_CALL (option limits.maxTurnsPerCall) ${COUNT}`],
  ['MAX_CALL_DURATION_MS', '2h', `MAX_CALL_DURATION_MS (option limits.maxCallDurationMs) ${COUNT}`],
  ['MAX_TOKENS_PER_CALL', 'Infinity', `MAX_TOKENS_PER_CALL (option limits.maxTokensPerCall) ${COUNT}`],
  ['TRUSTED_PROXIES', '*', 'TRUSTED_PROXIES (option trustedProxies): entry 1 would let callers choose their own address; accepted are IP addresses and CIDR ranges such as 10.0.0.0/8'],
  ['ALLOWED_ORIGINS', 'https://a.example, b.example', 'ALLOWED_ORIGINS (option allowedOrigins): entry 2 is not accepted; accepted are origins such as https://app.example.com'],
  ['FIRST_TOKEN_TIMEOUT_MS', '5s', `FIRST_TOKEN_TIMEOUT_MS (option deadlines.firstTokenMs) ${HOUR}`],
  ['TOKEN_GAP_TIMEOUT_MS', '-1', `TOKEN_GAP_TIMEOUT_MS (option deadlines.tokenGapMs) ${HOUR}`],
  ['TURN_TIMEOUT_MS', '0.5', `TURN_TIMEOUT_MS (option deadlines.turnMs) ${HOUR}`],
  ['FILLER_DELAY_MS', 'soon', `FILLER_DELAY_MS (option deadlines.fillerMs) ${HOUR}`],
  ['RECONNECT_GRACE_MS', '86400000', `RECONNECT_GRACE_MS (option reconnectGraceMs) ${HOUR}`],
  ['DRAIN_TIMEOUT_MS', 'Infinity', `DRAIN_TIMEOUT_MS (option drainTimeoutMs) ${HOUR}`],
  ['READINESS_PATH', 'ready', 'READINESS_PATH (option readinessPath) must be a path such as /ready'],
  ['LIVENESS_PATH', '/live?', 'LIVENESS_PATH (option livenessPath) must be a path such as /live'],
  ['OPENAI_API_KEY', 'Bearer sk', 'OPENAI_API_KEY (option openai.apiKey) must be ASCII text without blanks'],
  ['OPENAI_BASE_URL', 'localhost:11434/v1', 'OPENAI_BASE_URL (option openai.baseURL) must be an http or https URL without a query'],
  ['OPENAI_PROXY', 'http://canary@proxy:3128', 'OPENAI_PROXY (option openai.proxy) must be none or environment'],
  ['AZURE_OPENAI_ENDPOINT', 'desk', 'AZURE_OPENAI_ENDPOINT (option openai.azure.endpoint) must be an http or https URL without a query', { AZURE_OPENAI_API_KEY: 'k' }],
  ['AZURE_OPENAI_ENDPOINT', 'https://desk.openai.azure.com', 'AZURE_OPENAI_API_KEY (option openai.azure.apiKey) is missing'],
  ['AZURE_OPENAI_API_KEY', 'a b', 'AZURE_OPENAI_API_KEY (option openai.azure.apiKey) must be ASCII text without blanks', { AZURE_OPENAI_ENDPOINT: 'https://desk.openai.azure.com' }]
]

/** Any text will do for these. */
const FREE: readonly Variable[] = ['OPENAI_MODEL', 'OPENAI_API_VERSION', 'AGENT_INSTRUCTIONS', 'AGENT_GREETING', 'OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT']

const ALL = 'retell, millis, secret, admittedCallsOnly, limits, cluster, trustedProxies, allowedOrigins, deadlines, reconnectGraceMs, ' +
  'drainTimeoutMs, readinessPath, livenessPath, telemetry, openai, fallback, filler, messages, redact, onCallStart, onCallResume, ' +
  'onTranscript, onTurnEnd, onCallEnd, onWebhook, prefix, logLevel, logSerializers, onInboundCall, onPrefetch'

/** Options that there are not, and options that do not go together. */
const OTHERS: ReadonlyArray<readonly [options: unknown, answer: string]> = [
  // Spelt wrong.
  [{ retel: {} }, 'option retel is unknown (did you mean "retell"?)'],
  [{ fallBack: '' }, 'option fallBack is unknown (did you mean "fallback"?)'],
  [{ onTurnend: () => {} }, 'option onTurnend is unknown (did you mean "onTurnEnd"?)'],
  [{ openAI: {} }, 'option openAI is unknown (did you mean "openai"?)'],
  [{ retell: { alowlist: '*' } }, 'option retell.alowlist is unknown (did you mean "allowlist"?)'],
  [{ millis: { webHookSecret: 'canary' } }, 'option millis.webHookSecret is unknown (did you mean "webhookSecret"?)'],
  [{ millis: { controlFrames: { endcall: () => ({}) } } }, 'option millis.controlFrames.endcall is unknown (did you mean "endCall"?)'],
  [{ openai: { apikey: 'canary' } }, 'option openai.apikey is unknown (did you mean "apiKey"?)'],
  [{ openai: { maxToken: 5 } }, 'option openai.maxToken is unknown (did you mean "maxTokens"?)'],
  [{ openai: { azure: { endpont: 'https://x' } } }, 'option openai.azure.endpont is unknown (did you mean "endpoint"?)'],
  [{ limits: { maxCall: 5 } }, 'option limits.maxCall is unknown (did you mean "maxCalls"?)'],
  [{ cluster: { prefx: 'x' } }, 'option cluster.prefx is unknown (did you mean "prefix"?)'],
  [{ deadlines: { firstToken: 5 } }, 'option deadlines.firstToken is unknown (did you mean "firstTokenMs"?)'],
  [{ messages: { leadingAssistent: true } }, 'option messages.leadingAssistent is unknown (did you mean "leadingAssistant"?)'],
  [{ telemetry: { contents: true } }, 'option telemetry.contents is unknown (did you mean "content"?)'],
  // In another object than the one they belong to.
  [{ allowlist: '*' }, 'option allowlist is unknown (did you mean "retell.allowlist" or "millis.allowlist"?)'],
  [{ maxCalls: 5 }, 'option maxCalls is unknown (did you mean "limits.maxCalls"?)'],
  [{ greeting: 'Hello' }, 'option greeting is unknown (did you mean "openai.greeting"?)'],
  [{ retell: { secret: 'canary' } }, 'option retell.secret is unknown (did you mean "secret"?)'],
  [{ millis: { callDetailsTimeoutMs: 5 } }, 'option millis.callDetailsTimeoutMs is unknown (did you mean "retell.callDetailsTimeoutMs"?)'],
  [{ RETELL_ALLOWLIST: '*' }, 'option RETELL_ALLOWLIST is unknown (did you mean "retell.allowlist"?)'],
  [{ agent: () => 'Hello' }, 'option agent is unknown: app.decorate(\'agent\', agent) sets the agent'],
  // Like none.
  [{ cluster: { url: 'redis://:canary@localhost' } }, 'option cluster.url is unknown; the options are redis, prefix, node'],
  [{ openai: { azure: { key: 'canary' } } }, 'option openai.azure.key is unknown; the options are endpoint, apiKey, apiVersion'],
  [{ webhooks: {} }, `option webhooks is unknown; the options are ${ALL}`],
  [{ constructor: 5 }, `option constructor is unknown; the options are ${ALL}`],
  // Together.
  [{ retell: { path: '/voice' }, millis: { path: '/voice' } }, 'RETELL_PATH (option retell.path), MILLIS_PATH (option millis.path), READINESS_PATH (option readinessPath) and LIVENESS_PATH (option livenessPath) must all differ'],
  [{ openai: { apiKey: 'k', tools: [() => {}] } }, 'option openai.tools must be a list of what tool() makes'],
  [{ openai: { apiKey: 'k', toolChoice: 'always' } }, 'option openai.toolChoice must be auto, required, none, or { name } of a tool']
]

t.test('every option and every variable has its row', async t => {
  const rows = [...OPTIONS.map(([option]) => option), 'openai.toolChoice']
  t.strictSame(OPTION_NAMES.filter(option => !rows.includes(option)), [])
  t.strictSame(Object.keys(envSchema.properties).filter(variable => ![...VARIABLES.map(([name]) => name), ...FREE].includes(variable as Variable)), [])
})

t.test('an option with a value of the wrong kind stops the start', async t => {
  for (const [option, value, answer] of OPTIONS) t.equal(await answerTo(t, nested(option, value)), answer)
})

t.test('a variable with a value that is not accepted stops the start', async t => {
  for (const [variable, value, answer, others] of VARIABLES) t.equal(await answerTo(t, {}, { ...others, [variable]: value }), answer)
  for (const variable of FREE) t.equal(await answerTo(t, {}, { [variable]: '/ä b' }), 'it started', variable)
})

t.test('an option that there is not, or that does not go with another one, stops the start', async t => {
  for (const [options, answer] of OTHERS) t.equal(await answerTo(t, options), answer)
})
