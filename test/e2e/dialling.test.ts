import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import twilioSdk from 'twilio'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { argumentsOf, compiledArgumentsOf } from '../helpers/example-app.js'
import { runNode } from '../helpers/process.js'
import { startVendor } from '../helpers/vendor-server.js'

const TO = '+15550100001'
const DIAL_TOKEN = 'token-canary'

/** What `npm run dial` runs. */
function dial (t: Test, flags: string[], env: Record<string, string> = {}) {
  return runNode(t, [...compiledArgumentsOf('dial'), ...flags], { DIAL_TOKEN, ...env })
}

// What all vendors are.
const vendor = await startVendor(t)

/** The example app as a process, which admits nobody but the calls that it placed. */
async function start (t: Test, env: Record<string, string> = {}) {
  const app = runNode(t, compiledArgumentsOf('start'), {
    PORT: '0',
    ADMITTED_CALLS_ONLY: 'true',
    DIAL_TOKEN,
    RETELL_API_KEY: 'key-canary',
    RETELL_AGENT_ID: 'agent_1',
    RETELL_FROM_NUMBER: '+15550100002',
    RETELL_BASE_URL: vendor.url,
    MILLIS_PRIVATE_KEY: 'millis-canary',
    MILLIS_AGENT_ID: 'agt_1',
    MILLIS_FROM_NUMBER: '+15550100003',
    MILLIS_BASE_URL: vendor.url,
    TWILIO_ACCOUNT_SID: 'AC00000000000000000000000000000000',
    TWILIO_AUTH_TOKEN: 'twilio-canary',
    TWILIO_FROM_NUMBER: '+15550100004',
    TWILIO_BASE_URL: vendor.url,
    PUBLIC_URL: 'https://voice.example.com',
    ...env
  })
  const [, retellUrl] = await app.says(/^Retell .*(ws:\S+)$/m)
  const [, millisUrl] = await app.says(/^Millis .*(ws:\S+)$/m)
  const { port } = new URL(retellUrl!)
  return { app, port, url: `http://127.0.0.1:${port}`, retellUrl: retellUrl!, millisUrl: millisUrl! }
}

const { app, port, url, retellUrl, millisUrl } = await start(t)
const here = { PORT: port }

/** A call with this id is taken, and one with another is not. */
async function admitsOnly (t: Test, callId: string) {
  const call = await RetellCaller.dial(retellUrl, { callId })
  t.equal((await call.say('A table for two')).text, 'I am sorry, can you say that again?')
  await call.hangUp()
  await t.rejects(RetellCaller.dial(retellUrl, { callId: `${callId}0` }), /403/)
}

t.test('a phone call that Retell was asked for is served, and no other', async t => {
  vendor.next({ status: 201, body: { call_id: 'call_1' } })
  await t.rejects(RetellCaller.dial(retellUrl, { callId: 'call_1' }), /403/)
  const program = runNode(t, [...argumentsOf('dial'), '--to', TO], { DIAL_TOKEN, ...here })
  t.equal(await program.exit, 0, program.output())
  t.equal(program.output(), 'Call call_1\n')
  t.match(vendor.requests, [{ path: '/v2/create-phone-call', body: { to_number: TO } }])
  await admitsOnly(t, 'call_1')
  t.notMatch(app.output(), /1555010|canary/)
})

t.test('a web call is printed with what joins it', async t => {
  vendor.next({ status: 201, body: { call_id: 'call_2', access_token: 'eyJ', transport: 'gateway', ice_servers: [] } })
  const program = dial(t, ['--web'], here)
  t.equal(await program.exit, 0)
  t.match(program.output(), /^Call call_2\nJoin within 30 s.*\n\n {2}await new RetellWebClient\(\)\.startCall\(\{"callId":"call_2","accessToken":"eyJ","transport":"gateway","iceServers":\[\]\}\)\n$/)
  await admitsOnly(t, 'call_2')
})

t.test('a call over Twilio is served, be it placed or taken', async t => {
  vendor.next({ status: 201, body: { call_id: 'call_3' } }, { status: 201, body: { sid: 'CA1' } }, { status: 201, body: { call_id: 'call_4' } })
  const program = dial(t, ['--twilio', '--to', TO], here)
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'Call call_3, at Twilio CA1\n')
  await admitsOnly(t, 'call_3')

  const call = { CallSid: 'CA2', From: TO, To: '+15550100004' }
  const response = await fetch(`${url}/twilio/voice`, {
    method: 'POST',
    headers: { 'x-twilio-signature': twilioSdk.getExpectedTwilioSignature('twilio-canary', 'https://voice.example.com/twilio/voice', call) },
    body: new URLSearchParams(call)
  })
  const [, callId] = /<Sip>sip:(.*)@sip\.retellai\.com<\/Sip>/.exec(await response.text())!
  t.equal(callId, 'call_4')
  await admitsOnly(t, callId!)
})

t.test('a call that Millis was asked for is served', async t => {
  vendor.next({ status: 200, body: { session_id: 'ses_1' } })
  const program = dial(t, ['--provider', 'millis', '--to', TO], here)
  t.equal(await program.exit, 0)
  t.equal(program.output(), 'Call ses_1\n')
  const call = await MillisCaller.dial(millisUrl, { sessionId: 'ses_1' })
  t.equal((await call.say('A table for two')).text, 'I am sorry, can you say that again?')
  await call.hangUp()
  const other = await MillisCaller.dial(millisUrl, { sessionId: 'ses_2' })
  t.match(await other.ended, { by: 'fault' })
  t.match(other.findings, [{ code: 'closed', message: /1008/ }])
  t.strictSame(other.replies.map(({ text }) => text), [''])
})

t.test('who dials is told what is wrong', async t => {
  vendor.next({ status: 401, body: {} })
  const bare = await start(t, { DIAL_TOKEN: '' })
  const cases: Array<[code: number, message: RegExp, flags: string[], env?: Record<string, string>]> = [
    [0, /^npm run dial -- .*--to.*--help {6}this/s, ['--help'], { DIAL_TOKEN: '' }],
    [2, /^--to is missing: whom to call\n\nnpm run dial/, []],
    [2, /^--provider is retell or millis\n/, ['--provider', 'fax', '--to', TO]],
    [2, /^--twilio and --web are two ways\n/, ['--twilio', '--web']],
    [2, /^Millis calls phones from its own numbers/, ['--provider', 'millis', '--web']],
    [2, /^Unknown option '--number'/, ['--number', TO]],
    [2, /^DIAL_TOKEN is not set/, ['--web'], { DIAL_TOKEN: '' }],
    [1, /^The example app does not answer at http:\/\/127\.0\.0\.1:1: run "npm start"/, ['--web'], { PORT: '1' }],
    [1, /^The server has no \/dial: start it with a DIAL_TOKEN\n$/, ['--web'], { PORT: bare.port }],
    [1, /^Unauthorized\n$/, ['--web'], { ...here, DIAL_TOKEN: 'another' }],
    [1, /^body\/to must match pattern/, ['--to', '5550100001'], here],
    [1, /^Retell answered 401\n$/, ['--web'], { DIAL_URL: url }]
  ]
  for (const [code, message, flags, env] of cases) {
    const program = dial(t, flags, env)
    t.equal(await program.exit, code, program.output())
    t.match(program.output(), message)
  }
})

t.test('the commands in docs/placing-calls.md are true, and its variables are all that there are', async t => {
  const page = readFileSync('docs/placing-calls.md', 'utf8')
  const commands = new Set(Array.from(page.matchAll(/npm run dial -- ([^`\n]+)/g), ([, flags]) => flags!))
  const ways = new Set<unknown>()
  const server = await startVendor(t)
  for (const flags of commands) {
    server.next(({ body }) => {
      ways.add((body as { way: string }).way)
      return { status: 201, body: { callId: 'call_1' } }
    })
    const program = dial(t, flags.split(' '), { DIAL_URL: server.url })
    t.equal(await program.exit, 0, flags)
  }
  t.strictSame(Array.from(ways).sort(), ['millis-phone', 'retell-phone', 'retell-twilio', 'retell-web'])
  for (const way of ways) t.ok(page.includes(`\`${way}\``))

  const sources = ['dial.ts', 'dialling.ts', ...readdirSync('example-app/dialling').map(file => `dialling/${file}`)].map(file => readFileSync(`example-app/${file}`, 'utf8')).join('\n')
  const read = new Set(sources.match(/\b(RETELL|TWILIO|MILLIS|DIAL|PUBLIC)_(?!ERR_)[A-Z_]+\b/g))
  const told = new Set(page.match(/\b(RETELL|TWILIO|MILLIS|DIAL|PUBLIC)_(?!ERR_)[A-Z_]+\b/g))
  t.strictSame(Array.from(told).sort(), Array.from(read).sort())
  for (const [code] of sources.matchAll(/DIAL_ERR_\w+/g)) t.ok(page.includes(code), code)
})
