import https from 'node:https'
import t, { type Test } from 'tap'
import { dialling, type DiallingOptions } from '../../example-app/dialling.js'
import voiceAgentPlugin from '../../lib/index.js'
import { createApp } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { startVendor, type VendorAnswer } from '../helpers/vendor-server.js'

setEnv(t)

const TO = '+15550100001'
const KEYS = {
  DIAL_TOKEN: 'token-canary',
  RETELL_API_KEY: 'key-canary',
  RETELL_AGENT_ID: 'agent_1',
  RETELL_FROM_NUMBER: '+15550100002',
  MILLIS_PRIVATE_KEY: 'millis-canary',
  MILLIS_AGENT_ID: 'agt_1',
  MILLIS_FROM_NUMBER: '+15550100003',
  TWILIO_ACCOUNT_SID: 'AC00000000000000000000000000000000',
  TWILIO_AUTH_TOKEN: 'twilio-canary',
  TWILIO_FROM_NUMBER: '+15550100004'
}

/** An app that places calls, and the ids it admits. */
function build (t: Test, env: Record<string, string>, options: DiallingOptions = {}, isShared = true) {
  const { app, logs } = createApp(t, 'info')
  const admitted: string[] = []
  app.decorate('admitCall', async (callId: string) => {
    admitted.push(callId)
    return isShared
  })
  app.register(dialling, { env, ...options })
  const dial = async (payload: object, authorization = `Bearer ${KEYS.DIAL_TOKEN}`) => {
    const response = await app.inject({ method: 'POST', url: '/dial', payload, headers: { authorization } })
    return { status: response.statusCode, ...response.json() }
  }
  return { app, logs, admitted, dial }
}

const created = (body: object): VendorAnswer => ({ status: 201, body })

t.test('a web call is created at Retell, admitted, and answered with what the browser needs to join', async t => {
  const retell = await startVendor(t, created({
    call_id: 'call_1', access_token: 'eyJ', expires_at: 1_790_000_000_000, transport: 'gateway', ice_servers: [{ urls: 'stun:stun.example.com' }]
  }))
  const { admitted, dial } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url })
  t.strictSame(await dial({ way: 'retell-web', metadata: { customer: '42' } }), {
    status: 201,
    callId: 'call_1',
    join: { callId: 'call_1', accessToken: 'eyJ', transport: 'gateway', iceServers: [{ urls: 'stun:stun.example.com' }] }
  })
  t.match(retell.requests, [{ method: 'POST', path: '/v3/create-web-call', headers: { authorization: 'Bearer key-canary', 'content-type': 'application/json' } }])
  t.strictSame(retell.requests[0]!.body, { agent_id: 'agent_1', metadata: { customer: '42' } })
  t.strictSame(admitted, ['call_1'])
})

t.test('a phone call is created at Retell, from its number and with our agent, and admitted', async t => {
  const retell = await startVendor(t, created({ call_id: 'call_1', call_type: 'phone_call', call_status: 'registered' }))
  const { admitted, dial } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url })
  t.strictSame(await dial({ way: 'retell-phone', to: TO }), { status: 201, callId: 'call_1' })
  t.match(retell.requests, [{ method: 'POST', path: '/v2/create-phone-call', headers: { authorization: 'Bearer key-canary' } }])
  t.strictSame(retell.requests[0]!.body, { from_number: '+15550100002', to_number: TO, override_agent_id: 'agent_1' })
  t.strictSame(admitted, ['call_1'])
})

t.test('a call of which other nodes cannot be told is placed all the same, and the log says so', async t => {
  const retell = await startVendor(t, created({ call_id: 'call_1' }))
  const { dial, logs } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url }, {}, false)
  t.match(await dial({ way: 'retell-phone', to: TO }), { status: 201, callId: 'call_1' })
  t.match(logs.filter(({ level }) => level >= 40), [{ vendor: 'Retell', msg: 'other nodes do not expect the call' }])
})

t.test('of several keys the first places calls', async t => {
  for (const keys of ['key-canary,key-old', ' , key-canary , key-old']) {
    const retell = await startVendor(t, created({ call_id: 'call_1' }))
    const { dial } = build(t, { ...KEYS, RETELL_API_KEY: keys, RETELL_BASE_URL: retell.url })
    t.match(await dial({ way: 'retell-phone', to: TO }), { status: 201 })
    t.match(retell.requests, [{ headers: { authorization: 'Bearer key-canary' } }])
  }
})

t.test('a call over Twilio is registered at Retell and admitted before Twilio is asked to dial', async t => {
  const retell = await startVendor(t, created({ call_id: 'call_1', call_type: 'phone_call', call_status: 'registered' }))
  const twilio = await startVendor(t, () => {
    t.strictSame(admitted, ['call_1'])
    return created({ sid: 'CA1', status: 'queued' })
  })
  const { admitted, dial } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url, TWILIO_BASE_URL: twilio.url })
  t.strictSame(await dial({ way: 'retell-twilio', to: TO, metadata: { customer: '42' } }), { status: 201, callId: 'call_1', twilioCallSid: 'CA1' })
  t.match(retell.requests, [{ method: 'POST', path: '/v2/register-phone-call', headers: { authorization: 'Bearer key-canary' } }])
  t.strictSame(retell.requests[0]!.body, { agent_id: 'agent_1', direction: 'outbound', from_number: '+15550100004', to_number: TO, metadata: { customer: '42' } })
  t.match(twilio.requests, [{
    method: 'POST',
    path: `/2010-04-01/Accounts/${KEYS.TWILIO_ACCOUNT_SID}/Calls.json`,
    headers: { authorization: `Basic ${Buffer.from(`${KEYS.TWILIO_ACCOUNT_SID}:twilio-canary`).toString('base64')}` }
  }])
  t.strictSame(twilio.requests[0]!.body, {
    To: TO, From: '+15550100004', Twiml: '<?xml version="1.0" encoding="UTF-8"?><Response><Dial><Sip>sip:call_1@sip.retellai.com</Sip></Dial></Response>'
  })
})

t.test('a phone call is placed by Millis with the raw key, and its session is admitted', async t => {
  const millis = await startVendor(t, { status: 200, body: { session_id: 'ses_1', status: 'ok' } })
  const { admitted, dial } = build(t, { ...KEYS, MILLIS_BASE_URL: millis.url })
  t.strictSame(await dial({ way: 'millis-phone', to: TO, metadata: { customer: '42' } }), { status: 201, callId: 'ses_1' })
  t.match(millis.requests, [{ method: 'POST', path: '/start_outbound_call', headers: { authorization: 'millis-canary', 'content-type': 'application/json' } }])
  t.strictSame(millis.requests[0]!.body, { from_phone: '+15550100003', to_phone: TO, agent_id: 'agt_1', metadata: { customer: '42' } })
  t.strictSame(admitted, ['ses_1'])
})

t.test('what goes wrong', async t => {
  for (const [way, vendor, path] of [['retell-web', 'Retell', 'RETELL_BASE_URL'], ['retell-phone', 'Retell', 'RETELL_BASE_URL'], ['retell-twilio', 'Twilio', 'TWILIO_BASE_URL'], ['millis-phone', 'Millis', 'MILLIS_BASE_URL']] as const) {
    /** Dials by way of a vendor that answers so. */
    const dialBadly = async (t: Test, answer: VendorAnswer, options?: DiallingOptions) => {
      const retell = await startVendor(t, created({ call_id: 'call_1' }))
      const bad = await startVendor(t, answer, answer, answer)
      const { logs, admitted, dial } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url, [path]: bad.url }, options)
      const answered = await dial({ way, to: TO })
      t.equal(bad.requests.length, 1, 'nobody is called twice')
      // Registered calls are admitted before Twilio knows of them.
      t.strictSame(admitted, way === 'retell-twilio' ? ['call_1'] : [])
      t.notMatch(JSON.stringify([answered, logs]), /canary|1555010|their words/)
      return answered
    }

    for (const status of [400, 401, 429, 500]) {
      t.test(`${way}: a ${status} of ${vendor} is told, without what they said, and is not tried again`, async t => {
        const body = { status: 'error', message: `their words on ${TO}`, ...(vendor === 'Twilio' && { code: 21_211, message: `their words on ${TO}` }) }
        t.strictSame(await dialBadly(t, { status, body }), {
          status: 502,
          statusCode: 502,
          code: 'DIAL_ERR_REFUSED',
          error: 'Bad Gateway',
          message: `${vendor} answered ${status}${vendor === 'Twilio' ? ' (error 21211)' : ''}`
        })
      })
    }

    const nonsense = { 'a body without an id': {}, 'an id that is none': { call_id: 7, session_id: 7, sid: 7 }, 'an empty id': { call_id: '', session_id: '', sid: '' }, 'invalid JSON': '{"call_id":', null: null }
    for (const [what, body] of Object.entries(nonsense)) {
      t.test(`${way}: ${what} from ${vendor} is no call`, async t => {
        t.match(await dialBadly(t, { status: 200, body }), { status: 502, code: 'DIAL_ERR_NO_ANSWER', message: new RegExp(`^${vendor} gave no answer`) })
      })
    }

    for (const answer of ['hang', 'hang in the body'] as const) {
      t.test(`${way}: ${vendor} may ${answer}`, async t => {
        // Long enough for the request ahead of it, which is answered: Twilio is asked once Retell has registered the call.
        t.match(await dialBadly(t, answer, { timeoutMs: way === 'retell-twilio' ? 2_000 : 100 }), { status: 502, code: 'DIAL_ERR_NO_ANSWER', message: /look there before you try again/ })
      })
    }

    t.test(`${way}: ${vendor} may be gone`, async t => {
      const retell = await startVendor(t, created({ call_id: 'call_1' }))
      const { dial } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url, [path]: 'http://127.0.0.1:1' })
      t.match(await dial({ way, to: TO }), { status: 502, code: 'DIAL_ERR_NO_ANSWER' })
    })
  }

  t.test('an id that the plugin does not admit is no answer, though the phone may ring', async t => {
    for (const [way, vendor] of [['retell-phone', 'Retell'], ['millis-phone', 'Millis']] as const) {
      const bad = await startVendor(t, created({ call_id: '../canary', session_id: '../canary' }))
      const { app, logs } = createApp(t, 'info')
      await app.register(voiceAgentPlugin, {})
      await app.register(dialling, { env: { ...KEYS, RETELL_BASE_URL: bad.url, MILLIS_BASE_URL: bad.url } })
      const response = await app.inject({ method: 'POST', url: '/dial', payload: { way, to: TO }, headers: { authorization: `Bearer ${KEYS.DIAL_TOKEN}` } })
      t.match(response.json(), { statusCode: 502, code: 'DIAL_ERR_NO_ANSWER', message: new RegExp(`^${vendor} gave no answer .* look there before`) })
      t.notMatch(JSON.stringify([response.json(), logs]), /canary|1555010/)
    }
  })

  t.test('where Retell refuses, Twilio is not asked', async t => {
    const retell = await startVendor(t, { status: 401, body: {} })
    const twilio = await startVendor(t)
    const { admitted, dial } = build(t, { ...KEYS, RETELL_BASE_URL: retell.url, TWILIO_BASE_URL: twilio.url })
    t.match(await dial({ way: 'retell-twilio', to: TO }), { status: 502, message: 'Retell answered 401' })
    t.strictSame([twilio.requests, admitted], [[], []])
  })
})

t.test('what is not configured is named, all of it, and nobody is asked', async t => {
  const { dial } = build(t, { DIAL_TOKEN: KEYS.DIAL_TOKEN, RETELL_API_KEY: '' })
  for (const [way, ...names] of [
    ['retell-web', 'RETELL_API_KEY', 'RETELL_AGENT_ID'],
    ['retell-phone', 'RETELL_API_KEY', 'RETELL_AGENT_ID', 'RETELL_FROM_NUMBER'],
    ['retell-twilio', 'RETELL_API_KEY', 'RETELL_AGENT_ID', 'TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'TWILIO_FROM_NUMBER'],
    ['millis-phone', 'MILLIS_PRIVATE_KEY', 'MILLIS_AGENT_ID', 'MILLIS_FROM_NUMBER']
  ] as const) {
    t.match(await dial({ way, to: TO }), { status: 501, code: 'DIAL_ERR_NOT_CONFIGURED', message: `Not configured: set ${names.join(', ')}` })
  }
})

t.test('only who knows the token may dial, and is told before the body is read', async t => {
  const { app, dial } = build(t, KEYS)
  for (const authorization of ['', 'Bearer ', 'Bearer token-canar', 'Bearer token-canaryy', 'Basic token-canary', 'token-canary']) {
    t.match(await dial({ way: 'nonsense' }, authorization), { status: 401, code: 'DIAL_ERR_UNAUTHORIZED' })
  }
  t.equal((await app.inject({ method: 'POST', url: '/dial' })).statusCode, 401)
})

t.test('without a token there is no such route, and without Twilio none for its calls', async t => {
  for (const env of [{}, { DIAL_TOKEN: '' }, { TWILIO_AUTH_TOKEN: KEYS.TWILIO_AUTH_TOKEN }, { PUBLIC_URL: 'https://voice.example.com' }]) {
    const { app } = build(t, env as Record<string, string>)
    for (const url of ['/dial', '/twilio/voice']) t.equal((await app.inject({ method: 'POST', url, payload: {}, headers: { authorization: 'Bearer ' } })).statusCode, 404)
  }
})

t.test('a request that makes no sense is refused, and what it held is not logged', async t => {
  const { dial, logs } = build(t, KEYS)
  for (const [body, message] of [
    [{}, /required property 'way'/],
    [{ way: 'fax', to: TO }, /way must be equal to one of the allowed values/],
    [{ way: 'retell-phone' }, /required property 'to'/],
    [{ way: 'millis-phone', to: '15550100001' }, /to must match pattern/],
    [{ way: 'retell-phone', to: '+15550100001;ext=1' }, /to must match pattern/],
    [{ way: 'retell-web', metadata: [] }, /metadata must be object/]
  ] as const) t.match(await dial(body), { status: 400, message })
  t.notMatch(JSON.stringify(logs), /1555010/)
})

t.test('the settings are those of the process, unless told otherwise', async t => {
  const { app } = createApp(t)
  app.decorate('admitCall', async () => true)
  process.env['DIAL_TOKEN'] = 'secret'
  t.teardown(() => { delete process.env['DIAL_TOKEN'] })
  app.register(dialling)
  t.equal((await app.inject({ method: 'POST', url: '/dial', headers: { authorization: 'Bearer secret' }, payload: { way: 'fax' } })).statusCode, 400)
})

t.test('the vendors are asked where they are, unless told otherwise', async t => {
  const asked: string[] = []
  const fetch = t.capture(globalThis, 'fetch', async (url: URL | string) => {
    asked.push(String(url))
    return Response.json({ call_id: 'call_1', session_id: 'ses_1' })
  })
  t.intercept(https, 'request', {
    value (options: { hostname: string }) {
      asked.push(options.hostname)
      throw new Error('not from here')
    }
  })
  const { dial } = build(t, KEYS)
  for (const way of ['retell-phone', 'millis-phone']) t.equal((await dial({ way, to: TO })).status, 201)
  t.equal((await dial({ way: 'retell-twilio', to: TO })).status, 502)
  t.equal(fetch().length, 3)
  t.strictSame(asked, [
    'https://api.retellai.com/v2/create-phone-call',
    'https://api-west.millis.ai/start_outbound_call',
    'https://api.retellai.com/v2/register-phone-call',
    'api.twilio.com'
  ])
})
