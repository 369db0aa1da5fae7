/**
 * What refusals leave in the log, and how they are answered.
 */
import { LogController, type FastifyError, type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { ForbiddenError, type VoiceAgentOptions } from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { AT_ONCE, createApp, type LogLine } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { dialUrl } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { upgrade } from '../helpers/upgrade.js'
import { KEY, signed } from '../helpers/webhooks.js'

setEnv(t)

async function start (t: Test, options: VoiceAgentOptions = {}, first: (app: FastifyInstance) => void = () => {}) {
  const { app, logs } = createApp(t, 'info')
  first(app)
  const open = { retell: { allowlist: '*', apiKey: KEY }, millis: { webhookSecret: 'millis-secret' } } satisfies VoiceAgentOptions
  await app.register(voiceAgentPlugin, { ...AT_ONCE, ...open, ...options })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    url,
    /** The lines of the request that was answered. */
    async lines () {
      const answered = (): LogLine | undefined => logs.find(({ msg }) => msg === 'request completed')
      while (answered() === undefined) await tick()
      return logs.filter(({ reqId }) => reqId === answered()!['reqId'])
    }
  }
}

const started = { level: 30, msg: 'incoming request', err: undefined }
const completed = { level: 30, msg: 'request completed', err: undefined }

const webhook = (path: string, body: string, headers: Record<string, string>) => async (_t: Test, url: string): Promise<number> =>
  (await fetch(url + path, { method: 'POST', body, headers })).status
const call = (path: string) => async (t: Test, url: string): Promise<number> => (await upgrade(t, url + path)).status

interface Case {
  ask: (t: Test, url: string) => Promise<number>
  status: number
  line: object
  options?: VoiceAgentOptions
}

const REFUSALS: Record<string, Case> = {
  'an address that is not admitted': {
    ask: call('/millis'),
    status: 403,
    line: { level: 40, msg: 'refused: address is not on the allowlist' },
    options: { millis: { allowlist: '192.0.2.1' } }
  },
  'a call beyond a ceiling': {
    async ask (t, url) {
      await call('/llm-websocket/call_1')(t, url)
      return call('/llm-websocket/call_2')(t, url)
    },
    status: 503,
    line: { level: 40, msg: 'refused: too many calls' },
    options: { limits: { maxCalls: 1 } }
  },
  'a URL without a call id': {
    ask: call('/llm-websocket'),
    status: 400,
    line: { level: 40, address: '127.0.0.1', msg: 'refused: the URL must end in a call id' }
  },
  'a webhook without a signature': {
    ask: webhook('/webhooks/retell', '{}', {}),
    status: 401,
    line: { level: 40, msg: 'refused: no x-retell-signature header' }
  },
  'a webhook without the secret': {
    ask: webhook('/webhooks/millis', '{}', {}),
    status: 401,
    line: { level: 40, msg: /^refused: no Authorization header/ }
  },
  'a webhook that cannot be read': {
    ask: webhook('/webhooks/retell', 'x', signed('x')),
    status: 400,
    line: { level: 40, code: 'VOICE_AGENT_ERR_WEBHOOK', msg: 'refused: The webhook is not JSON' }
  }
}

for (const [what, { ask, status, line, options }] of Object.entries(REFUSALS)) {
  t.test(`${what} leaves one line besides Fastify's own two, and no stack`, async t => {
    const { url, lines } = await start(t, options)
    t.equal(await ask(t, url), status)
    t.match(await lines(), [started, { ...line, err: undefined }, completed])
  })
}

t.test('a request for the playground without its token leaves one line likewise', async t => {
  const { url, lines } = await start(t, {}, app => {
    app.register(playground, { enabled: true, token: 'playground-token', prefix: '/try' })
  })
  t.equal((await fetch(`${url}/try`)).status, 403)
  const refusal = { level: 40, code: 'VOICE_AGENT_ERR_PLAYGROUND', msg: /^refused: Open the playground by the URL/, err: undefined }
  t.match(await lines(), [started, refusal, completed])
})

t.test('a refusal while the app closes is expected, and logged at info', async t => {
  const { app, url, lines } = await start(t, { drainTimeoutMs: 60_000 })
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  const closed = app.close()
  t.equal((await upgrade(t, `${url}/llm-websocket/call_2`)).status, 503)
  t.match(await lines(), [started, { level: 30, msg: 'refused: The server is closing', err: undefined }, completed])
  caller.socket.close(1000)
  await closed
})

// Answers

const FORBIDDEN = { statusCode: 403, code: 'VOICE_AGENT_ERR_FORBIDDEN', error: 'Forbidden', message: 'Forbidden' }

/** Who may not call asks for a call, over HTTP. */
async function refuse (t: Test, first?: (app: FastifyInstance) => void) {
  const { url, lines } = await start(t, { millis: { allowlist: '192.0.2.1' } }, first)
  const response = await fetch(`${url}/millis`)
  return { response, lines: await lines() }
}

t.test('without an error handler of the app a refusal is answered as Fastify answers errors, byte by byte', async t => {
  const { response } = await refuse(t)
  t.equal(response.status, 403)
  t.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
  const body = await response.text()
  t.strictSame(JSON.parse(body), FORBIDDEN)
  const { app } = createApp(t)
  app.get('/', async () => { throw new ForbiddenError() })
  t.equal(body, (await app.inject('/')).body)
})

t.test('an error handler of the app answers refusals in its own way', async t => {
  const { response, lines } = await refuse(t, app => {
    app.setErrorHandler((error: FastifyError, _request, reply) => reply.code(404).send({ mine: error.code }))
  })
  t.strictSame([response.status, await response.json()], [404, { mine: 'VOICE_AGENT_ERR_FORBIDDEN' }])
  t.match(lines, [started, { level: 40, msg: 'refused: address is not on the allowlist' }, completed])
})

t.test('an error handler that the app sets before the plugin is loaded answers refusals, too', async t => {
  const { app } = createApp(t)
  app.register(voiceAgentPlugin, AT_ONCE)
  app.setErrorHandler((_error, _request, reply) => reply.code(404).send('mine'))
  t.equal((await app.inject('/millis')).body, 'mine')
})

t.test('other errors on these routes are logged by Fastify as ever', async t => {
  const { response, lines } = await refuse(t, app => { app.addHook('onRequest', async () => { throw new TypeError('mine') }) })
  t.match([response.status, await response.json()], [500, { statusCode: 500, error: 'Internal Server Error', message: 'mine' }])
  t.match(lines, [started, { level: 50, msg: 'mine', err: { type: 'TypeError', stack: /^TypeError/ } }, completed])
})

t.test('where request logging is switched off, the reason of a refusal is logged all the same', async t => {
  const { app, logs } = createApp(t, 'info', { logController: new LogController({ disableRequestLogging: true }) })
  await app.register(voiceAgentPlugin, AT_ONCE)
  t.equal((await app.inject('/llm-websocket')).statusCode, 403)
  t.match(logs.filter(({ reqId }) => reqId !== undefined), [{ msg: 'refused: address is not on the allowlist' }])
})
