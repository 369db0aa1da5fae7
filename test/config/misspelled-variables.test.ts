import t from 'tap'
import voiceAgentPlugin, { envSchema } from '../../lib/index.js'
import { misspelledVariables } from '../../lib/config/misspelled-variables.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

const MISTAKES: ReadonlyArray<readonly [name: string, meant: keyof typeof envSchema.properties]> = [
  ['RETEL_ALLOWLIST', 'RETELL_ALLOWLIST'],
  ['RETELL_ALOWLIST', 'RETELL_ALLOWLIST'],
  ['RETELL_ALLOW_LIST', 'RETELL_ALLOWLIST'],
  ['retell_allowlist', 'RETELL_ALLOWLIST'],
  ['MILIS_ALLOWLIST', 'MILLIS_ALLOWLIST'],
  ['MILLIS_WEBHOK_SECRET', 'MILLIS_WEBHOOK_SECRET'],
  ['OPENAI_APIKEY', 'OPENAI_API_KEY'],
  ['OPEN_AI_API_KEY', 'OPENAI_API_KEY'],
  ['OPENAI_BASEURL', 'OPENAI_BASE_URL'],
  ['AZURE_OPENAI_ENPOINT', 'AZURE_OPENAI_ENDPOINT'],
  ['VOICE_AGENT_SECRETS', 'VOICE_AGENT_SECRET'],
  ['VOICEAGENT_SECRET', 'VOICE_AGENT_SECRET'],
  ['TRUSTED_PROXYS', 'TRUSTED_PROXIES'],
  ['DRAIN_TIMEOUT', 'DRAIN_TIMEOUT_MS'],
  ['DRAIN_TIMEOUT_SM', 'DRAIN_TIMEOUT_MS'],
  ['MAX_CALL_DURATION', 'MAX_CALL_DURATION_MS'],
  ['MAX_CALLS_PER_ADRESS', 'MAX_CALLS_PER_ADDRESS'],
  ['AGENT_INSTRUCTION', 'AGENT_INSTRUCTIONS']
]

/** What other software reads, in the surroundings that such an app has. */
const OTHERS = [
  'PATH', 'HOME', 'HOST', 'HOSTNAME', 'PORT', 'USER', 'SHELL', 'TERM', 'LANG', 'LC_ALL', 'TZ', 'PWD', 'OLDPWD', 'SHLVL', 'TMPDIR', 'CI', 'DEBUG', 'LOG_LEVEL', '_',
  'NODE_ENV', 'NODE_HOME', 'NODE_NAMES', 'NODENAME', 'NODE_IP', 'NODE_HOST', 'NODE_PATH', 'NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_VERSION', 'POD_NAME', 'POD_IP', 'POD_NAMESPACE',
  'KUBERNETES_SERVICE_HOST', 'KUBERNETES_PORT', 'npm_package_name', 'npm_config_user_agent', 'YARN_VERSION',
  'REDIS_URI', 'REDIS_HOST', 'REDIS_PORT', 'REDIS_USER', 'REDIS_DB', 'REDIS_PASSWORD', 'REDIS_TLS_URL', 'REDIS_KEY_PREFIX', 'DATABASE_URL', 'MONGODB_URI', 'AMQP_URL',
  'OPENAI_ORG_ID', 'OPENAI_PROJECT_ID', 'OPENAI_API_BASE', 'OPENAI_API_TYPE', 'OPENAI_API_HOST', 'OPENAI_API_BASE_URL', 'OPENAI_API_KEY_2', 'OPENAI_API_KEY1', 'OPENAI_WEBHOOK_SECRET', 'OPENAI_LOG',
  'OPENAPI_BASE_URL', 'OPENAPI_MODEL', 'AZURE_OPENAI_KEY', 'AZURE_OPENAI_API_VERSION', 'AZURE_OPENAI_DEPLOYMENT', 'AZURE_OPENAI_API_INSTANCE_NAME', 'AZURE_TENANT_ID', 'AZURE_CLIENT_ID',
  'ANTHROPIC_API_KEY', 'MISTRAL_API_KEY', 'GROQ_API_KEY', 'GEMINI_API_KEY', 'XAI_API_KEY', 'DEEPGRAM_API_KEY', 'ELEVENLABS_API_KEY',
  'MILLIS_API_KEY', 'MILLIS_AGENT_ID', 'MILLIS_REGION', 'RETELL_AGENT_ID', 'RETELL_BASE_URL', 'RETELL_FROM_NUMBER', 'TIMEOUT_MILLIS', 'MILLIS',
  'TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'PUBLIC_URL', 'DIAL_TOKEN', 'CONTROL_TOKEN', 'METRICS_TOKEN', 'PLAYGROUND', 'STRIPE_API_KEY', 'SENTRY_DSN', 'JWT_SECRET', 'SESSION_SECRET', 'COOKIE_SECRET',
  'ALLOWED_ORIGIN', 'ALLOW_ORIGINS', 'ALLOWED_HOSTS', 'CORS_ORIGIN', 'CORS_ALLOWED_ORIGINS', 'TRUST_PROXY', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY',
  'RUN_TIMEOUT_MS', 'TERM_TIMEOUT_MS', 'TIMEOUT_MS', 'REQUEST_TIMEOUT_MS', 'SHUTDOWN_TIMEOUT_MS', 'MIN_CALLS_PER_ADDRESS', 'MAX_TOKENS', 'MAX_CONNECTIONS', 'MAX_RETRIES', 'MAX_OLD_SPACE_SIZE',
  'READINESS_PORT', 'LIVENESS_PORT', 'HEALTH_PATH', 'METRICS_PATH', 'AGENT_ID', 'AGENT_NAME', 'AGENT_VERSION', 'AGENT_TOOLSDIRECTORY', 'SSH_AGENT_PID', 'SSH_AUTH_SOCK', 'VOICE_AGENT_URL',
  'OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_SERVICE_NAME', 'OTEL_RESOURCE_ATTRIBUTES', 'OTEL_TRACES_SAMPLER', 'OTEL_SEMCONV_STABILITY_OPT_IN', 'OTEL_LOG_LEVEL',
  'AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'GOOGLE_APPLICATION_CREDENTIALS', 'RENDER_EXTERNAL_URL', 'FLY_APP_NAME', 'RAILWAY_ENVIRONMENT', 'DYNO', 'VERCEL_URL', 'WEBSITE_HOSTNAME'
]

t.test('a misspelled variable is found, with the likely intended name', async t => {
  for (const [name, meant] of MISTAKES) t.strictSame(misspelledVariables({ [name]: 'x' }), [`${name} (did you mean "${meant}"?)`])
})

t.test('variables of the plugin and of other software are not reported', async t => {
  for (const name of [...OTHERS, ...Object.keys(envSchema.properties)]) t.strictSame(misspelledVariables({ [name]: 'x' }), [], name)
})

t.test('a similar name is not reported if the plugin\'s variable is set too', async t => {
  for (const [name, meant] of MISTAKES) t.strictSame(misspelledVariables({ [name]: 'x', [meant]: '' }), [], name)
})

t.test('the app starts and warns once of each name, without its value, even with several registrations', async t => {
  Object.assign(process.env, { RETEL_ALLOWLIST: 'canary', DRAIN_TIMEOUT: 'canary' })
  t.teardown(() => {
    delete process.env['RETEL_ALLOWLIST']
    delete process.env['DRAIN_TIMEOUT']
  })
  const { app, logs } = createApp(t)
  for (const prefix of ['/sales', '/support']) {
    app.register(async scope => {
      await scope.register(
        voiceAgentPlugin, { ...AT_ONCE, prefix, millis: false }
      )
    })
  }
  await app.ready()
  t.strictSame(logs.filter(({ level }) => level >= 40).map(({ level, msg }) => ({ level, msg })), [
    { level: 40, msg: 'The environment has a variable that the plugin does not read: RETEL_ALLOWLIST (did you mean "RETELL_ALLOWLIST"?)' },
    { level: 40, msg: 'The environment has a variable that the plugin does not read: DRAIN_TIMEOUT (did you mean "DRAIN_TIMEOUT_MS"?)' }
  ])
  t.notMatch(JSON.stringify(logs), 'canary')
})
