/**
 * docs/health.md is true: its example runs and heeds what it checks, its variables are those that there are, its times add up.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { parse } from 'yaml'
import { envSchema } from '../../lib/index.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const text = readFileSync('docs/health.md', 'utf8')
const [snippet] = snippetsOf('docs/health.md')
// It asks its diary all the time, and takes calls however busy the machine is.
const code = snippet!.code.replace('healthCheckInterval: 5_000', 'healthCheckInterval: 1').replace('maxEventLoopDelay: 250', 'maxEventLoopDelay: 60_000')
const file = compileSnippet('docs/health.md', { ...snippet!, code })

t.test('the example takes no new calls while its diary is down, and goes on with those it has', async t => {
  let isUp = true
  const diary = createServer((_request, response) => { response.writeHead(isUp ? 200 : 500).end() }).listen(0, '127.0.0.1')
  await once(diary, 'listening')
  t.teardown(() => {
    diary.close()
    diary.closeAllConnections()
  })
  const program = runNode(t, [file], { DIARY_URL: `http://127.0.0.1:${(diary.address() as AddressInfo).port}`, RETELL_ALLOWLIST: '127.0.0.1' })
  const [, url] = await program.says(/listening at (http:\/\/127\.0\.0\.1:\d+)/)
  const probe = async (path: string): Promise<string> => (await (await fetch(url + path)).json() as { status: string }).status

  t.strictSame([await probe('/ready'), await probe('/live')], ['ready', 'alive'])
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  isUp = false
  while (await probe('/ready') !== 'under-pressure');
  t.equal(await probe('/live'), 'alive')
  await t.rejects(dialUrl(t, `${url}/llm-websocket/call_2`), { message: /503/ })
  caller.send(retell.request(1, 'Still there?'))
  await caller.response(1)
  isUp = true
  while (await probe('/ready') !== 'ready');
  await dialUrl(t, `${url}/llm-websocket/call_2`)
})

t.test('its variables and options are those that there are', async t => {
  const rows = Array.from(text.matchAll(/^\| `([A-Z_]+)` \| `([\w.]+)` \| none \|/gm), ([, variable, option]) => [variable, option])
  t.strictSame(rows.sort(), Object.entries(envSchema.properties).filter(([variable]) => /NESS_PATH/.test(variable)).map(([variable, { title }]) => [variable, title]).sort())
})

t.test('what ends the process waits as long as closing takes by default', async t => {
  const [, section = ''] = /## Ending the process\n(.*?)\n## /s.exec(text) ?? []
  const found = section.matchAll(/(?:delay: |delay |kill_timeout: |stop-timeout |period: |StopSec=)([\d_]+)/g)
  const waits = Array.from(found, ([, wait]) => Number(wait!.replace('_', '')))
  t.equal(waits.length, 6)
  for (const wait of waits) t.ok((wait < 1_000 ? wait * 1_000 : wait) > envSchema.properties.DRAIN_TIMEOUT_MS.default + 9_000, `${wait}`)
})

t.test('the grace period it gives is long enough, and its probes ask the routes it sets', async t => {
  const [, yaml = ''] = /^```yaml\n(.*?)^```$/ms.exec(text) ?? []
  const { spec: { terminationGracePeriodSeconds, containers: [container] } } = parse(yaml)
  const env = Object.fromEntries(container.env.map(({ name, value }: { name: string, value: string }) => [name, value]))
  const [, before] = container.lifecycle.preStop.exec.command
  t.ok(terminationGracePeriodSeconds > Number(before) + env['DRAIN_TIMEOUT_MS'] / 1_000 + 9)
  t.equal(container.livenessProbe.httpGet.path, env['LIVENESS_PATH'])
  t.equal(container.readinessProbe.httpGet.path, env['READINESS_PATH'])
  t.strictSame(Object.keys(env).filter(name => !(name in envSchema.properties)), [])
})
