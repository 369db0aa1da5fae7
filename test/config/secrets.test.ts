/**
 * Values that cannot be used, with a secret in them: what an app that does not start logs of them.
 */
import t from 'tap'
import voiceAgentPlugin, { openAIAgent, type VoiceAgentOptions } from '../../lib/index.js'
import voiceAgentControl from '../../lib/control/index.js'
import { createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { dialling } from '../../example-app/dialling.js'
import { runNode } from '../helpers/process.js'
import { compiledArgumentsOf } from '../helpers/example-app.js'

setEnv(t)

/** The secret begins and ends in a way that no other text does, since a parser may cut it anywhere. */
const HEAD = 'hunter'
const TAIL = 'zebra'

/** The option of a variable, where there is one of its own. */
const OPTIONS: Readonly<Record<string, (value: string) => VoiceAgentOptions>> = {
  REDIS_URL: redis => ({ cluster: { redis } }),
  OPENAI_BASE_URL: baseURL => ({ openai: { baseURL } }),
  OPENAI_API_KEY: apiKey => ({ openai: { apiKey } }),
  RETELL_ALLOWLIST: allowlist => ({ retell: { allowlist } }),
  MILLIS_ALLOWLIST: allowlist => ({ millis: { allowlist: allowlist.split(',') } }),
  TRUSTED_PROXIES: trustedProxies => ({ trustedProxies }),
  RETELL_API_KEY: apiKey => ({ retell: { apiKey } }),
  MILLIS_WEBHOOK_SECRET: webhookSecret => ({ millis: { webhookSecret } }),
  VOICE_AGENT_SECRET: secret => ({ secret })
}

const WRONG: ReadonlyArray<readonly [variable: string, value: string, others?: Record<string, string>]> = [
  ...['/', '?', '#', '%', '/1?', '@x/', ' ', '\n'].map(odd => ['REDIS_URL', `redis://:${HEAD}${odd}${TAIL}@127.0.0.1:6379`] as const),
  // Until the odd character they look like a user and a port.
  ...['/', '/0', '?', '#', '/?'].map(odd => ['REDIS_URL', `redis://${HEAD}:123${odd}${TAIL}@127.0.0.1:6379`] as const),
  ...['99999', '-1', 'http'].map(port => ['REDIS_URL', `redis://:${HEAD}${TAIL}@127.0.0.1:${port}`] as const),
  ['REDIS_URL', `rediss://:${HEAD}${TAIL}@`],
  ['REDIS_URL', `redis://:${HEAD}${TAIL}@[::1`],
  ['REDIS_URL', `redis://:${HEAD}${TAIL}@127.0.0.1/calls`],
  ['OPENAI_BASE_URL', `http://user:${HEAD}/${TAIL}@127.0.0.1/v1`],
  ['OPENAI_BASE_URL', `http://user:${HEAD}${TAIL}@127.0.0.1:99999/v1`],
  ['OPENAI_BASE_URL', `http://127.0.0.1/v1?key=${HEAD}${TAIL}`],
  ['OPENAI_API_KEY', `${HEAD}\n${TAIL}`],
  ['OPENAI_API_KEY', `${HEAD}${TAIL}\n`, { OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' }],
  ['OPENAI_API_KEY', `${HEAD}…${TAIL}`],
  ['AZURE_OPENAI_ENDPOINT', `https://user:${HEAD}/${TAIL}@desk.openai.azure.com`, { AZURE_OPENAI_API_KEY: 'k' }],
  ['AZURE_OPENAI_API_KEY', `${HEAD} ${TAIL}`, { AZURE_OPENAI_ENDPOINT: 'http://127.0.0.1:1' }],
  ['RETELL_ALLOWLIST', `127.0.0.1,${HEAD}${TAIL}`],
  ['MILLIS_ALLOWLIST', `*,${HEAD}${TAIL}/8`],
  ['TRUSTED_PROXIES', `${HEAD}${TAIL}/0`],
  ['RETELL_API_KEY', `${HEAD}\n${TAIL}`],
  ['MILLIS_WEBHOOK_SECRET', `${HEAD}\n${TAIL}`],
  ['VOICE_AGENT_SECRET', `${HEAD}/${TAIL}`],
  ['REDIS_PREFIX', `${HEAD} ${TAIL}`],
  ['NODE_NAME', `${HEAD}@${TAIL}`],
  ['MAX_CALLS', `${HEAD}${TAIL}`],
  ['TURN_TIMEOUT_MS', `${HEAD}${TAIL}`],
  ['ADMITTED_CALLS_ONLY', `${HEAD}${TAIL}`],
  ['RETELL_WEBHOOK_PATH', `${HEAD}${TAIL}`]
]

for (const [variable, value, others = {}] of WRONG) {
  t.test(`${variable}=${JSON.stringify(value)} stops the start, and nothing of its value is logged`, async t => {
    const option = OPTIONS[variable]
    for (const [env, options] of [
      [{ ...others, [variable]: value }, {}], ...option === undefined ? [] : [[others, option(value)] as const]
    ] as const) {
      setEnv(t, env)
      const { app, logs } = createApp(t)
      app.register(voiceAgentPlugin, options)
      const error = await app.ready().then(() => undefined, (error: unknown) => error) as Error & { code?: string } | undefined
      t.equal(error?.code, 'VOICE_AGENT_ERR_CONFIG')
      t.ok(error?.message.startsWith(`${variable} (option `), String(error))
      app.log.error({ err: error }, 'the server did not start')
      t.notMatch(JSON.stringify([logs, error, String(error?.stack)]), new RegExp(`${HEAD}|${TAIL}`, 'i'))
    }
    setEnv(t)
  })
}

t.test('a Redis URL with an encoded password, a database and options is accepted', async t => {
  for (const redis of [
    `redis://:${HEAD}%2F%3F%23%40%25${TAIL}@127.0.0.1:1/2?family=4`, 'rediss://user:p@ss@127.0.0.1:1', 'redis://[::1]:1/',
    'redis://127.0.0.1'
  ]) {
    const { app } = createApp(t)
    await t.resolves(async () => { await app.register(voiceAgentPlugin, { cluster: { redis } }) }, redis)
  }
})

t.test('errors quote neither keys of the app\'s own agents nor tokens of the control plane', async t => {
  const failures = [
    async () => { openAIAgent({ apiKey: `${HEAD}\n${TAIL}` }) },
    async () => { await createApp(t).app.register(voiceAgentControl, { token: `${HEAD} ${TAIL}` }) },
    async () => { await createApp(t).app.register(voiceAgentControl, { token: 'token', path: `${HEAD}${TAIL}` }) },
    async () => { await createApp(t).app.register(dialling, { env: { PUBLIC_URL: `https://user:${HEAD}/${TAIL}@voice.example.com` } }) },
    async () => { await createApp(t).app.register(dialling, { env: { PUBLIC_URL: `${HEAD}.example.com:${TAIL}` } }) }
  ]
  for (const fail of failures) {
    const error = await fail().catch((error: unknown) => error) as Error & { code: string }
    t.match(error, { code: 'VOICE_AGENT_ERR_CONFIG' })
    t.notMatch(JSON.stringify([error, error.message, String(error.stack)]), new RegExp(`${HEAD}|${TAIL}`))
  }
})

t.test('the example app names its wrong variable without the value', async t => {
  const programs = [
    ...[
      { PORT: `${HEAD}${TAIL}` }, { PORT: '4815162342' }, { PORT: '0', HOST: `${HEAD}.${TAIL}.invalid` }
    ].map(env => ['start', env, /"(PORT must be a whole number|HOST and PORT: cannot listen there \(E\w+\))/] as const),
    ['dial', { DIAL_TOKEN: 'token', DIAL_URL: `http://user:${HEAD}/${TAIL}@127.0.0.1` }, /^DIAL_URL is no http or https URL$/m] as const,
    ['dial', { DIAL_TOKEN: 'token', DIAL_URL: `${HEAD}:${TAIL}` }, /^DIAL_URL is no http or https URL$/m] as const,
    [
      'dial', { DIAL_TOKEN: 'token', DIAL_URL: `http://user:${HEAD}${TAIL}@127.0.0.1:1` },
      /^The example app does not answer at http:\/\/127\.0\.0\.1:1: /m
    ] as const
  ]
  await Promise.all(programs.map(async ([script, env, says]) => {
    const program = runNode(t, [...compiledArgumentsOf(script), ...script === 'dial' ? ['--web'] : []], env)
    await program.says(says)
    await program.exit
    t.notMatch(program.output(), new RegExp(`${HEAD}|${TAIL}|4815162342`))
  }))
})
