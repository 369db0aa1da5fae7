import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import playground, { type PlaygroundOptions } from '../../lib/playground/index.js'
import { createApp } from '../helpers/app.js'
import { cookieOf, ENABLED, injectWithCookie } from '../helpers/playground.js'
import { upgrade } from '../helpers/upgrade.js'

const { token } = ENABLED
const PATHS = ['/', '/calls', '/calls/events', '/playground/main.js', '/playground/icon.svg']

async function start (t: Test, options: PlaygroundOptions & { prefix?: string } = {}) {
  const { app, logs } = createApp(t)
  await app.register(playground, { ...ENABLED, ...options })
  return { app, logs }
}

/** What is written to standard output while `run` runs. */
async function printed (run: () => Promise<unknown>): Promise<string> {
  const { write } = process.stdout
  let text = ''
  process.stdout.write = ((piece: string) => { text += piece }) as typeof write
  try {
    await run()
  } finally {
    process.stdout.write = write
  }
  return text
}

t.test('without the token nothing is served, and no page of others can frame what is', async t => {
  for (const allowRemote of [false, true]) {
    const { app } = await start(t, { allowRemote })
    for (const url of PATHS) {
      for (const cookie of ['', 'voice_agent_playground_0=', 'voice_agent_playground_0=wrong', `voice_agent_playground_1=${token}`, `other=${token}`, `${token}`]) {
        const refused = await app.inject({ url, headers: { cookie } })
        t.match([refused.statusCode, refused.headers, refused.json()], [403, { 'x-frame-options': 'DENY', 'cache-control': 'no-store' }, { code: 'VOICE_AGENT_ERR_PLAYGROUND' }], `${url} ${cookie}`)
      }
      for (const query of ['', 'wrong', token.slice(1), `${token}0`, token.toUpperCase()]) t.equal((await app.inject(`${url}?token=${query}`)).statusCode, 403, query)
      t.equal((await app.inject(`${url}?other=${token}`)).statusCode, 403)
    }
    for (const url of ['/', '/calls', '/playground/main.js']) {
      for (const cookie of [`voice_agent_playground_0=${token}`, `a=b; voice_agent_playground_0=wrong;voice_agent_playground_0=${token}; c`]) {
        const page = await app.inject({ url, headers: { cookie } })
        t.match([page.statusCode, page.headers['x-frame-options'], page.headers['referrer-policy']], [200, 'DENY', 'no-referrer'])
      }
    }
  }
})

t.test('the first request trades the token for a cookie, and is redirected to the URL without it', async t => {
  for (const [prefix, base] of [[undefined, ''], ['/try', '/try'], ['/try/', '/try']] as const) {
    const { app } = await start(t, prefix === undefined ? {} : { prefix })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    for (const path of [`${base}/`, `${base}/calls`]) {
      const url = `http://127.0.0.1:${port}${path}`
      const traded = await fetch(`${url}?a=b&token=${token}`, { redirect: 'manual' })
      const location = traded.headers.get('location')!
      t.match([traded.status, location], [303, new RegExp(`^${path}?$`)])
      t.equal(traded.headers.get('set-cookie'), `voice_agent_playground_${port}=${token}; HttpOnly; SameSite=Strict; Path=${base === '' ? '/' : base}`)
      t.equal(traded.headers.get('cache-control'), 'no-store')
      const page = await fetch(new URL(location, url), { headers: { cookie: traded.headers.get('set-cookie')!.split(';')[0]! } })
      t.match([page.status, await page.text()], [200, '<!doctype html>'])
    }
  }
})

t.test('sockets check cookie and Origin', async t => {
  const { app } = await start(t)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const url = `${address}/playground/call`
  const cookie = cookieOf(app)
  t.equal((await upgrade(t, url, { cookie })).status, 101)
  t.equal((await upgrade(t, url, { cookie, origin: address })).status, 101)
  t.equal((await upgrade(t, url, { origin: address })).status, 403)
  t.equal((await upgrade(t, `${url}?token=${token}`)).status, 303)
  for (const origin of ['http://evil.example', 'http://localhost:8080', 'null']) t.equal((await upgrade(t, url, { cookie, origin })).status, 403, origin)
  t.equal((await upgrade(t, url, { cookie, host: 'rebind.evil.example', origin: 'http://rebind.evil.example' })).status, 403)
})

t.test('what streams is not opened by another page, not even in a window of its own', async t => {
  const { app } = await start(t)
  const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'same-site' }
  t.equal((await injectWithCookie(app, { url: '/calls', headers: link })).statusCode, 200)
  t.equal((await injectWithCookie(app, { url: '/calls/events', headers: link })).statusCode, 403)
  for (const url of ['/calls', '/calls/events']) t.equal((await injectWithCookie(app, { url, headers: { ...link, 'sec-fetch-dest': 'iframe' } })).statusCode, 403)
})

t.test('the token is in no line of the log, whatever becomes of the request', async t => {
  const { app, logs } = await start(t)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  for (const path of PATHS) {
    await fetch(`${address}${path}?token=${token}`, { redirect: 'manual' })
    await fetch(`${address}${path}?token=${token}`, { headers: { via: 'a proxy' } })
  }
  await upgrade(t, `${address}/playground/call?token=${token}`)
  await app.close()
  t.ok(logs.some(({ msg }) => msg === 'incoming request'))
  t.ok(logs.filter(({ msg }) => msg === 'incoming request').every(({ req }) => (req as { url: string }).url.startsWith('/')))
  t.notMatch(JSON.stringify(logs), token)
  t.notMatch(JSON.stringify(logs), 'token=')
})

t.test('a token of 128 random bits is printed with the URL, and not logged', async t => {
  const seen = new Set<string>()
  for (const [host, shown] of [['127.0.0.1', '127.0.0.1'], ['0.0.0.0', 'localhost'], ['::', 'localhost']] as const) {
    const { app, logs } = createApp(t)
    await app.register(playground, { enabled: true })
    const text = await printed(async () => await app.listen({ port: 0, host }))
    const { port } = app.server.address() as AddressInfo
    const [, url, made] = /^\nPlayground {2}(\S+\?token=([0-9a-f]{32}))\n$/.exec(text) ?? []
    t.equal(url, `http://${shown}:${port}/?token=${made}`)
    t.equal((await fetch(url!, { redirect: 'manual' })).status, 303)
    t.notMatch(JSON.stringify(logs), made!)
    seen.add(made!)
    await app.close()
  }
  t.equal(seen.size, 3)

  const { app } = createApp(t)
  await app.register(playground, { enabled: true, prefix: '/try' })
  t.match(await printed(async () => await app.listen({ port: 0, host: '127.0.0.1' })), /\/try\/\?token=/)
})

t.test('a token of the app\'s own is not printed', async t => {
  const { app } = await start(t)
  t.equal(await printed(async () => await app.listen({ port: 0, host: '127.0.0.1' })), '')
})

t.test('who looks at live calls has the cookie', async t => {
  const { app } = await start(t)
  const address = await app.listen({ port: 0, host: '127.0.0.1' })
  const abort = new AbortController()
  const events = await fetch(`${address}/calls/events`, { headers: { cookie: cookieOf(app) }, signal: abort.signal })
  t.match([events.status, events.headers.get('content-type'), events.headers.get('x-frame-options')], [200, 'text/event-stream', 'DENY'])
  abort.abort()
})
