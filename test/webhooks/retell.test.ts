import FakeTimers from '@sinonjs/fake-timers'
import { Readable } from 'node:stream'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type InboundCall, type InboundCallReply, type VoiceAgentOptions, type WebhookEvent } from '../../lib/index.js'
import { deferred } from '../helpers/app.js'
import { useClock } from '../helpers/clock.js'
import { setEnv } from '../helpers/env.js'
import { KEY, send, signed, withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

const ENDED = { event: 'call_ended', call: { call_id: 'call_1', duration_ms: 5, metadata: { name: 'Zoë' } } }
const told = (events: WebhookEvent[]) => events.map(({ event, callId }) => `${event} ${callId}`)

// Who is let in

t.test('a webhook that Retell signed is acknowledged without a word, and told', async t => {
  const { retell, allTold, logs } = await withWebhooks(t)
  const { statusCode, body } = await retell(ENDED)
  t.strictSame([statusCode, body], [204, ''])
  t.strictSame(await allTold(), [{ provider: 'retell', event: 'call_ended', callId: 'call_1', call: ENDED.call, body: ENDED }])
  t.match(logs.find(({ msg }) => msg === 'incoming request'), { req: { method: 'POST', url: '/webhooks/retell' } })
})

t.test('what is not Retell\'s is refused with 401 and no reason, before its body where that can be, and the log tells the operator why', async t => {
  const { app, complaints, logs, told } = await withWebhooks(t)
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/webhooks/retell`
  const body = JSON.stringify(ENDED)
  const old = Date.now() - 301_000
  const early: Array<[headers: Record<string, string>, why: string]> = [
    [{}, 'refused: no x-retell-signature header'],
    [{ 'x-retell-signature': 'v=1' }, 'refused: the x-retell-signature header is malformed'],
    [signed(body, { at: old }), 'refused: the signature is too old, or the clock of this machine is wrong'],
    [signed(body, { at: Date.now() + 400_000 }), 'refused: the signature is too old, or the clock of this machine is wrong']
  ]
  const bodies = new Set<string>()
  for (const [headers, why] of early) {
    // The body never comes.
    const answer = await send(t, url, { ...headers, 'content-type': 'application/json', 'content-length': body.length }, () => {})
    t.equal(answer.status, 401, why)
    t.equal(complaints().at(-1), why)
    bodies.add(answer.body)
  }
  const skewMs = Number(logs.findLast(line => 'skewMs' in line)?.['skewMs'])
  t.ok(skewMs > 390_000 && skewMs <= 400_000)

  const late = [signed(body, { key: 'other' }), signed(`${body} `), signed(body, { at: Date.now() - 1 }), signed('')].map((headers, i) => i === 2 ? { 'x-retell-signature': headers['x-retell-signature']!.replace(/v=\d+/, `v=${Date.now()}`) } : headers)
  for (const headers of late) {
    const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })
    t.equal(response.status, 401)
    t.equal(complaints().at(-1), 'refused: the signature is wrong: is RETELL_API_KEY (option retell.apiKey) the key with the webhook badge?')
    bodies.add(await response.text())
  }
  t.strictSame([...bodies].map(text => JSON.parse(text)), [{ statusCode: 401, code: 'VOICE_AGENT_ERR_UNAUTHORIZED', error: 'Unauthorized', message: 'Unauthorized' }])
  t.equal((await fetch(url, { method: 'POST', body, headers: signed(body) })).status, 204)
  t.equal((await fetch(url, { headers: signed('') })).status, 404)
  await app.close()
  t.equal(told.length, 1)
  t.notMatch(JSON.stringify(logs), KEY)
})

t.test('a key may be replaced: of several any may have signed', async t => {
  for (const apiKey of ['old, new ,', ['old', 'new', '']]) {
    const { retell } = await withWebhooks(t, { retell: { apiKey } })
    const statuses: number[] = []
    for (const key of ['old', 'new', 'old, new ,', KEY, '']) statuses.push((await retell(ENDED, signed(JSON.stringify(ENDED), { key }))).statusCode)
    t.strictSame(statuses, [204, 204, 401, 401, 401])
  }
})

t.test('the allowlist of the calls is that of the webhooks, and a signature is enough where it is empty', async t => {
  const body = JSON.stringify(ENDED)
  const cases: Array<[allowlist: string | undefined, trustedProxies: string, address: string, forwarded: string, status: number]> = [
    [undefined, '', '100.20.5.228', '', 204],
    [undefined, '', '127.0.0.1', '', 403],
    [undefined, '127.0.0.1', '127.0.0.1', '100.20.5.228', 204],
    [undefined, '127.0.0.1', '127.0.0.1', '100.20.5.229', 403],
    ['*', '', '203.0.113.9', '', 204],
    ['', '', '203.0.113.9', '', 204]
  ]
  for (const [allowlist, trustedProxies, remoteAddress, forwarded, status] of cases) {
    const { app, complaints } = await withWebhooks(t, { trustedProxies, retell: { ...(allowlist === undefined ? { allowlist: '100.20.5.228' } : { allowlist }) } })
    const { statusCode } = await app.inject({ method: 'POST', url: '/webhooks/retell', payload: body, remoteAddress, headers: { ...signed(body), ...(forwarded !== '' && { 'x-forwarded-for': forwarded }) } })
    t.equal(statusCode, status, `${allowlist} ${remoteAddress} ${forwarded}`)
    if (status === 403) t.match(complaints().at(-1), /^refused: (address is not on the allowlist|the request came through a proxy)/)
  }
})

t.test('who is not on the allowlist is refused over a real socket, before the body', async t => {
  const { app } = await withWebhooks(t, { retell: { allowlist: '100.20.5.228' } })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/webhooks/retell`
  t.equal((await send(t, url, { ...signed('{}'), 'content-length': 2 }, () => {})).status, 403)
})

// Bodies

t.test('a long call fits, and what is longer than 8 MiB is refused with 413', async t => {
  // The app's own limit is not that of the webhooks.
  const { app, retell, allTold } = await withWebhooks(t, {}, { server: { bodyLimit: 10 } })
  const transcript = 'ä'.repeat(4 * 1024 * 1024 - 100)
  t.equal((await retell({ event: 'call_ended', call: { call_id: 'call_1', transcript } })).statusCode, 204)
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/webhooks/retell`
  const tooLong = 8 * 1024 * 1024 + 1
  t.match(await send(t, url, { ...signed(''), 'content-length': tooLong }, () => {}), { status: 413 })
  const streamed = await app.inject({ method: 'POST', url: '/webhooks/retell', headers: { ...signed(''), 'transfer-encoding': 'chunked' }, payload: Readable.from([Buffer.alloc(tooLong)]) })
  t.equal(streamed.statusCode, 413)
  const [event] = await allTold()
  t.match(event?.call, { transcript })
})

t.test('what is signed and cannot be read is refused with 400, and told to nobody', async t => {
  const { app, retell, allTold } = await withWebhooks(t)
  const bodies: Array<[body: string, message: string]> = [
    ['', 'The webhook is not JSON'], ['{', 'The webhook is not JSON'], ['[]', 'The webhook is not a JSON object'], ['null', 'The webhook is not a JSON object'],
    ['"call_ended"', 'The webhook is not a JSON object'], ['{}', 'The webhook is without an event'], ['{"event":5}', 'The webhook is without an event']
  ]
  for (const [body, message] of bodies) {
    const response = await retell(body)
    t.strictSame(response.json(), { statusCode: 400, code: 'VOICE_AGENT_ERR_WEBHOOK', error: 'Bad Request', message }, body)
  }
  // Nothing at all, of no type.
  t.equal((await app.inject({ method: 'POST', url: '/webhooks/retell', headers: signed('') })).statusCode, 400)
  t.strictSame(await allTold(), [])
})

t.test('the type of a body is of no concern, but one that is none is refused with 415', async t => {
  const { app, allTold } = await withWebhooks(t)
  const payload = JSON.stringify(ENDED)
  const statuses: number[] = []
  for (const type of ['text/odd', 'application/json; charset="', 'json', '/']) {
    statuses.push((await app.inject({ method: 'POST', url: '/webhooks/retell', payload, headers: { ...signed(payload), 'content-type': type } })).statusCode)
  }
  t.strictSame(statuses, [204, 204, 415, 415])
  t.equal((await allTold()).length, 1)
})

t.test('an event has its call, wherever it stands, and one that nobody knows is told, too', async t => {
  const { retell, allTold } = await withWebhooks(t)
  const bodies = [
    { event: 'call_started', call: { call_id: 'call_1' }, data: { call_id: 'call_9' } },
    { event: 'call_started', call: null, data: { call_id: 'call_2' } },
    { event: 'chat_ended', chat: { chat_id: 'chat_1' } },
    { event: 'transfer_started', call: { call_id: 'call_1' }, transfer_destination: { number: '+1' }, transfer_option: { type: 'cold_transfer' } },
    { event: 'call_sung', call: { call_id: 'call_1' }, notes: 3 },
    { event: 'call_ended', call: { call_id: 7 } },
    { event: '__proto__', __proto__: null, call: 'no' },
    { event: 'unknown' }
  ]
  for (const body of bodies) t.equal((await retell(body)).statusCode, 204)
  const events = await allTold()
  t.strictSame(told(events), [
    'call_started call_1', 'call_started call_2', 'chat_ended chat_1', 'transfer_started call_1', 'unknown call_1', 'call_ended undefined', 'unknown undefined', 'unknown undefined'
  ])
  t.strictSame(events.map(event => event.provider === 'retell' && event.body), bodies.map(body => JSON.parse(JSON.stringify(body))))
  t.strictSame(events.at(-1)?.call, {})
})

// Once

t.test('an event is told once, however often it comes, and be it at the same moment', async t => {
  const { retell, allTold, logs } = await withWebhooks(t)
  const later = signed(JSON.stringify(ENDED), { at: Date.now() + 1 })
  const replies = await Promise.all([retell(ENDED), retell(ENDED), retell(ENDED, later), retell({ ...ENDED, call: { ...ENDED.call, call_status: 'ended' } })])
  replies.push(await retell(ENDED), await retell({ ...ENDED, event: 'call_analyzed' }), await retell({ ...ENDED, call: { call_id: 'call_2' } }), await retell({ event: 'chat_ended', chat: { chat_id: 'call_1' } }))
  t.strictSame(replies.map(({ statusCode }) => statusCode), Array(8).fill(204))
  t.strictSame(told(await allTold()).sort(), ['call_analyzed call_1', 'call_ended call_1', 'call_ended call_2', 'chat_ended call_1'])
  t.equal(logs.filter(({ msg }) => msg === 'webhook ignored: it came before').length, 4)
})

t.test('transfers are told apart by their start and their destination', async t => {
  const { retell, allTold } = await withWebhooks(t)
  const transfer = (more: object = {}, start = 5) => ({ event: 'transfer_started', call: { call_id: 'call_1', start_timestamp: start }, transfer_destination: { number: '+1' }, ...more })
  const bodies = [transfer(), transfer({ start_timestamp: 6 }), transfer({ transfer_destination: { number: '+2' } }), transfer({}, 7), transfer({ event: 'transfer_cancelled' })]
  for (const body of bodies) await retell(body)
  for (const body of bodies) await retell({ ...body, retried: true })
  t.equal((await allTold()).length, bodies.length)
})

t.test('transcripts repeat by design, and so may what nobody knows, but one signature is good for one', async t => {
  const { retell, allTold } = await withWebhooks(t)
  for (const event of ['transcript_updated', 'new_event']) {
    const body = JSON.stringify({ event, call: { call_id: 'call_1' } })
    const first = signed(body)
    const upper = { 'x-retell-signature': first['x-retell-signature']!.replace(/[0-9a-f]{64}$/, digits => digits.toUpperCase()) }
    for (const headers of [first, first, upper, signed(body, { at: Date.now() + 5_000 })]) t.equal((await retell(body, headers)).statusCode, 204)
  }
  t.strictSame(told(await allTold()), ['transcript_updated call_1', 'transcript_updated call_1', 'unknown call_1', 'unknown call_1'])
})

t.test('an event without the id of a call is told as often as it comes', async t => {
  const { retell, allTold } = await withWebhooks(t)
  for (const at of [1, 2]) await retell({ event: 'call_ended' }, signed('{"event":"call_ended"}', { at: Date.now() + at }))
  t.equal((await allTold()).length, 2)
})

t.test('a signature is known for as long as it is accepted, be it made ahead of our clock', async t => {
  const clock = FakeTimers.install({ now: 1_760_000_000_000, toFake: ['Date', 'performance'] })
  t.teardown(() => clock.uninstall())
  const { retell, told } = await withWebhooks(t)
  const body = '{"event":"transcript_updated"}'
  const ahead = signed(body, { at: Date.now() + 300_000 })
  const statuses: number[] = []
  for (const ms of [0, 599_999, 1, 1]) {
    clock.tick(ms)
    statuses.push((await retell(body, ahead)).statusCode)
    await nextLoopTurn()
  }
  t.strictSame(statuses, [204, 204, 204, 401])
  t.equal(told.length, 1)
})

// The hook

t.test('onWebhook runs when the provider has its answer, and its failure is the app\'s own', async t => {
  const hold = deferred()
  let isAnswered = false
  const seen: boolean[] = []
  const { retell, complaints, logs, app } = await withWebhooks(t, {
    async onWebhook ({ callId }) {
      seen.push(isAnswered)
      await hold.promise
      throw new Error(`no database for ${callId}`)
    }
  }, { before: app => { app.addHook('onSend', async () => { isAnswered = true }) } })
  t.equal((await retell(ENDED)).statusCode, 204)
  const closed = app.close()
  hold.resolve()
  await closed
  t.strictSame(seen, [true])
  t.strictSame(complaints(), ['onWebhook failed'])
  t.match(logs.find(({ msg }) => msg === 'onWebhook failed'), { provider: 'retell', event: 'call_ended', callId: 'call_1' })
})

t.test('an event is not lost with the connection it came on', async t => {
  const ran = deferred<WebhookEvent>()
  const [arrived, go] = [deferred(), deferred()]
  const { app } = await withWebhooks(t, { onWebhook: event => ran.resolve(event) }, {
    before: app => {
      app.addHook('onSend', async () => {
        arrived.resolve()
        await go.promise
      })
    }
  })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/webhooks/retell`
  const body = JSON.stringify(ENDED)
  const gone = new AbortController()
  const lost = t.rejects(fetch(url, { method: 'POST', body, headers: signed(body), signal: gone.signal }))
  await arrived.promise
  gone.abort()
  await lost
  t.equal((await ran.promise).callId, 'call_1')
  go.resolve()
})

t.test('without onWebhook events are acknowledged', async t => {
  const { retell, complaints } = await withWebhooks(t, { onWebhook: undefined } as unknown as VoiceAgentOptions)
  t.equal((await retell(ENDED)).statusCode, 204)
  t.strictSame(complaints(), [])
})

// Calls that ring

const RINGS = { event: 'call_inbound', call_inbound: { agent_id: 'agent_1', from_number: '+14155550101', to_number: '+14155550199' } }

t.test('a call that rings is told to onInboundCall, and its answer goes to Retell in Retell\'s words', async t => {
  const asked: InboundCall[] = []
  const reply: InboundCallReply = {
    override_agent_id: 'agent_2',
    override_agent_version: 3,
    dynamic_variables: { name: 'Zoë', visits: 7, vip: false, none: null, missing: undefined, cart: { rolls: 3 } as unknown as string },
    metadata: { id: 'c-19' },
    agent_override: { agent: { voice_speed: 1 } }
  }
  const { retell, allTold } = await withWebhooks(t, {
    onInboundCall (call) {
      asked.push(call)
      return reply
    }
  }, { before: app => { app.addHook('preSerialization', async (_request, _reply, payload) => ({ wrapped: payload })) } })
  const response = await retell(RINGS)
  t.match(response, { statusCode: 200, headers: { 'content-type': 'application/json; charset=utf-8' } })
  t.strictSame(response.json(), {
    call_inbound: { ...reply, dynamic_variables: { name: 'Zoë', visits: '7', vip: 'false', cart: '{"rolls":3}' } }
  })
  t.strictSame(asked, [{ callId: undefined, from: '+14155550101', to: '+14155550199', agentId: 'agent_1', details: RINGS.call_inbound }])
  t.strictSame(await allTold(), [])
})

t.test('without a hook, with one that has nothing to say, and of nobody, the default agent takes the call', async t => {
  const { retell: without } = await withWebhooks(t)
  const { retell: silent } = await withWebhooks(t, { onInboundCall: async () => {} })
  const asked: InboundCall[] = []
  const { retell: odd } = await withWebhooks(t, { onInboundCall: call => { asked.push(call) } })
  for (const response of [await without(RINGS), await silent(RINGS), await odd({ event: 'call_inbound', call_inbound: [] })]) {
    t.equal(response.statusCode, 200)
    t.strictSame(response.json(), { call_inbound: {} })
  }
  t.strictSame(asked, [{ callId: undefined, from: undefined, to: undefined, agentId: undefined, details: {} }])
})

t.test('a hook that fails, or answers what Retell would drop, leaves the call to the default agent', async t => {
  const failing: Array<[answer: () => unknown, message: string | undefined]> = [
    [() => { throw new Error('no database') }, undefined],
    [async () => { throw new Error('no database') }, undefined],
    [() => 'agent_2', 'What onInboundCall returned: it: Expected object'],
    [() => ({ override_agent_id: 5 }), 'What onInboundCall returned: override_agent_id: Expected string'],
    [() => ({ override_agent_version: {} }), 'What onInboundCall returned: override_agent_version: Expected union value'],
    [() => ({ dynamic_variables: ['Zoë'] }), 'What onInboundCall returned: dynamic_variables: Expected object'],
    [() => ({ metadata: { big: 1n } }), undefined]
  ]
  for (const [answer, message] of failing) {
    const { retell, logs } = await withWebhooks(t, { onInboundCall: answer as () => InboundCallReply })
    const response = await retell(RINGS)
    t.equal(response.statusCode, 200)
    t.strictSame(response.json(), { call_inbound: {} })
    const [complaint] = logs.filter(({ level }) => level === 50)
    t.match(complaint, { msg: 'onInboundCall failed', ...(message !== undefined && { err: { code: 'VOICE_AGENT_ERR_HOOK_REPLY', message } }) })
    t.notMatch(JSON.stringify(logs.filter(({ level }) => level >= 30)), /Zoë|no database/)
  }
})

/** An app whose hook answers when the test says so. */
async function slow (t: Test) {
  const clock = useClock(t)
  const answers: Array<ReturnType<typeof deferred<InboundCallReply>>> = []
  const app = await withWebhooks(t, {
    onInboundCall () {
      const answer = deferred<InboundCallReply>()
      answers.push(answer)
      return answer.promise
    }
  })
  return {
    ...app,
    clock,
    answers,
    async asked (n: number) { while (answers.length < n) await nextLoopTurn() }
  }
}

t.test('a hook that takes longer than 8 s leaves the call to the default agent, and is waited for when the app closes', async t => {
  const { retell, complaints, clock, answers, asked, app } = await slow(t)
  const response = retell(RINGS)
  let isOver = false
  response.then(() => { isOver = true }, t.error)
  await asked(1)
  await clock.pass(7_999)
  t.notOk(isOver)
  await clock.pass(1)
  t.strictSame((await response).json(), { call_inbound: {} })
  t.strictSame(complaints(), ['onInboundCall is too slow: the call goes on without its answer'])
  let isClosed = false
  const closed = app.close().then(() => { isClosed = true })
  for (let i = 0; i < 20; i++) await nextLoopTurn()
  t.notOk(isClosed)
  answers[0]!.resolve({})
  await closed
})

const NAMED = { ...RINGS, call_inbound: { ...RINGS.call_inbound, call_id: 'call_1' } }

/** Retries, each signed anew. */
const retried = (body: object, n: number) => [JSON.stringify(body), signed(JSON.stringify(body), { at: Date.now() + n })] as const

t.test('when Retell asks again while the hook runs it does not run again, and both have its answer', async t => {
  const { retell, answers, asked } = await slow(t)
  for (const [n, tries] of [[RINGS, RINGS], [NAMED, { ...NAMED, event_timestamp: 2 }]].entries()) {
    const responses = tries.map((body, i) => retell(...retried(body, 2 * n + i)))
    await asked(n + 1)
    for (let i = 0; i < 20; i++) await nextLoopTurn()
    answers[n]!.resolve({ override_agent_id: `agent_${n}` })
    for (const response of responses) t.strictSame((await response).json(), { call_inbound: { override_agent_id: `agent_${n}` } })
  }
  t.equal(answers.length, 2)
})

t.test('a call has one answer for all of Retell\'s tries, where it is known which call it is', async t => {
  const { retell, answers, asked, clock } = await slow(t)
  const response = retell(...retried(NAMED, 0))
  await asked(1)
  answers[0]!.resolve({ override_agent_id: 'agent_0' })
  await response
  await clock.pass(39_999)
  t.strictSame((await retell(...retried(NAMED, 1))).json(), { call_inbound: { override_agent_id: 'agent_0' } })
  await clock.pass(1)
  const again = retell(...retried(NAMED, 2))
  await asked(2)
  answers[1]!.resolve({})
  t.strictSame((await again).json(), { call_inbound: {} })
})

t.test('where it is not, two calls of one number are two, and the hook runs again when an answer was lost', async t => {
  const { retell, answers, asked } = await slow(t)
  const [body, headers] = retried(RINGS, 0)
  // The next call, and a retry that is not signed anew.
  for (const [n, header] of [headers, retried(RINGS, 1)[1], headers].entries()) {
    const response = retell(body, header)
    await asked(n + 1)
    answers[n]!.resolve({ metadata: { n } })
    t.strictSame((await response).json(), { call_inbound: { metadata: { n } } })
  }
})

t.test('a hook that failed, or was too slow, is asked again', async t => {
  const { retell, answers, asked, clock } = await slow(t)
  const responses: object[] = []
  for (const [n, end] of [(): void => answers[0]!.reject(new Error('no database')), async () => { await clock.pass(8_000) }, () => answers[2]!.resolve({ override_agent_id: 'agent_2' })].entries()) {
    const response = retell(...retried(NAMED, n))
    await asked(n + 1)
    await end()
    responses.push((await response).json())
  }
  t.strictSame(responses, [{ call_inbound: {} }, { call_inbound: {} }, { call_inbound: { override_agent_id: 'agent_2' } }])
  answers[1]!.resolve({})
})

t.test('a caller who dials again is asked about again, and an old request that is played again is not', async t => {
  const { retell, answers, asked, clock } = await slow(t)
  const body = JSON.stringify(RINGS)
  const first = signed(body)
  const response = retell(body, first)
  await asked(1)
  answers[0]!.resolve({ override_agent_id: 'agent_2' })
  await response
  await clock.pass(40_000)
  t.strictSame((await retell(body, first)).json(), { call_inbound: {} })
  await clock.pass(40_000)
  const again = retell(body, signed(body, { at: Date.now() + 9 }))
  await asked(2)
  answers[1]!.resolve({ override_agent_id: 'agent_3' })
  t.strictSame((await again).json(), { call_inbound: { override_agent_id: 'agent_3' } })
})
