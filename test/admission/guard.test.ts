import type { FastifyInstance } from 'fastify'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { type Call, type VoiceAgentOptions } from '../../lib/index.js'
import { AT_ONCE, createApp, type LogLine } from '../helpers/app.js'
import { dial, dialUrl } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { upgrade, upgradeAndStay } from '../helpers/upgrade.js'

const SECRET = 'opensesame-0.1_x~'

setEnv(t)

async function start (t: Test, options: VoiceAgentOptions = {}, { trustProxy = false } = {}) {
  const { app, logs } = createApp(t, 'trace', { trustProxy })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, ...options })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, logs, url, complaints: () => logs.filter(({ level }) => level >= 40) }
}

// The status of an injected handshake: 101, or that of its refusal.
async function status (t: Test, app: FastifyInstance, path: string, options?: { address?: string, headers?: Record<string, string> }): Promise<number> {
  return dial(t, app, path, options).then(() => 101, error => Number(/: (\d+)$/.exec(error.message)?.[1]))
}

function forbidden (address: string, admittedBy: string): Partial<LogLine> {
  return { level: 40, address, admittedBy, msg: admittedBy.includes('SECRET') ? 'refused: the URL does not hold the secret' : 'refused: address is not on the allowlist' }
}

// Allowlists

t.test('by default Retell\'s address is admitted to Retell\'s route, and nobody else is', async t => {
  const { app, url, complaints } = await start(t)
  const { status: code, body } = await upgrade(t, `${url}/llm-websocket/call_1`)
  t.equal(code, 403)
  t.strictSame(JSON.parse(body!), { statusCode: 403, code: 'VOICE_AGENT_ERR_FORBIDDEN', error: 'Forbidden', message: 'Forbidden' })
  t.match(complaints().at(-1), forbidden('127.0.0.1', 'RETELL_ALLOWLIST (option retell.allowlist)'))
  t.equal(await status(t, app, '/llm-websocket/call_1', { address: '100.20.5.228' }), 101)
  t.equal(await status(t, app, '/llm-websocket/call_1', { address: '::ffff:100.20.5.228' }), 101)
  t.equal(await status(t, app, '/llm-websocket/call_1', { address: '100.20.5.229' }), 403)
})

t.test('by default Millis\' route admits nobody, and says so at start', async t => {
  const { app, complaints } = await start(t)
  t.strictSame(complaints().map(({ msg }) => msg), [
    '/millis admits nobody: set VOICE_AGENT_SECRET (option secret) or MILLIS_ALLOWLIST (option millis.allowlist)'
  ])
  t.equal(await status(t, app, '/millis', { address: '100.20.5.228' }), 403)
  t.match(complaints().at(-1), forbidden('100.20.5.228', 'MILLIS_ALLOWLIST (option millis.allowlist)'))
})

t.test('a Retell route whose allowlist was emptied admits nobody, and says so at start', async t => {
  const { app, complaints } = await start(t, { retell: { allowlist: [] }, millis: { allowlist: '*' } })
  t.match(complaints(), [{ msg: /^\/llm-websocket admits nobody: .* RETELL_ALLOWLIST/ }])
  t.equal(await status(t, app, '/llm-websocket/call_1', { address: '100.20.5.228' }), 403)
  t.equal(await status(t, app, '/millis', { address: '203.0.113.9' }), 101)
})

t.test('who is on the allowlist is admitted over a real socket', async t => {
  const { url } = await start(t, { retell: { allowlist: '127.0.0.0/8' }, millis: { allowlist: '127.0.0.1' } })
  t.equal((await upgrade(t, `${url}/llm-websocket/call_1`)).status, 101)
  t.equal((await upgrade(t, `${url}/millis`)).status, 101)
})

t.test('who has no address is admitted where everybody is, or by the secret alone', async t => {
  const injected = (app: FastifyInstance, path: string): Promise<number> => app.injectWS(path).then(socket => {
    t.teardown(() => socket.terminate())
    return 101
  }, error => Number(/: (\d+)$/.exec(error.message)?.[1]))

  for (const trustProxy of [false, true]) {
    const { app, complaints } = await start(t, {}, { trustProxy })
    t.equal(await injected(app, '/llm-websocket/call_1'), 403)
    t.match(complaints().at(-1), { msg: 'refused: address is not on the allowlist' })
    const { app: open } = await start(t, { millis: { allowlist: '*' } }, { trustProxy })
    t.equal(await injected(open, '/millis'), 101)
    const { app: secret } = await start(t, { secret: SECRET }, { trustProxy })
    t.equal(await injected(secret, `/millis/${SECRET}`), 101)
  }
})

// The secret

t.test('who knows the secret is admitted', async t => {
  const { app, url, complaints } = await start(t, { secret: SECRET, retell: { allowlist: '*' } })
  t.strictSame(complaints(), [])
  const encoded = SECRET.replace('o', '%6F').replace('.', '%2e')
  const paths: Array<[path: string, status: number]> = [
    [`/llm-websocket/${SECRET}/call_1`, 101],
    [`/llm-websocket/${encoded}/call_1`, 101],
    [`/millis/${SECRET}`, 101],
    [`/millis/${SECRET}/`, 101],
    [`/millis/${encoded}`, 101],
    ['/llm-websocket/call_1', 403],
    ['/llm-websocket/wrong/call_1', 403],
    [`/llm-websocket/${SECRET}x/call_1`, 403],
    [`/llm-websocket/${SECRET.toUpperCase()}/call_1`, 403],
    [`/llm-websocket/call_1/${SECRET}`, 403],
    [`/llm-websocket/call_1?secret=${SECRET}`, 403],
    ['/millis', 403],
    ['/millis/', 403],
    ['/millis/wrong', 403],
    [`/millis/x/${SECRET}`, 403]
  ]
  for (const [path, expected] of paths) {
    t.equal((await upgrade(t, url + path)).status, expected, path)
    t.equal(await status(t, app, path), expected, path)
  }
  t.match(complaints().at(-1), forbidden('127.0.0.1', 'VOICE_AGENT_SECRET (option secret)'))
})

t.test('with a secret and an allowlist both must hold', async t => {
  const { app, complaints } = await start(t, { secret: SECRET, millis: { allowlist: '192.0.2.1' } })
  const cases: Array<[path: string, address: string, status: number]> = [
    [`/llm-websocket/${SECRET}/call_1`, '100.20.5.228', 101],
    [`/llm-websocket/${SECRET}/call_1`, '192.0.2.1', 403],
    ['/llm-websocket/call_1', '100.20.5.228', 403],
    [`/millis/${SECRET}`, '192.0.2.1', 101],
    [`/millis/${SECRET}`, '192.0.2.2', 403],
    ['/millis', '192.0.2.1', 403]
  ]
  for (const [path, address, expected] of cases) t.equal(await status(t, app, path, { address }), expected, `${path} ${address}`)
  t.match(complaints(), [
    forbidden('192.0.2.1', 'RETELL_ALLOWLIST (option retell.allowlist)'),
    forbidden('100.20.5.228', 'VOICE_AGENT_SECRET (option secret)'),
    forbidden('192.0.2.2', 'MILLIS_ALLOWLIST (option millis.allowlist)'),
    forbidden('192.0.2.1', 'VOICE_AGENT_SECRET (option secret)')
  ])
})

t.test('every refusal reads the same, whatever its reason', async t => {
  const { url } = await start(t, { secret: SECRET, retell: { allowlist: '*' }, millis: { allowlist: '192.0.2.1' } })
  const paths = ['/llm-websocket/wrong/call_1', '/llm-websocket', `/millis/${SECRET}`, '/millis']
  const bodies = new Set<string | undefined>()
  for (const path of paths) bodies.add((await upgrade(t, url + path)).body)
  t.equal(bodies.size, 1)
})

t.test('neither the secret, nor what is presented as one, nor the query is ever logged', async t => {
  const { app, logs, url } = await start(t, { secret: SECRET, retell: { allowlist: '*' } })
  const query = '?tenant=querycanary'
  const paths = [
    `/llm-websocket/${SECRET}/call_1`, `/llm-websocket/${SECRET}/{call_id}/call_2`, `/llm-websocket/${SECRET}`,
    '/llm-websocket/wrongcanary/call_1', `/millis/${SECRET}`, '/millis/wrongcanary'
  ]
  for (const path of paths) {
    await upgrade(t, url + path + query)
    await status(t, app, path + query)
    for (const method of ['GET', 'HEAD'] as const) await app.inject({ method, url: path + query })
  }
  await app.close()
  t.equal(logs.filter(({ msg }) => msg === 'incoming request').length, 4 * paths.length)
  t.match(logs.find(({ msg }) => msg === 'incoming request'), { req: { method: 'GET', url: '/llm-websocket/*', remoteAddress: '127.0.0.1' } })
  for (const word of [SECRET, 'wrongcanary', 'querycanary']) t.notMatch(JSON.stringify(logs), word)
})

// Proxies

t.test('X-Forwarded-For is believed of trusted proxies only, whatever the app\'s trustProxy', async t => {
  const cases: Array<[trustedProxies: string | undefined, header: string | undefined, judged: string, admitted: boolean]> = [
    [undefined, '192.0.2.1', '127.0.0.1', false],
    ['10.0.0.0/8', '192.0.2.1', '127.0.0.1', false],
    ['127.0.0.1', '192.0.2.1', '192.0.2.1', true],
    ['127.0.0.1', '192.0.2.1, 198.51.100.7', '198.51.100.7', false],
    ['127.0.0.1', '198.51.100.7, 192.0.2.1', '192.0.2.1', true],
    ['127.0.0.1,10.0.0.0/8', '198.51.100.7, 192.0.2.1, 10.0.0.9', '192.0.2.1', true],
    ['127.0.0.1', 'unknown', 'unknown', false]
  ]
  for (const trustProxy of [false, true]) {
    for (const [trustedProxies, header, judged, admitted] of cases) {
      const { url, complaints } = await start(t, { retell: { allowlist: '192.0.2.1' }, millis: false, ...(trustedProxies !== undefined && { trustedProxies }) }, { trustProxy })
      const { status: code } = await upgrade(t, `${url}/llm-websocket/call_1`, header === undefined ? {} : { 'x-forwarded-for': header })
      t.equal(code, admitted ? 101 : 403, `${trustedProxies}: ${header}`)
      // That a proxy may have been forgotten is shown by test/admission/forwarded.test.ts.
      t.match(complaints(), admitted ? [] : [{ level: 40, address: judged, msg: 'refused: ' }])
    }
  }
})

// Call ids

t.test('the call id is found wherever the provider appends it', async t => {
  const forms: Array<[path: string, id: string, warns?: boolean]> = [
    ['/call_1', 'call_1'],
    ['/call_1/', 'call_1'],
    ['//call_1', 'call_1'],
    ['/call_1?tenant=7', 'call_1'],
    ['?tenant=7/call_1', 'call_1'],
    ['/?tenant=7&line=a/b/call_1', 'call_1'],
    ['?tenant=7%2Fcall_1', 'call_1'],
    ['/{call_id}/call_1', 'call_1', true],
    ['/%7Bcall_id%7D/call_1', 'call_1', true],
    ['/{call_id}?tenant=7/call_1', 'call_1', true],
    ['/call%5F1', 'call_1'],
    [`/${'x'.repeat(100)}`, 'x'.repeat(100)],
    [`/${'x'.repeat(101)}`, 'x'.repeat(101)],
    [`/${'x'.repeat(256)}`, 'x'.repeat(256)]
  ]
  for (const secret of [undefined, SECRET]) {
    const { app, url, complaints } = await start(t, { retell: { allowlist: '*' }, millis: false, ...(secret !== undefined && { secret }) })
    const base = `/llm-websocket${secret === undefined ? '' : `/${secret}`}`
    const taken = new Set<Call>()
    for (const [path, id, warns = false] of forms) {
      for (const dialled of [() => dialUrl(t, url.replace('http', 'ws') + base + path), () => dial(t, app, base + path)]) {
        const before = complaints().length
        const caller = await dialled()
        const call = app.calls.get(id)
        t.ok(call !== undefined, base + path)
        taken.add(call!)
        // Or the next one would be taken for the same call, dialled again.
        caller.socket.terminate()
        while (app.calls.size > 0) await nextLoopTurn()
        t.strictSame(complaints().slice(before).map(({ msg }) => msg), warns ? ['the URL ends in a literal {call_id}: take it out, the provider appends the id'] : [])
      }
    }
    t.equal(taken.size, 2 * forms.length)
  }
})

t.test('a URL without a usable call id is refused with 400 on Retell\'s route, once the caller is admitted', async t => {
  const paths = ['', '/', '/a/b', '/a%2Fb', '/a%20b', '/%E2%82%AC', '/%25zz', '/..%2f..', '/{call_id}', '?tenant=7', `/${'x'.repeat(257)}`]
  const { app, url } = await start(t, { retell: { allowlist: ['127.0.0.1'] }, millis: { allowlist: '*' } })
  for (const path of paths) {
    const { status: code, body } = await upgrade(t, `${url}/llm-websocket${path}`)
    t.equal(code, 400, path)
    t.match(JSON.parse(body!), { code: 'VOICE_AGENT_ERR_CALL_ID' })
    t.equal(await status(t, app, `/llm-websocket${path}`, { address: '192.0.2.1' }), 403)
  }
  t.equal(app.calls.size, 0)
})

t.test('a URL that cannot be decoded is refused with 400, and who dialled it does not keep the app from closing', async t => {
  const { app, url } = await start(t, { retell: { allowlist: '*' } })
  t.match(await upgradeAndStay(t, `${url}/llm-websocket/%zz`), { status: 'HTTP/1.1 400 Bad Request' })
  await app.close()
})

t.test('a Millis call has an id that is made up until it introduces itself, whatever is in its URL', async t => {
  const { app } = await start(t, { millis: { allowlist: '*' } })
  // Two calls of one URL are two, and a secret that nobody set is no name for a log.
  for (const url of ['/millis', '/millis', '/millis/s3cret', '/millis/s3cret', '/millis/a/b', '/millis?next=/tenant', '/millis?next=/tenant']) await dial(t, app, url)
  const ids = Array.from(app.calls, ({ id }) => id)
  t.equal(new Set(ids).size, 7)
  for (const id of ids) t.match(id, /^[0-9a-f-]{36}$/)
})
