/**
 * docs/control.md is true: its example runs, its commands do what they say, its codes are those that there are.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import * as errors from '../../lib/contract/errors.js'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { withControl } from '../helpers/control.js'
import { setEnv } from '../helpers/env.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

setEnv(t)

const text = readFileSync('docs/control.md', 'utf8')
const [setup = '', ...commands] = Array.from(text.matchAll(/^```sh\n(.*?)^```$/gms), ([, block]) => block!)
const file = compileSnippet('docs/control.md', snippetsOf('docs/control.md').find(({ language }) => language === 'ts')!)

/** What the shell gives to curl. */
function argumentsOf (command: string, env: Record<string, string>): string[] {
  const curl = `curl () { '${process.execPath}' -e 'console.log(JSON.stringify(process.argv.slice(1)))' -- "$@"; }`
  return JSON.parse(execFileSync('/bin/sh', ['-euc', [setup, curl, command].join('\n')], { env, encoding: 'utf8' })) as string[]
}

/** Of what kind its members are. */
function shapeOf (value: unknown): unknown {
  if (Array.isArray(value)) return [shapeOf(value[0])]
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shapeOf(member)]))
}

/** Does what curl would with the options that the page uses. */
async function curl (server: string, command: string, env: Record<string, string>) {
  const args = argumentsOf(command, env)
  const { pathname, search } = new URL(args.find(arg => arg.startsWith('http:'))!)
  const others = args.filter(arg => !arg.startsWith('http:'))
  const headers: Record<string, string> = {}
  let [method, body] = ['GET', undefined as string | undefined]
  for (let n = 0; n < others.length; n += 2) {
    const [option, value] = [others[n], others[n + 1]!]
    if (option === '-H') headers[value.slice(0, value.indexOf(':'))] = value.slice(value.indexOf(':') + 1).trim()
    else if (option === '-X') method = value
    else if (option === '--json') [method, body, headers['content-type']] = ['POST', value, 'application/json']
    else throw new Error(`curl ${option} is not known here`)
  }
  const response = await fetch(server + pathname + search, { method, headers, ...(body !== undefined && { body }) })
  const answered = await response.text()
  return { request: `${method} ${pathname}`, status: response.status, body: answered === '' ? undefined : JSON.parse(answered) }
}

t.test('the commands do what they say', async t => {
  const env = { CONTROL_TOKEN: 'token-0123456789' }
  const program = runNode(t, [file], { ...env, RETELL_ALLOWLIST: '127.0.0.1' })
  const [, server = ''] = await program.says(/listening at (http:\/\/127\.0\.0\.1:\d+)/)
  const dial = (callId: string) => RetellCaller.dial(`${server}/llm-websocket`, { callId, callType: 'web_call' })
  const [one, two, three] = [await dial('call_1'), await dial('call_2'), await dial('call_3')]
  const ran = []
  for (const command of commands.slice(0, -1)) ran.push(await curl(server, command, env))
  t.strictSame(ran.map(({ request, status }) => [request, status]), [
    ['GET /control/calls', 200],
    ['GET /control/calls/call_1', 200],
    ['GET /control/nodes', 200],
    ['POST /control/calls/call_1/interject', 204],
    ['POST /control/calls/call_1/metadata', 204],
    ['POST /control/calls/call_1/agent', 204],
    ['POST /control/calls/call_1/transfer', 204],
    ['POST /control/calls/call_2/end', 204],
    ['POST /control/calls/call_3/end', 204]
  ])
  t.match(await one.ended, { destination: '+15550100009' })
  t.strictSame(one.transcript.slice(1).map(({ content }) => content), ['We close in five minutes.', 'One moment, please.'])
  t.strictSame([one.metadata, one.agentConfig], [[{ step: 2 }], { responsiveness: 0.5 }])
  t.match([await two.ended, two.transcript.at(-1)!.content], [{ by: 'agent' }, 'We have to close now. Goodbye!'])
  t.match(await three.ended, { by: 'agent' })
  await program.says(/"callId":"call_3","provider":"retell","node":"[^"]+","control":"end","msg":"call controlled"/)

  const shown = Array.from(text.matchAll(/^```json\n(.*?)^```$/gms), ([, json]) => shapeOf(JSON.parse(json!)))
  t.strictSame(shown, [ran[0]!, ran[2]!].map(({ body }) => shapeOf(body)))
  t.equal(ran[0]!.body.calls.length, 3)

  // Of the example app, whose test asks for it.
  t.match(argumentsOf(commands.at(-1)!, env), ['http://127.0.0.1:3000/control/openapi.json'])
})

t.test('what works on which provider is what the table says', async t => {
  const bodies: Record<string, object> = {
    interject: { text: 'Hello?' }, metadata: { metadata: {} }, agent: {}, transfer: { destination: '+15550100009', showCaller: true }, end: {}
  }
  const rows = Array.from(text.matchAll(/^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$/gm), ([, control, millis]) => [control!, millis!] as const)
  t.strictSame(rows.map(([control]) => control).sort(), Object.keys(bodies).sort())
  const { app, ask } = await withControl(t)
  await MillisCaller.dial(app, { sessionId: 'ses_1' })
  for (const [control, millis] of rows.toSorted(([a], [b]) => Number(a === 'end') - Number(b === 'end'))) {
    t.equal((await ask(`POST /control/calls/ses_1/${control}`, bodies[control])).status, /^no: 501$|, without `showCaller`$/.test(millis) ? 501 : 204, control)
  }
})

t.test('its codes are those that there are', async t => {
  const rows = Array.from(text.matchAll(/^\| (\d{3}) \| (.*?) \|/gm), ([, status, codes]) => [Number(status), codes!] as const)
  const known = new Map(Object.values(errors).map(Failure => new Failure('x' as never, 0 as never)).flatMap(error => 'statusCode' in error ? [[error.code, error.statusCode] as const] : []))
  t.equal(rows.length, 10)
  for (const [status, codes] of rows) {
    for (const [, code] of codes.matchAll(/`(VOICE_AGENT_\w+)`/g)) t.equal(known.get(code!), status, code!)
  }
})
