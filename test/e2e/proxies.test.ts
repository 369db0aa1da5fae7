/**
 * The example app in production settings behind a real HAProxy and a real nginx that forward as they do by default. What strangers get
 * there stands in a table of docs/SECURITY.md.
 */
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compiledArgumentsOf } from '../helpers/example-app.js'
import { runNode } from '../helpers/process.js'
import { Program } from '../helpers/real-cluster/program.js'
import { freePort, until } from '../helpers/redis.js'

const missing = ['haproxy', 'nginx'].filter(program => spawnSync(program, ['-v']).error !== undefined)
const skip = missing.length > 0 && `there is no ${missing.join(' and no ')} on this machine`

/** The command that starts a proxy, and the file that it reads. */
const PROXIES: Readonly<Record<string, { command: string, args: (file: string) => string[], config: (port: number, app: string, folder: string) => string }>> = {
  'HAProxy, `mode tcp`': { command: 'haproxy', args: file => ['-db', '-f', file], config: (port, app) => haproxy('tcp', port, app) },
  'HAProxy, `mode http`': { command: 'haproxy', args: file => ['-db', '-f', file], config: (port, app) => haproxy('http', port, app) },
  'nginx, `proxy_pass`': {
    command: 'nginx',
    args: file => ['-c', file],
    config: (port, app, folder) => [
      'daemon off; master_process off; error_log stderr; events {}',
      `pid ${folder}/nginx.pid;`,
      'http {',
      ...['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `  ${name}_temp_path ${folder}/${name};`),
      '  access_log off;',
      `  server { listen 127.0.0.1:${port}; location / { proxy_pass http://${app}; } }`,
      '}'
    ].join('\n')
  }
}

function haproxy (mode: 'tcp' | 'http', port: number, app: string): string {
  return [
    'defaults', `  mode ${mode}`, '  timeout connect 1s', '  timeout client 1h', '  timeout server 1h',
    'listen app', `  bind 127.0.0.1:${port}`, `  server app ${app}`, ''
  ].join('\n')
}

const UPGRADE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }

/** What a stranger asks for, as the table has it. */
const ROUTES: Readonly<Record<string, { method?: string, path: string, headers?: Record<string, string> }>> = {
  'playground: `/`': { path: '/' },
  'live calls: `/calls`': { path: '/calls' },
  'their events: `/calls/events`': { path: '/calls/events' },
  'metrics: `/metrics`': { path: '/metrics' },
  'Retell: `/llm-websocket/<id>`': { path: '/llm-websocket/call_1', headers: UPGRADE },
  'Millis: `/millis`': { path: '/millis', headers: UPGRADE },
  'control: `/control/calls`': { path: '/control/calls' },
  'webhooks: `/webhooks/retell`': { method: 'POST', path: '/webhooks/retell', headers: { 'content-type': 'application/json', 'x-retell-signature': 'v=1,d=00' } },
  'webhooks: `/webhooks/millis`': { method: 'POST', path: '/webhooks/millis', headers: { 'content-type': 'application/json' } }
}

/** Asks as if the proxy were this machine's own browser. */
async function ask (port: number, { method = 'GET', path, headers = {} }: typeof ROUTES[string]): Promise<number> {
  return await new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port, method, path, headers: { host: 'localhost', ...headers } }, response => {
      resolve(response.statusCode!)
      response.destroy()
    })
    asked.on('upgrade', (response, socket) => {
      resolve(response.statusCode!)
      socket.destroy()
    })
    asked.on('error', reject)
    asked.end(method === 'POST' ? '{}' : undefined)
  })
}

/** The example app as an operator runs it who has set up all that it has, and forgot the proxy. Resolves with its address. */
async function startApp (t: Test): Promise<string> {
  const app = runNode(t, compiledArgumentsOf('start').filter(arg => !arg.startsWith('--env-file')), {
    NODE_ENV: 'production', PORT: '0', RETELL_API_KEY: 'key-canary', MILLIS_WEBHOOK_SECRET: 'webhook-canary-0123', CONTROL_TOKEN: 'control-canary-0123', METRICS_TOKEN: 'metrics-canary-0123'
  })
  const [, address] = await app.says(/listening at http:\/\/(127\.0\.0\.1:\d+)/)
  return address!
}

t.test('a stranger behind a proxy on the same machine is refused, and the table of docs/SECURITY.md says how', { skip }, async t => {
  const app = await startApp(t)
  const names = Object.keys(PROXIES)
  const rows = new Map(Object.keys(ROUTES).map(route => [route, [] as number[]]))
  for (const name of names) {
    const { command, args, config } = PROXIES[name]!
    const folder = await mkdtemp(join(tmpdir(), 'proxy-'))
    const port = await freePort()
    await writeFile(join(folder, 'proxy.conf'), config(port, app, folder))
    const proxy = new Program(command, args(join(folder, 'proxy.conf')))
    t.teardown(async () => {
      await proxy.end('SIGKILL')
      await rm(folder, { recursive: true })
    })
    await until(async () => await ask(port, { path: '/nowhere' }).catch(() => undefined) === 404)
    for (const [route, what] of Object.entries(ROUTES)) rows.get(route)!.push(await ask(port, what))
  }
  for (const [route, statuses] of rows) t.ok(statuses.every(status => status >= 400), `${route}: ${statuses.join(', ')}`)
  const table = [['route', ...names], ['---', ...names.map(() => '---')], ...Array.from(rows, ([route, statuses]) => [route, ...statuses])]
    .map(cells => `| ${cells.join(' | ')} |`).join('\n')
  const page = await readFile('docs/SECURITY.md', 'utf8')
  t.ok(page.includes(table), `docs/SECURITY.md must have this table:\n${table}`)
})
