import { once } from 'node:events'
import FakeTimers from '@sinonjs/fake-timers'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { bareAddress } from '../../lib/admission/allowlist.js'
import { AdmissionLimits, type AdmissionLimitSettings, type CallSlot } from '../../lib/admission/call-limits.js'
import voiceAgentPlugin, { type LimitOptions, type VoiceAgentOptions } from '../../lib/index.js'
import type { Ceiling } from '../../lib/telemetry/refusals.js'
import { AT_ONCE, createApp, deferred } from '../helpers/app.js'
import type { LiveCall } from '../../lib/call/call.js'
import type { CallRegistry } from '../../lib/call/registry.js'
import { tick } from '../helpers/call.js'
import { dial, dialUrl, millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'
import { setEnv } from '../helpers/env.js'
import { upgrade } from '../helpers/upgrade.js'

const NONE: AdmissionLimitSettings = { maxCalls: Infinity, maxCallsPerAddress: Infinity, maxUnstartedCalls: Infinity, maxUpgradesPerSecond: Infinity, maxClusterCalls: Infinity }

setEnv(t)

async function start (t: Test, limits: LimitOptions, options: VoiceAgentOptions = {}) {
  const { app, logs } = createApp(t)
  await app.register(voiceAgentPlugin, {
    ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '*' }, limits, ...options
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    complaints: () => logs.filter(({ level }) => level >= 40),
    url: (id: string) => `${url}/llm-websocket/${id}`,
    millisUrl: `${url}/millis`
  }
}

const BEHIND_PROXY = { trustedProxies: '127.0.0.1' } satisfies VoiceAgentOptions

const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })

/** The answer to an upgrade that is refused, headers and all. */
async function refusal (url: string, headers: Record<string, string> = {}): Promise<{ status: number, retryAfter: string | null, body: object }> {
  const socket = new WebSocket(url, { headers })
  const [, response] = await once(socket, 'unexpected-response')
  let body = ''
  for await (const chunk of response) body += chunk
  return { status: response.statusCode, retryAfter: response.headers['retry-after'] ?? null, body: JSON.parse(body) }
}

const TOO_MANY = {
  status: 503,
  retryAfter: '1',
  body: { statusCode: 503, code: 'VOICE_AGENT_ERR_LIMIT', error: 'Service Unavailable', message: 'The server takes no more calls at the moment' }
}

// Over a real socket

const CASES: Array<[ceiling: Ceiling, refusedFrom: string, admittedFrom?: string]> = [
  ['maxCalls', '192.0.2.9'],
  ['maxCallsPerAddress', '192.0.2.1', '192.0.2.9'],
  ['maxUnstartedCalls', '192.0.2.9'],
  ['maxUpgradesPerSecond', '192.0.2.9']
]
for (const [ceiling, refusedFrom, admittedFrom] of CASES) {
  t.test(`${ceiling}: who is too much is told to come again, before the upgrade, and counted`, async t => {
    const { app, url, complaints } = await start(t, { [ceiling]: 2 }, BEHIND_PROXY)
    for (const id of ['call_1', 'call_2']) t.equal((await upgrade(t, url(id), from('192.0.2.1'))).status, 101)
    t.strictSame(await refusal(url('call_3'), from(refusedFrom)), TOO_MANY)
    t.match(complaints(), [{ level: 40, limit: ceiling, address: refusedFrom, msg: 'refused: too many calls' }])
    t.equal(app.calls.refusals[ceiling], 1)
    t.equal(Object.values(app.calls.refusals).reduce((sum, count) => sum + count), 1)
    t.equal(app.calls.size, 2)
    if (admittedFrom !== undefined) t.equal((await upgrade(t, url('call_3'), from(admittedFrom))).status, 101)
  })
}

t.test('a slot is free again after a call has ended, on both providers', async t => {
  const { app, url, millisUrl } = await start(t, { maxCalls: 1, maxCallsPerAddress: 1, maxUnstartedCalls: 1 })
  for (const address of [url('call_1'), millisUrl, url('call_2')]) {
    const caller = await dialUrl(t, address)
    t.match(await refusal(url('call_9')), { status: 503 })
    caller.socket.close()
    await caller.closed
    while (app.calls.size > 0) await tick()
  }
  const injected = await dial(t, app, '/llm-websocket/call_3')
  await t.rejects(dial(t, app, '/llm-websocket/call_4'), { message: 'Unexpected server response: 503' })
  injected.socket.terminate()
  while (app.calls.size > 0) await tick()
  await dial(t, app, '/llm-websocket/call_4')
})

t.test('a call that waits for its provider keeps its slot, and its provider is admitted whatever the limits', async t => {
  const { app, url } = await start(t, { maxCalls: 1, maxCallsPerAddress: 1, maxUnstartedCalls: 1, maxUpgradesPerSecond: 1 }, { reconnectGraceMs: 60_000 })
  const caller = await dialUrl(t, url('call_1'))
  caller.send(retell.details())
  await caller.response(0)
  const again = await dialUrl(t, url('call_1'))
  await caller.closed
  again.socket.terminate()
  await again.closed
  t.equal(app.calls.size, 1)
  t.match(await refusal(url('call_2')), { status: 503 })
  const third = await dialUrl(t, url('call_1'))
  t.match(await third.next(), { response_type: 'config' })
})

t.test('a started call does not count as unstarted', async t => {
  const { url, millisUrl } = await start(t, { maxUnstartedCalls: 1 })
  for (const id of ['call_1', 'call_2']) {
    const caller = await dialUrl(t, url(id))
    caller.send(retell.details())
    await caller.response(0)
  }
  const caller = await dialUrl(t, millisUrl)
  caller.send(millis.start(0))
  await caller.stream(0)
  await dialUrl(t, millisUrl)
  t.match(await refusal(url('call_3')), { status: 503 })
})

t.test('places are taken before hooks of the app\'s own have been waited for, and left where these refuse', async t => {
  const { app } = createApp(t)
  const gate = deferred()
  const waiting = deferred()
  let count = 0
  app.addHook('preHandler', async request => {
    if (++count === 2) waiting.resolve()
    await gate.promise
    if (request.headers['x-refuse']) throw Object.assign(new Error('no'), { statusCode: 418 })
  })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, limits: { maxCalls: 2 } })
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/llm-websocket/call`
  const asked = [upgrade(t, `${url}_1`), upgrade(t, `${url}_2`, { 'x-refuse': '1' })]
  await waiting.promise
  t.match(await refusal(`${url}_3`), { status: 503 })
  gate.resolve()
  t.strictSame((await Promise.all(asked)).map(({ status }) => status), [101, 418])
  for (;;) {
    const { status } = await upgrade(t, `${url}_3`)
    if (status === 101) break
  }
  t.match(await refusal(`${url}_4`), { status: 503 })
  // Who asks for no upgrade takes no place, nor waits for one.
  t.equal((await fetch(`${url}_4`)).status, 426)
})

t.test('an invalid handshake takes no slot', async t => {
  const { app, url } = await start(t, { maxCalls: 1 })
  t.equal((await upgrade(t, url('call_1'), { 'sec-websocket-version': '7' })).status, 400)
  t.equal((await upgrade(t, url('call_1'))).status, 101)
  t.equal(app.calls.size, 1)
})

t.test('other refusals are counted, too, by what is missing', async t => {
  const { app, url } = await start(t, {}, { ...BEHIND_PROXY, secret: ['old', 'new'], retell: { allowlist: '127.0.0.1, 192.0.2.1' } })
  await upgrade(t, url('call_1'), from('192.0.2.2'))
  await upgrade(t, url('wrong/call_1'), from('192.0.2.1'))
  await upgrade(t, url('old'), from('127.0.0.1'))
  t.equal((await upgrade(t, url('old/call_1'), from('127.0.0.1'))).status, 101)
  t.equal((await upgrade(t, url('new/call_2'), from('127.0.0.1'))).status, 101)
  t.match(app.calls.refusals, { address: 1, secret: 1, url: 1, call: 0, closing: 0, maxCalls: 0 })
})

// By themselves

t.test('as many upgrades as a second may have are let in at once, and from then on one each time that it was earned', async t => {
  const clock = FakeTimers.install({ toFake: ['performance'] })
  t.teardown(() => clock.uninstall())
  const pauses = fc.array(fc.integer({ min: 0, max: 50 }).map(steps => steps * 20), { maxLength: 60 })
  // Steps of 20 ms, in which one to fifty a second earn a whole number of hundredths.
  fc.assert(fc.property(fc.constantFrom(1, 2, 5, 10, 50), pauses, (most, pauses) => {
    const limits = new AdmissionLimits({ ...NONE, maxUpgradesPerSecond: most })
    let hundredths = 100 * most
    for (const pause of pauses) {
      clock.tick(pause)
      hundredths = Math.min(100 * most, hundredths + pause * most / 10)
      const isAllowed = limits.judge('', 0) === undefined
      // On the very line rounding decides.
      if (hundredths !== 100 && isAllowed !== (hundredths > 100)) return false
      if (isAllowed) hundredths -= 100
    }
    return true
  }))
})

t.test('a clock that is set back adds no allowance', async t => {
  const limits = new AdmissionLimits({ ...NONE, maxUpgradesPerSecond: 1 })
  useClock(t)
  t.equal(limits.judge('', 0), undefined)
  t.equal(limits.judge('', 0), 'maxUpgradesPerSecond')
})

t.test('slots are counted by address and state, and none is left behind', async () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('192.0.2.1', '192.0.2.1:80', '::ffff:192.0.2.1', '2001:db8::1%eth0'), fc.nat(2), fc.nat(5)), { maxLength: 40 }), steps => {
    let calls = 0
    const limits = new AdmissionLimits({ ...NONE, maxCallsPerAddress: 2, maxCalls: 4, maxUnstartedCalls: 3 })
    const slots: Array<{ slot: CallSlot, state: number }> = []
    for (const [address, state, leaver] of steps) {
      const ofAddress = slots.filter(({ slot }) => slot.address === bareAddress(address)).length
      const unstarted = slots.filter(({ state }) => state < 2).length
      const expected = slots.length >= 4 ? 'maxCalls' : ofAddress >= 2 ? 'maxCallsPerAddress' : unstarted >= 3 ? 'maxUnstartedCalls' : undefined
      if (limits.isFull(calls) !== (slots.length >= 4 || unstarted >= 3)) return false
      if (limits.judge(address, calls) !== expected) return false
      if (expected === undefined) {
        const slot = limits.acquire(address)
        slots.push({ slot, state })
        if (state > 0) {
          slot.upgraded()
          calls++
        }
        if (state > 1) slot.started()
      } else {
        const [{ slot, state }] = slots.splice(leaver % slots.length, 1) as [typeof slots[0]]
        if (state > 0) calls--
        slot.release()
      }
    }
    for (const { slot } of slots) slot.release()
    return limits.pending === 0 && limits.unstarted === 0
  }))
})

t.test('one address counts as one, however it is written', async t => {
  const { url } = await start(t, { maxCallsPerAddress: 1 }, BEHIND_PROXY)
  t.equal((await upgrade(t, url('call_1'), from('192.0.2.1'))).status, 101)
  for (const address of ['192.0.2.1:5001', '::ffff:192.0.2.1', '::FFFF:192.0.2.1']) t.equal((await upgrade(t, url('call_2'), from(address))).status, 503, address)
  t.equal((await upgrade(t, url('call_2'), from('192.0.2.2'))).status, 101)
})

t.test('Millis, which may be dialling again, is let in for each call of its that waits', async t => {
  const { app, millisUrl, url } = await start(t, { maxCalls: 1 }, { reconnectGraceMs: 60_000 })
  const caller = await dialUrl(t, millisUrl)
  caller.send(millis.start(0))
  await caller.stream(0)
  t.match(await refusal(millisUrl), { status: 503 })
  caller.socket.terminate()
  await caller.closed
  while ((app.calls as CallRegistry<LiveCall>).waitingFor('millis') === 0) await tick()
  t.match(await refusal(url('call_1')), { status: 503 }, 'Retell says which call it is')
  const again = await dialUrl(t, millisUrl)
  again.send(millis.start(1))
  await again.settled()
  t.equal(app.calls.size, 1)
  t.match(await refusal(millisUrl), { status: 503 })
})

t.test('a webhook takes no slot', async t => {
  const { app, url, millisUrl } = await start(t, { maxCalls: 1, maxUpgradesPerSecond: 2 }, { millis: { allowlist: '*', webhookSecret: 'secret' } })
  const webhook = millisUrl.replace('/millis', '/webhooks/millis')
  for (let i = 0; i < 5; i++) t.equal((await upgrade(t, webhook)).status, 401)
  t.equal((await upgrade(t, url('call_1'))).status, 101)
  t.equal(app.calls.refusals.maxUpgradesPerSecond, 0)
})

t.test('a call that is let in as one that goes on, and has ended before its socket stands, is let in anew or not at all', async t => {
  const { app } = createApp(t)
  const gate = deferred()
  const waiting = deferred()
  app.addHook('preHandler', async request => {
    if (request.headers['x-wait'] === undefined) return
    waiting.resolve()
    await gate.promise
  })
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, admittedCallsOnly: true })
  app.admitCall('call_1')
  const url = `${await app.listen({ port: 0, host: '127.0.0.1' })}/llm-websocket/call_1`
  const caller = await dialUrl(t, url)
  caller.send(retell.details())
  await caller.response(0)
  const socket = new WebSocket(url, { headers: { 'x-wait': '1' } })
  t.teardown(() => socket.terminate())
  const closed = once(socket, 'close')
  await waiting.promise
  caller.socket.close(1000)
  await caller.closed
  while (app.calls.size > 0) await tick()
  gate.resolve()
  t.match(await closed, [1006])
  t.equal(app.calls.size, 0)
})
