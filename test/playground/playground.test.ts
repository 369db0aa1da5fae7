import { once } from 'node:events'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyRequest } from 'fastify'
import voiceAgentPlugin, { type Turn, type VoiceAgentOptions } from '../../lib/index.js'
import { mayBeFromHere } from '../../lib/playground/admission.js'
import playground, { type PlaygroundOptions } from '../../lib/playground/index.js'
import type { FromPage, ToPage } from '../../lib/playground/page-messages.js'
import { deferred } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { cookieOf, ENABLED, injectWithCookie } from '../helpers/playground.js'

setEnv(t)

interface Settings {
  options?: PlaygroundOptions & { prefix?: string }
  plugin?: VoiceAgentOptions
  answer?: (turn: Turn) => string | Promise<string>
}

async function createApp (t: Test, { options = {}, plugin = {}, answer = ({ reason }) => `This is the ${reason}.` }: Settings = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', answer)
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' }, ...plugin })
  await app.register(playground, { ...ENABLED, ...options })
  return app
}

/** The page's side. */
async function open (t: Test, app: Awaited<ReturnType<typeof createApp>>, { path = '/playground/call', headers = {} }: { path?: string, headers?: Record<string, string> } = {}) {
  const address = app.server.listening ? `http://127.0.0.1:${(app.server.address() as { port: number }).port}` : await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = new WebSocket(address.replace('http', 'ws') + path, { headers: { cookie: cookieOf(app), ...headers } })
  t.teardown(() => socket.terminate())
  const messages: ToPage[] = []
  socket.on('message', data => { messages.push(JSON.parse(String(data)) as ToPage) })
  await once(socket, 'open')
  return {
    socket,
    messages,
    send: (command: FromPage | object | string) => socket.send(typeof command === 'string' ? command : JSON.stringify(command)),
    async until<Type extends ToPage['type']> (type: Type, is: (message: Extract<ToPage, { type: Type }>) => boolean = () => true): Promise<Extract<ToPage, { type: Type }>> {
      for (;;) {
        const found = messages.find(message => message.type === type && is(message as never))
        if (found !== undefined) return found as never
        await once(socket, 'message')
      }
    }
  }
}

t.test('a page loads scripts, styles and an icon, and nothing else of the folder', async t => {
  const app = await createApp(t)
  const typeOf = async (file: string) => (await injectWithCookie(app, `/playground/${file}`)).headers['content-type']
  t.equal(await typeOf('calls.js'), 'text/javascript; charset=utf-8')
  t.equal(await typeOf('style.css'), 'text/css; charset=utf-8')
  t.equal(await typeOf('icon.svg'), 'image/svg+xml')
  for (const file of ['index.html', 'main.js.map', '', '../index.js', '..%2findex.js', 'constructor']) {
    t.equal((await injectWithCookie(app, `/playground/${file}`)).statusCode, 404, file)
  }
})

t.test('the page is served to this machine, with a policy under which nothing leaves it', async t => {
  const app = await createApp(t)
  const page = await injectWithCookie(app, '/')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], 'text/html')
  t.match(page.headers['content-security-policy'], /^default-src 'none'.*connect-src 'self'/)
  for (const [, path] of page.payload.matchAll(/(?:src|href)="(playground\/.*?)"/g)) t.equal((await injectWithCookie(app, `/${path}`)).statusCode, 200, path!)
  t.match((await injectWithCookie(app, '/playground/main.js')).headers['content-type'], 'javascript')
  t.equal((await injectWithCookie(app, '/playground/index.html')).statusCode, 404)
})

t.test('calls are placed where this machine is a trusted proxy', async t => {
  for (const provider of ['retell', 'millis'] as const) {
    const app = await createApp(t, {
      plugin: { secret: 's'.repeat(32), trustedProxies: '127.0.0.1', millis: {} },
      options: { retellPath: `/llm-websocket/${'s'.repeat(32)}`, millisPath: `/millis/${'s'.repeat(32)}` }
    })
    const page = await open(t, app)
    page.send({ type: 'place', provider })
    await once(page.socket, 'message')
    t.match(page.messages[0], { type: 'placed' }, provider)
  }
})

t.test('its callers keep no app from closing', async t => {
  const app = await createApp(t, { plugin: { drainTimeoutMs: 60_000 } })
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'retell' })
  await page.until('placed')
  await app.close()
  t.equal(app.calls.size, 0)
})

t.test('it may stand elsewhere, however that is written', async t => {
  t.match((await injectWithCookie(await createApp(t, { options: { prefix: '/try/' } }), '/try/')).payload, '<base href="/try/">')
})

t.test('it may stand elsewhere', async t => {
  const app = await createApp(t, { options: { prefix: '/try' } })
  t.match((await injectWithCookie(app, '/try')).payload, '<base href="/try/">')
  t.equal((await injectWithCookie(app, '/try/playground/main.js')).statusCode, 200)
  t.equal((await injectWithCookie(app, '/')).statusCode, 404)
  const page = await open(t, app, { path: '/try/playground/call' })
  page.send({ type: 'place', provider: 'retell' })
  await page.until('placed')
})

t.test('whoever is not at this machine is refused, and told why', async t => {
  const app = await createApp(t)
  const status = async (options: object): Promise<number> => (await injectWithCookie(app, { url: '/', ...options })).statusCode
  for (const host of ['localhost', 'localhost:3000', '127.0.0.1:3000', '[::1]:3000', 'app.localhost:3000', '127.9.9.9']) t.equal(await status({ headers: { host } }), 200, host)
  for (const host of ['example.com', 'localhost.example.com', '192.0.2.7:3000', '127.0.0.1.nip.io', 'a b']) t.equal(await status({ headers: { host } }), 403, host)
  for (const remoteAddress of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) t.equal(await status({ remoteAddress }), 200, remoteAddress)
  for (const remoteAddress of ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8::1']) t.equal(await status({ remoteAddress }), 403, remoteAddress)
  for (const name of ['x-forwarded-for', 'forwarded', 'x-forwarded-host', 'x-real-ip', 'cf-connecting-ip', 'via', 'x-forwarded-proto', 'x-original-forwarded-for', 'true-client-ip', 'x-client-ip']) t.equal(await status({ headers: { [name]: '127.0.0.1' } }), 403, name)
  t.equal(await status({ url: '/playground/main.js', remoteAddress: '192.0.2.7' }), 403)
  t.match((await injectWithCookie(app, { url: '/', remoteAddress: '192.0.2.7' })).json(), { code: 'VOICE_AGENT_ERR_PLAYGROUND', message: /allowRemote/ })
  await t.rejects(open(t, app, { headers: { host: 'example.com' } }), /403/)
  // HTTP/1.0 needs none.
  t.equal(mayBeFromHere({ raw: { socket: { remoteAddress: '127.0.0.1' } }, headers: {} } as FastifyRequest), false)
})

t.test('unless other machines are admitted', async t => {
  const app = await createApp(t, { options: { allowRemote: true } })
  t.equal((await injectWithCookie(app, { url: '/', remoteAddress: '192.0.2.7', headers: { host: 'example.com', 'x-forwarded-for': '192.0.2.8' } })).statusCode, 200)
})

t.test('no other page opens the socket', async t => {
  for (const allowRemote of [true, false]) {
    const app = await createApp(t, { options: { allowRemote } })
    const { socket } = await open(t, app)
    const own = new URL(socket.url).host
    await open(t, app, { headers: { origin: `http://${own}` } })
    for (const origin of ['http://example.com', 'http://localhost', 'null', 'https://127.0.0.1.nip.io']) await t.rejects(open(t, app, { headers: { origin } }), /403/, origin)
  }
})

for (const provider of ['retell', 'millis'] as const) {
  t.test(`a call is placed over ${provider}, and everything of it is told`, async t => {
    const page = await open(t, await createApp(t))
    page.send({ type: 'place', provider })
    t.match((await page.until('placed')).id, /^playground_[0-9a-f-]{36}$/)
    t.match((await page.until('turn', ({ turn }) => turn.heard !== undefined)).turn, { index: 0, id: provider === 'retell' ? 0 : 4, reason: 'greeting', text: 'This is the greeting.', outcome: 'completed', heard: 'This is the greeting.', wordsMs: [], firstTokenMs: Number, firstSentenceMs: Number, durationMs: Number, askedMs: Number })
    page.send({ type: 'say', text: 'Hi' })
    t.match((await page.until('turn', ({ turn }) => turn.index === 1 && turn.heard !== undefined)).turn, { id: provider === 'retell' ? 1 : 5, reason: 'response', text: 'This is the response.' })
    const kinds = page.messages.flatMap(message => message.type === 'frame' ? [message.from] : [])
    t.ok(kinds.includes('server') && kinds.includes('provider'))
    page.send({ type: 'drop' })
    await page.until('dialled-again')
    page.send({ type: 'hang-up' })
    t.match(await page.until('ended'), { by: 'caller', reason: 'user_hangup' })
    t.notOk(page.messages.some(({ type }) => type === 'refused' || type === 'finding'))
  })
}

t.test('words are spoken at a pace, and reminders are to be had on Retell', async t => {
  const page = await open(t, await createApp(t))
  page.send({ type: 'place', provider: 'retell', wordsPerMinute: 1000 })
  t.match((await page.until('turn', ({ turn }) => turn.heard !== undefined)).turn.wordsMs, [Number, Number, Number, Number])
  page.send({ type: 'remind' })
  await page.until('turn', ({ turn }) => turn.text === 'This is the reminder.')
  page.send({ type: 'hang-up' })
  await page.until('ended')
  page.messages.length = 0
  page.send({ type: 'place', provider: 'millis' })
  await page.until('placed')
  page.send({ type: 'remind' })
  t.match(await page.until('refused'), { message: 'Millis has no reminders' })
})

t.test('where this machine is not on the allowlist, Retell calls', async t => {
  const addresses: unknown[] = []
  const app = await createApp(t, { plugin: { retell: { allowlist: '100.20.5.228' }, millis: { allowlist: '192.0.2.7' } } })
  app.addHook('onRequest', async ({ raw }) => { addresses.push(raw.socket.remoteAddress) })
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'retell' })
  await page.until('placed')
  page.send({ type: 'hang-up' })
  await page.until('ended')
  page.send({ type: 'place', provider: 'millis' })
  t.match(await page.until('refused'), { message: /MILLIS_ALLOWLIST/ })
})

t.test('where only calls of the app\'s own are expected, its own are among them', async t => {
  const app = await createApp(t, { plugin: { admittedCallsOnly: true } })
  for (const provider of ['retell', 'millis'] as const) {
    const page = await open(t, app)
    page.send({ type: 'place', provider })
    t.match(await page.until('turn', ({ turn }) => turn.outcome === 'completed'), { turn: { text: 'This is the greeting.' } })
  }
})

t.test('a page without the plugin calls nobody', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(playground, ENABLED)
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'retell' })
  t.match(await page.until('refused'), { message: /404/ })
})

t.test('routes may have other paths, with their secrets', async t => {
  const app = await createApp(t, { plugin: { secret: 'sesame-sesame-sesame', retell: { path: '/line' } }, options: { retellPath: '/line/sesame-sesame-sesame' } })
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'millis' })
  t.match(await page.until('refused'), { message: /403/ })
  page.send({ type: 'place', provider: 'retell' })
  await page.until('placed')
})

t.test('what cannot be done is told', async t => {
  const page = await open(t, await createApp(t, { options: { retellPath: '/nowhere' } }))
  for (const [command, message] of [
    ['{', /JSON/], ['null', 'not a command of the playground'], [{ type: 'dance' }, 'not a command of the playground'], [{ type: 'say', text: '' }, 'not a command of the playground'],
    [{ type: 'say', text: 'Hi' }, 'no call was placed'], [{ type: 'place', provider: 'retell' }, /404: nothing is at this path/]
  ] as const) {
    page.messages.length = 0
    page.send(command)
    t.match(await page.until('refused'), { message })
  }
  page.send({ type: 'place', provider: 'millis' })
  await page.until('placed')
  page.messages.length = 0
  page.send({ type: 'place', provider: 'millis' })
  t.match(await page.until('refused'), { message: 'a call is on' })
})

t.test('a call ends with its page', async t => {
  const app = await createApp(t)
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'retell' })
  await page.until('placed')
  const [call] = app.calls
  t.ok(call)
  page.socket.close()
  while (app.calls.size > 0) await new Promise(resolve => setImmediate(resolve))
  const gone = await open(t, app)
  gone.socket.close()
  await once(gone.socket, 'close')
})

t.test('one that is answered when its page has gone is hung up', async t => {
  const app = await createApp(t)
  const admitted = deferred()
  const asked = deferred()
  app.addHook('onRequest', async ({ url }) => {
    if (!url.startsWith('/llm-websocket')) return
    asked.resolve()
    await admitted.promise
  })
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'retell' })
  await asked.promise
  page.socket.close()
  await once(page.socket, 'close')
  admitted.resolve()
  while (app.calls.size === 0) await new Promise(resolve => setImmediate(resolve))
  while (app.calls.size > 0) await new Promise(resolve => setImmediate(resolve))
})

t.test('what the server gets wrong is told', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(websocket)
  app.get('/wrong/:call_id', { websocket: true }, socket => {
    socket.send('nonsense')
    socket.on('message', () => socket.send('more of it'))
  })
  await app.register(playground, { ...ENABLED, retellPath: '/wrong' })
  const page = await open(t, app)
  page.send({ type: 'place', provider: 'retell' })
  await page.until('finding', ({ code }) => code === 'not-json')
  page.messages.length = 0
  page.send({ type: 'say', text: 'Hi' })
  t.match(await page.until('finding'), { code: 'not-json', message: 'Retell drops frames that are not JSON objects', atMs: Number })
})
