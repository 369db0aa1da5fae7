/**
 * docs/webhooks.md is true: its example does what it says, its variables are those that there are.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { envSchema } from '../../lib/index.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'
import { BEARER, KEY, SECRET, signed } from '../helpers/webhooks.js'

const text = readFileSync('docs/webhooks.md', 'utf8')
const file = compileSnippet('docs/webhooks.md', snippetsOf('docs/webhooks.md').find(({ language }) => language === 'ts')!)

t.test('the example is told, and answers', async t => {
  const program = runNode(t, [file], { RETELL_API_KEY: KEY, RETELL_ALLOWLIST: '127.0.0.1', MILLIS_WEBHOOK_SECRET: SECRET })
  const [, url] = await program.says(/listening at (http:\/\/127\.0\.0\.1:\d+)/)
  const retell = (body: string) => fetch(`${url}/webhooks/retell`, { method: 'POST', body, headers: { 'content-type': 'application/json', ...signed(body) } })
  const rings = async (from: string) => (await retell(JSON.stringify({ event: 'call_inbound', call_inbound: { from_number: from } }))).json()

  t.equal((await retell('{"event":"call_ended","call":{"call_id":"call_1"}}')).status, 204)
  await program.says(/"callId":"call_1","msg":"over at retell"/)
  t.equal((await retell('{"event":"call_analyzed","call":{"call_id":"call_1","call_analysis":{"call_successful":true}}}')).status, 204)
  await program.says(/"successful":true/)
  t.equal((await fetch(`${url}/webhooks/millis`, { method: 'POST', body: '{"session_id":"ses_1","duration":7,"chat":"[{}]"}', headers: BEARER })).status, 204)
  await program.says(/"msg":"1 entries in 7 s"/)

  t.strictSame(await rings('+14155550101'), {
    call_inbound: { override_agent_id: 'agent_for_regulars', dynamic_variables: { name: 'Noor', visits: '3' }, metadata: { customer: 'c-19' } }
  })
  t.strictSame(await rings('+14155550102'), { call_inbound: {} })
  for (const [from, customer] of [['%2B14155550101', 'c-19'], ['', null]]) {
    t.strictSame(await (await fetch(`${url}/webhooks/millis?from=${from}`, { headers: BEARER })).json(), { metadata: { customer } })
  }
})

t.test('its variables and options are those that there are', async t => {
  const rows = Array.from(text.matchAll(/^\| `([A-Z_]+)` \| `([\w.]+)` \| (\S+) \|/gm), ([, variable, option, byDefault]) => [variable, option, byDefault])
  t.strictSame(rows, Object.entries(envSchema.properties)
    .filter(([variable]) => /WEBHOOK|RETELL_API_KEY/.test(variable))
    .map(([variable, schema]) => [variable, schema.title, schema.default === '' ? 'none' : `\`${schema.default}\``]))
})
