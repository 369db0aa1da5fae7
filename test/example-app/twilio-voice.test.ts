import t, { type Test } from 'tap'
import twilio from 'twilio'
import { dialling, type DiallingOptions } from '../../example-app/dialling.js'
import { createApp } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'
import { startVendor, type VendorAnswer } from '../helpers/vendor-server.js'

const AUTH_TOKEN = 'twilio-canary'
const CALL = { CallSid: 'CA1', AccountSid: 'AC1', From: '+15550100001', To: '+15550100002', CallStatus: 'ringing', Direction: 'inbound', CallerName: 'Zoë & Söhne' }
const DIAL = '<?xml version="1.0" encoding="UTF-8"?><Response><Dial><Sip>sip:call_1@sip.retellai.com</Sip></Dial></Response>'
const APOLOGY = /^<\?xml version="1.0" encoding="UTF-8"\?><Response><Say>We are sorry, .*<\/Say><\/Response>$/

/** An app whose Retell answers so, and Twilio's side of it. */
async function build (t: Test, answers: VendorAnswer[], env: Record<string, string> = {}, options: DiallingOptions = {}) {
  const { app, logs } = createApp(t, 'info')
  const retell = await startVendor(t, ...answers)
  const admitted: string[] = []
  app.decorate('admitCall', async (callId: string) => admitted.push(callId) > 0)
  app.register(dialling, {
    env: { TWILIO_AUTH_TOKEN: AUTH_TOKEN, PUBLIC_URL: 'https://voice.example.com', RETELL_API_KEY: 'key-canary', RETELL_AGENT_ID: 'agent_1', RETELL_BASE_URL: retell.url, ...env },
    ...options
  })
  /** Twilio's request for a call, to its URL of this server, and as the proxies between hand it on. */
  const ring = (call: Record<string, string> = CALL, { url = 'https://voice.example.com/twilio/voice', signature = twilio.getExpectedTwilioSignature(AUTH_TOKEN, url, call) } = {}) => app.inject({
    method: 'POST',
    url: '/twilio/voice' + new URL(url).search,
    headers: { host: '10.0.0.7:3000', 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8', 'x-twilio-signature': signature },
    payload: new URLSearchParams(call).toString()
  })
  return { app, logs, retell, admitted, ring }
}

const registered: VendorAnswer = { status: 201, body: { call_id: 'call_1', call_type: 'phone_call', call_status: 'registered' } }

// First, so that no connection of another test has timers that are not the clock's.
t.test('Twilio may ask again, at once or later: it is one call', async t => {
  const clock = useClock(t)
  const { admitted, ring, retell } = await build(t, [registered, registered])
  const [one, two] = await Promise.all([ring(), ring()])
  t.strictSame([one.body, two.body, (await ring()).body], [DIAL, DIAL, DIAL])
  t.equal(retell.requests.length, 1)
  t.strictSame(admitted, ['call_1'])

  await clock.pass(300_000)
  t.equal((await ring()).body, DIAL)
  t.equal(retell.requests.length, 2, 'a registered call cannot be dialled after five minutes')
})

t.test('a call to our Twilio number is registered at Retell, admitted, and dialled by SIP', async t => {
  const { admitted, retell, ring, logs } = await build(t, [registered])
  const response = await ring()
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], /^text\/xml/)
  t.equal(response.body, DIAL)
  t.match(retell.requests, [{ method: 'POST', path: '/v2/register-phone-call', headers: { authorization: 'Bearer key-canary' } }])
  t.strictSame(retell.requests[0]!.body, { agent_id: 'agent_1', direction: 'inbound', from_number: CALL.From, to_number: CALL.To })
  t.strictSame(admitted, ['call_1'])
  t.notMatch(JSON.stringify(logs), /1555010|canary|Zo/)
})

t.test('callers without a number are put through, too', async t => {
  const { ring, retell } = await build(t, [registered, registered])
  const { From, ...rest } = CALL
  t.equal((await ring({ ...rest, From: 'anonymous', CallSid: 'CA2' })).body, DIAL)
  t.equal((await ring(rest)).body, DIAL)
  for (const { body } of retell.requests) t.strictSame(body, { agent_id: 'agent_1', direction: 'inbound', to_number: CALL.To })
})

t.test('the signature is that of the URL by which Twilio knows us', async t => {
  for (const PUBLIC_URL of ['https://voice.example.com', 'https://voice.example.com/', 'https://voice.example.com/desk', 'https://voice.example.com:8443']) {
    const { ring } = await build(t, [registered], { PUBLIC_URL })
    t.equal((await ring(CALL, { url: `${PUBLIC_URL.replace(/\/$/, '')}/twilio/voice?line=1&name=a%20b` })).body, DIAL)
  }
})

t.test('who is not Twilio is refused, and Retell hears nothing of it', async t => {
  const { admitted, app, retell, ring } = await build(t, [])
  const url = 'https://voice.example.com/twilio/voice'
  const { getExpectedTwilioSignature: sign } = twilio
  for (const [signature, call] of [
    ['', CALL],
    ['undefined', CALL],
    [sign('another token', url, CALL), CALL],
    [sign(AUTH_TOKEN, 'http://10.0.0.7:3000/twilio/voice', CALL), CALL],
    [sign(AUTH_TOKEN, url + '?', CALL), CALL],
    [sign(AUTH_TOKEN, url, CALL), { ...CALL, From: '+15550100009' }],
    [sign(AUTH_TOKEN, url, CALL), { ...CALL, More: '' }]
  ] as const) {
    const response = await ring(call, { signature })
    t.match(response, { statusCode: 403 })
    t.match(response.json(), { code: 'DIAL_ERR_SIGNATURE' })
  }
  t.match(await app.inject({ method: 'POST', url: '/twilio/voice', payload: 'CallSid=CA1', headers: { 'content-type': 'application/x-www-form-urlencoded' } }), { statusCode: 403 }, 'without a signature')
  for (const payload of [undefined, 'a=1', '%', '__proto__=1']) {
    t.match(await app.inject({ method: 'POST', url: '/twilio/voice', ...(payload !== undefined && { payload }), headers: { 'content-type': 'application/x-www-form-urlencoded' } }), { statusCode: 400 })
  }
  t.strictSame([retell.requests, admitted], [[], []])
})

t.test('where Retell does not help, the caller hears an apology, and the operator why', async t => {
  for (const [answer, code] of [
    [{ status: 401, body: {} }, 'DIAL_ERR_REFUSED'],
    [{ status: 429, body: {} }, 'DIAL_ERR_REFUSED'],
    [{ status: 500, body: {} }, 'DIAL_ERR_REFUSED'],
    [{ status: 201, body: {} }, 'DIAL_ERR_NO_ANSWER'],
    ['hang', 'DIAL_ERR_NO_ANSWER'],
    ['hang in the body', 'DIAL_ERR_NO_ANSWER']
  ] as const) {
    const hangs = typeof answer === 'string'
    const { admitted, ring, logs } = await build(t, [answer], {}, hangs ? { timeoutMs: 100 } : {})
    const response = await ring()
    t.match(response, { statusCode: 200, body: APOLOGY })
    t.match(logs.filter(({ level }) => level === 50), [{ msg: 'a caller was turned away', err: { code } }])
    t.notMatch(JSON.stringify(logs), /1555010|canary/)
    t.strictSame(admitted, [])
  }
})

t.test('what is not configured is in the log, and the caller hears an apology', async t => {
  const { ring, logs } = await build(t, [], { RETELL_API_KEY: '', RETELL_AGENT_ID: '' })
  t.match(await ring(), { statusCode: 200, body: APOLOGY })
  t.match(logs.filter(({ level }) => level === 50), [{ err: { message: 'Not configured: set RETELL_API_KEY, RETELL_AGENT_ID' } }])
})

t.test('a call that was turned away may be tried again', async t => {
  const { ring } = await build(t, [{ status: 500, body: {} }, registered])
  t.match(await ring(), { body: APOLOGY })
  t.equal((await ring()).body, DIAL)
})
