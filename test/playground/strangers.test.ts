/**
 * People and pages that the playground is not for: behind a proxy on the same machine, and on other sites.
 */
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import { connect, createServer as createTcpServer, type AddressInfo, type Server } from 'node:net'
import t, { type Test } from 'tap'
import voiceAgentPlugin from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { AT_ONCE, createApp, deferred } from '../helpers/app.js'
import { dialFrom, noBrowser, openForeignPage, startBrowser } from '../helpers/browser.js'
import { setEnv } from '../helpers/env.js'
import { cookieOf, ENABLED, withToken } from '../helpers/playground.js'
import { RawPeer, upgradeRequest } from '../helpers/raw-peer.js'

const SECRET = 'opensesame-0.1_x~'
const PATHS = ['/', '/calls', '/calls/events', '/playground/main.js']

setEnv(t)

async function start (t: Test, options: { token?: string } = ENABLED) {
  const { app } = createApp(t, 'info', { forceCloseConnections: true })
  app.decorate('agent', () => 'Booked.')
  await app.register(voiceAgentPlugin, { ...AT_ONCE, secret: SECRET, admittedCallsOnly: true, trustedProxies: '127.0.0.1,::1' })
  await app.register(playground, { enabled: true, ...options, retellPath: `/llm-websocket/${SECRET}` })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, url, port: (app.server.address() as AddressInfo).port }
}

async function listening (t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** As a balancer forwards connections, or `ssh -R`. */
async function forwardTcp (t: Test, to: number): Promise<number> {
  return await listening(t, createTcpServer(client => {
    const server = connect(to, '127.0.0.1')
    client.pipe(server).pipe(client)
    for (const socket of [client, server]) socket.on('error', () => {}).on('close', () => { client.destroy(); server.destroy() })
  }))
}

/** As a proxy forwards requests that adds no header. */
async function forwardHttp (t: Test, to: number): Promise<number> {
  const server = createServer(({ method, url, headers }, answer) => {
    httpRequest({ port: to, host: '127.0.0.1', method, path: url, headers, agent: false }, response => {
      answer.writeHead(response.statusCode!, response.headers)
      response.pipe(answer)
    }).end()
  })
  server.on('upgrade', ({ method, url, rawHeaders }, client) => {
    const upstream = connect(to, '127.0.0.1')
    const lines = rawHeaders.map((text, i) => i % 2 === 0 ? `${text}: ` : `${text}\r\n`)
    upstream.write(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`)
    client.pipe(upstream).pipe(client)
    for (const socket of [client, upstream]) socket.on('error', () => {}).on('close', () => { client.destroy(); upstream.destroy() })
  })
  return await listening(t, server)
}

/** The status of a request whose headers are written by hand. */
async function statusOf (t: Test, port: number, request: string): Promise<number> {
  const peer = new RawPeer(t, port)
  peer.write(request)
  await peer.heard(/^HTTP\/1\.1 \d+ [^]*\r\n\r\n/)
  peer.socket.destroy()
  return Number(peer.text.slice(9, 12))
}

for (const [what, forward] of [['connections', forwardTcp], ['requests', forwardHttp]] as const) {
  t.test(`behind a proxy on this machine that forwards ${what} and adds no header, a stranger is served nothing`, async t => {
    const { app, port } = await start(t)
    const proxy = await forward(t, port)
    for (const host of ['localhost', '127.0.0.1', `localhost:${port}`]) {
      for (const path of [...PATHS, '/?token=', '/?token=wrong']) t.equal(await statusOf(t, proxy, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 403, path)
      t.equal(await statusOf(t, proxy, upgradeRequest('/playground/call', { Host: host })), 403)
    }
    // The proxy is none of the reasons: a request with the cookie is served.
    t.equal(await statusOf(t, proxy, upgradeRequest('/playground/call', { Host: 'localhost', Cookie: cookieOf(app) })), 101)
  })
}

t.test('in a browser, the printed URL opens the page, and nothing of another site opens anything', { skip: noBrowser }, async t => {
  const browser = await startBrowser(t)
  const { app, url, port } = await start(t)
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.goto(withToken(`${url}/`))
  t.equal(page.url(), `${url}/`)
  await page.getByRole('button', { name: 'Call' }).click()
  await page.locator('#conversation .agent', { hasText: 'Booked.' }).waitFor()

  // In the same browser, with its cookies; a page of another port of this machine is of the same site.
  const { port: other } = new URL((await start(t)).url)
  const before = app.calls.size
  for (const origin of ['http://evil.example', `http://localhost:${other}`, `http://127.0.0.1:${other}`, `http://rebind.evil.example:${port}`]) {
    const foreign = await openForeignPage(t, browser, `${origin}/foreign`, '', context)
    for (const host of ['127.0.0.1', 'localhost', 'rebind.evil.example']) {
      t.equal(await dialFrom(foreign, `ws://${host}:${port}/playground/call`), 'error', `${origin}: a socket to ${host}`)
      for (const path of PATHS) {
        const asked = foreign.waitForResponse(response => response.url() === `http://${host}:${port}${path}`)
        foreign.evaluate(`void fetch('http://${host}:${port}${path}', { mode: 'no-cors', credentials: 'include' }).catch(() => {})`).catch(t.error)
        t.equal((await asked).status(), 403, `${origin}: ${host}${path}`)
      }
    }
  }
  t.equal(app.calls.size, before)
})

t.test('in a browser, twenty frames of other sites do not keep the developer from the live calls', { skip: noBrowser }, async t => {
  const browser = await startBrowser(t)
  const { url } = await start(t)
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.goto(withToken(`${url}/`))
  const { port: other } = new URL((await start(t)).url)
  for (const origin of ['http://evil.example', `http://127.0.0.1:${other}`]) {
    for (const path of ['/calls', '/calls/events']) {
      const frames = `<iframe src="${url}${path}"></iframe>`.repeat(20)
      const answers: number[] = []
      const foreign = await context.newPage()
      const all = deferred()
      foreign.on('response', response => {
        if (response.url() === url + path && answers.push(response.status()) === 20) all.resolve()
      })
      await foreign.route(`${origin}/frames`, async route => await route.fulfill({ contentType: 'text/html', body: frames }))
      await foreign.goto(`${origin}/frames`, { waitUntil: 'commit' })
      await all.promise
      t.strictSame(new Set(answers), new Set([403]), `${origin}: ${path}`)
    }
  }
  await page.goto(`${url}/calls`)
  await page.getByText('Connected').waitFor()
})

t.test('in a browser, the printed URL opens the page also where a page of another site holds the link', { skip: noBrowser }, async t => {
  const browser = await startBrowser(t)
  const { url } = await start(t)
  const foreign = await openForeignPage(t, browser, 'http://terminal.example/', `<a href="${withToken(`${url}/`)}">Playground</a>`)
  await foreign.getByRole('link').click()
  await foreign.getByRole('heading', { name: 'Playground' }).waitFor()
})
