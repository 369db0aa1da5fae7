import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import voiceAgentPlugin, { filler, toolCall, toolResult, type Call, type Reply, type Turn } from '../../lib/index.js'
import { LiveCalls } from '../../lib/playground/live-calls.js'
import type { LiveCallEvent, CallState } from '../../lib/playground/live-call-events.js'
import playground, { type PlaygroundOptions } from '../../lib/playground/index.js'
import { EventStreamClients } from '../../lib/playground/event-stream-clients.js'
import { callChannel, callStartChannel, firstTokenChannel, turnChannel, turnStartChannel } from '../../lib/telemetry/channels.js'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { deferred } from '../helpers/app.js'
import { openCall, tick } from '../helpers/call.js'
import { millis, retell } from '../helpers/caller.js'
import { useClock } from '../helpers/clock.js'
import { setEnv } from '../helpers/env.js'
import { cookieOf, ENABLED, injectWithCookie } from '../helpers/playground.js'

setEnv(t)

const CHANNELS = [callStartChannel, turnStartChannel, firstTokenChannel, turnChannel, callChannel]

type Snapshot = Extract<LiveCallEvent, { type: 'snapshot' }>

function openLiveCalls (t: Test) {
  const events: LiveCallEvent[] = []
  const logged: unknown[] = []
  const liveCalls = new LiveCalls(event => events.push(event), { debug: (line: unknown) => { logged.push(line) } } as FastifyBaseLogger)
  t.teardown(() => liveCalls.close())
  return { liveCalls, events, logged, snapshot: () => liveCalls.snapshot() as Snapshot }
}

async function createApp (t: Test, { options = {}, answer = () => 'Yes.', drainTimeoutMs = 0 }: { options?: PlaygroundOptions & { prefix?: string }, answer?: (turn: Turn) => Reply, drainTimeoutMs?: number } = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', answer)
  await app.register(voiceAgentPlugin, { drainTimeoutMs, millis: { allowlist: '127.0.0.1' } })
  await app.register(playground, { ...ENABLED, ...options })
  return app
}

/** Asks for the events over a socket of its own, and reads nothing yet. */
async function request (t: Test, app: Awaited<ReturnType<typeof createApp>>, { path = '/calls/events', method = 'GET', headers = {} } = {}): Promise<IncomingMessage> {
  const address = app.server.listening ? `http://127.0.0.1:${(app.server.address() as { port: number }).port}` : await app.listen({ port: 0, host: '127.0.0.1' })
  const request = get(address + path, { method, headers: { cookie: cookieOf(app), ...headers }, agent: false })
  t.teardown(() => request.destroy())
  const [response] = await once(request, 'response') as [IncomingMessage]
  return response
}

/** A browser's side: what it reads of the stream, as `EventSource` would. */
async function watch (t: Test, app: Awaited<ReturnType<typeof createApp>>, path?: string) {
  const response = await request(t, app, path === undefined ? {} : { path })
  const events: LiveCallEvent[] = []
  let text = ''
  let read = 0
  response.setEncoding('utf8').on('error', () => {}).on('data', piece => {
    text += piece
    for (let end = text.indexOf('\n\n', read); end !== -1; end = text.indexOf('\n\n', read)) {
      const lines = text.slice(read, end).split('\n').map(line => line.split(/: (.*)/s) as [string, string])
      const { event, data } = Object.fromEntries(lines)
      if (data !== undefined) {
        const parsed = JSON.parse(data) as LiveCallEvent
        if (parsed.type !== event) throw new Error(`${parsed.type} came as ${event}`)
        events.push(parsed)
      }
      read = end + 2
    }
    response.emit('read')
  })
  return {
    response,
    events,
    text: () => text,
    async until<Type extends LiveCallEvent['type']> (type: Type, is: (event: Extract<LiveCallEvent, { type: Type }>) => boolean = () => true): Promise<Extract<LiveCallEvent, { type: Type }>> {
      for (;;) {
        const found = events.find(event => event.type === type && is(event as never))
        if (found !== undefined) return found as never
        await once(response, 'read')
      }
    }
  }
}

/** Of a call that nobody made. */
function fakeCall (id: string): Call {
  return { id, provider: 'retell', direction: 'inbound' } as Call
}

function publishTurn (call: Call, more: object = {}): void {
  turnChannel.publish({ turn: { call } as Turn, report: { turnId: 1, reason: 'response', outcome: 'completed', durationMs: 100, tools: [], ...more } })
}

t.test('a call of a provider that is not known goes by its name', async t => {
  const { events } = openLiveCalls(t)
  callStartChannel.publish({ call: { id: 'call_1', provider: 'another' } as unknown as Call })
  t.match(events[0], { call: { provider: 'another' } })
})

t.test('a call is followed from its beginning to its end', async t => {
  const { events, snapshot } = openLiveCalls(t)
  const answered = deferred()
  const rest = deferred()
  const line = openCall(t, 'retell', async function * ({ reason }) {
    if (reason === 'greeting') return yield 'Hello.'
    await answered.promise
    yield filler('Hm. ')
    yield toolCall('tool_1', 'look_up', {})
    yield toolResult('tool_1', 'done')
    yield 'One. '
    await rest.promise
    yield 'Two.'
  })
  t.strictSame(events, [])
  t.match(snapshot(), { live: 0, calls: [], ended: [], recent: [] })
  line.receive(retell.details({ direction: 'inbound' }))
  await line.completed(0)
  t.strictSame(events.map(({ type }) => type), ['call-start', 'turn-start', 'first-token', 'turn-end'])
  t.match(events[0], { live: 1, call: { key: 1, id: 'call_1', provider: 'Retell', direction: 'inbound', ageMs: Number, turns: 0, last: [] } })
  t.match(events[1], { key: 1, id: 'call_1', direction: 'inbound', turn: { id: 0, reason: 'greeting', ageMs: Number, firstTokenMs: undefined } })
  t.match(events[2], { key: 1, firstTokenMs: Number })
  t.match(events[3], { key: 1, turn: { id: 0, reason: 'greeting', outcome: 'completed', firstTokenMs: Number, fillerMs: undefined, firstSentenceMs: Number, durationMs: Number, tools: 0 } })

  line.receive(retell.request(1, 'Hi'))
  t.match(snapshot(), { live: 1, calls: [{ key: 1, turns: 2, current: { id: 1, reason: 'response', ageMs: Number, firstTokenMs: undefined }, last: [{ id: 0 }] }], recent: [{ outcome: 'completed', firstTokenMs: Number, agoMs: Number }] })
  answered.resolve()
  await line.wrote(({ content }) => content === 'One. ')
  t.match(snapshot().calls[0]!.current, { id: 1, firstTokenMs: Number })
  rest.resolve()
  await line.completed(1)
  t.match(snapshot().calls[0], { turns: 2, current: undefined, last: [{ id: 0 }, { id: 1, fillerMs: Number, tools: 1 }] })

  line.hangUp(1000)
  t.match(events.at(-1), { type: 'call-end', live: 0, call: { key: 1, id: 'call_1', ageMs: Number, turns: 2, current: undefined, code: 1000, limit: undefined, last: [{ id: 0 }, { id: 1 }] } })
  t.match(snapshot(), { live: 0, calls: [], ended: [{ key: 1, code: 1000 }], recent: [{}, {}] })
})

t.test('a turn that is superseded is over before the next one begins', async t => {
  const { events } = openLiveCalls(t)
  const line = openCall(t, 'millis', async ({ signal }) => { await once(signal, 'abort') })
  line.receive(millis.start(), millis.request(1, 'Hi'), millis.request('2', 'No'))
  await tick()
  line.hangUp(1000)
  t.strictSame(events.map(event => event.type === 'turn-end' ? event.turn.outcome : event.type),
    ['call-start', 'turn-start', 'superseded', 'turn-start', 'superseded', 'turn-start', 'hang-up', 'call-end'])
})

t.test('a call that is given another id stays the same', async t => {
  const { events } = openLiveCalls(t)
  const line = openCall(t, 'millis', () => 'Yes.')
  line.receive(millis.request(1, 'Hi'))
  await line.completed(1)
  line.receive(millis.start(undefined, 'ses_9'), millis.request(2, 'Hi'))
  await line.completed(2)
  t.strictSame(events.flatMap(event => event.type === 'turn-start' ? [[event.key, event.id]] : []), [[1, 'call_1'], [1, 'ses_9']])
  line.hangUp(1000)
  t.match(events.at(-1), { type: 'call-end', live: 0, call: { key: 1, id: 'ses_9', turns: 2 } })
})

t.test('what is remembered has an end', async t => {
  const { events, snapshot } = openLiveCalls(t)
  const call = fakeCall('call_1')
  callStartChannel.publish({ call })
  for (let turnId = 1; turnId <= 150; turnId++) publishTurn(call, { turnId })
  t.strictSame(snapshot().calls[0]!.last.map(({ id }) => id), Array.from({ length: 20 }, (_, i) => 131 + i))
  t.equal(snapshot().recent.length, 100)
  for (let i = 0; i < 30; i++) {
    const other = fakeCall(`other_${i}`)
    callStartChannel.publish({ call: other })
    callChannel.publish({ call: other, summary: { durationMs: 1, code: 1000, limit: 'duration' } })
  }
  t.strictSame(snapshot().ended.map(({ id, limit }) => [id, limit]), Array.from({ length: 20 }, (_, i) => [`other_${29 - i}`, 'duration']))

  // And of very many calls, most are counted.
  const crowd = Array.from({ length: 150 }, (_, i) => fakeCall(`crowd_${i}`))
  for (const call of crowd) callStartChannel.publish({ call })
  t.equal(snapshot().live, 151)
  t.equal(snapshot().calls.length, 100)
  events.length = 0
  const last = crowd.at(-1)!
  turnStartChannel.publish({ turn: { call: last } })
  firstTokenChannel.publish({ turn: { call: last }, firstTokenMs: 1 })
  publishTurn(last, { firstTokenMs: 12.34 })
  callChannel.publish({ call: last, summary: { durationMs: 1, code: 1000 } })
  t.match(events, [{ type: 'turn-end', key: undefined, turn: { firstTokenMs: 12.3 } }, { type: 'call-end', live: 150 }])
  t.equal(events.length, 2)
  t.notOk('call' in events[1]!)
  callChannel.publish({ call: crowd[0], summary: { durationMs: 1, code: 1000 } })
  callStartChannel.publish({ call: fakeCall('next') })
  t.equal(snapshot().calls.at(-1)!.id, 'next')
})

t.test('a call that began before is none of its calls', async t => {
  const line = openCall(t, 'retell', () => 'Yes.')
  line.receive(retell.details())
  await line.completed(0)
  const { events, snapshot } = openLiveCalls(t)
  line.receive(retell.request(1, 'Hi'))
  await line.completed(1)
  line.hangUp(1000)
  t.strictSame(events.map(({ type }) => type), ['turn-end'])
  t.match(snapshot(), { live: 0, ended: [], recent: [{}] })
})

t.test('it harms nobody who publishes, whatever that is', async t => {
  const { events, logged } = openLiveCalls(t)
  const uncaught: unknown[] = []
  const listener = (error: unknown): void => { uncaught.push(error) }
  process.on('uncaughtException', listener)
  t.teardown(() => process.off('uncaughtException', listener))
  for (const channel of CHANNELS) channel.publish({})
  await tick()
  t.strictSame(uncaught, [])
  t.strictSame(logged.map(line => (line as { channel: string }).channel), CHANNELS.map(({ name }) => name))
  callStartChannel.publish({ call: fakeCall('call_1') })
  t.equal(events.length, 1)
})

const SNAPSHOT: LiveCallEvent = { type: 'snapshot', live: 0, calls: [], ended: [], recent: [] }
const ENDED: LiveCallEvent = { type: 'call-end', live: 0 }

/** What is in a stream by now. */
function take (stream: Readable): string {
  return String(stream.read() ?? '')
}

t.test('what happens at once is written at once', async t => {
  const viewers = new EventStreamClients()
  t.teardown(async () => {
    viewers.close()
    await tick()
  })
  viewers.tell(ENDED)
  const first = viewers.add(SNAPSHOT)
  t.equal(take(first), `retry: 1000\nevent: snapshot\ndata: ${JSON.stringify(SNAPSHOT)}\n\n`)
  const pieces: string[] = []
  first.on('data', piece => pieces.push(String(piece)))
  for (let i = 0; i < 3; i++) viewers.tell(ENDED)
  await tick()
  t.strictSame(pieces, ['event: call-end\ndata: {"type":"call-end","live":0}\n\n'.repeat(3)])

  // What a newcomer is told in the snapshot it is not told again.
  viewers.tell(ENDED)
  const second = viewers.add(SNAPSHOT)
  await tick()
  t.equal(take(second).match(/^event/gm)!.length, 1)
  t.equal(pieces.length, 2)
})

t.test('a sign of life is sent for as long as somebody looks', async t => {
  const clock = useClock(t)
  const viewers = new EventStreamClients()
  const [first, second] = [viewers.add(SNAPSHOT), viewers.add(SNAPSHOT)]
  take(first)
  await clock.pass(15_000)
  t.equal(take(first), ': still here\n\n')
  first.destroy()
  await tick()
  t.equal(clock.left(), 1)
  second.destroy()
  await tick()
  t.equal(clock.left(), 0)
  take(viewers.add(SNAPSHOT))
  t.equal(clock.left(), 1)
  viewers.close()
  await tick()
  t.equal(clock.left(), 0)
  t.equal(viewers.isFull, true)
})

t.test('who does not read is cut off before it takes much memory', async t => {
  const viewers = new EventStreamClients()
  const slow = viewers.add(SNAPSHOT)
  let most = 0
  while (!slow.destroyed) {
    most = Math.max(most, slow.readableLength)
    for (let i = 0; i < 1000; i++) viewers.tell(ENDED)
    await tick()
  }
  t.ok(most > 1024 * 1024 && most < 1.1 * 1024 * 1024, String(most))
})

t.test('the page is served as the playground is', async t => {
  const app = await createApp(t)
  const page = await injectWithCookie(app, '/calls')
  t.equal(page.statusCode, 200)
  const { headers } = await injectWithCookie(app, '/')
  for (const name of ['content-type', 'content-security-policy', 'referrer-policy']) t.equal(page.headers[name], headers[name], name)
  for (const [, path] of page.payload.matchAll(/(?:src|href)="(playground\/.*?)"/g)) t.equal((await injectWithCookie(app, `/${path}`)).statusCode, 200, path!)
  t.equal((await injectWithCookie(app, '/playground/calls.html')).statusCode, 404)
  for (const url of ['/calls', '/calls/events']) {
    t.equal((await injectWithCookie(app, { url, remoteAddress: '192.0.2.7' })).statusCode, 403)
    t.equal((await injectWithCookie(app, { url, headers: { host: 'example.com' } })).statusCode, 403)
    t.equal((await injectWithCookie(app, { url, headers: { 'x-forwarded-for': '127.0.0.1' } })).statusCode, 403)
    t.equal((await injectWithCookie(app, { url, headers: { origin: 'http://example.com' } })).statusCode, 403)
  }
})

t.test('it may stand elsewhere, and be open to everybody', async t => {
  const app = await createApp(t, { options: { prefix: '/try', allowRemote: true } })
  t.match((await injectWithCookie(app, { url: '/try/calls', remoteAddress: '192.0.2.7' })).payload, '<base href="/try/">')
  const response = await request(t, app, { path: '/try/calls/events', headers: { host: 'example.com' } })
  t.equal(response.statusCode, 200)
})

t.test('calls are told as they happen, whichever line they come over', async t => {
  const app = await createApp(t)
  await app.register(async scope => {
    scope.decorate('agent', () => 'Elsewhere.')
    await scope.register(voiceAgentPlugin, { drainTimeoutMs: 0 })
  }, { prefix: '/other' })
  const viewer = await watch(t, app)
  t.match(viewer.response.headers, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
  t.match(await viewer.until('snapshot'), { live: 0, calls: [] })
  const first = await RetellCaller.dial(app)
  const second = await RetellCaller.dial(app, { path: '/other/llm-websocket' })
  await first.say('Hi')
  await second.hangUp()
  t.match(await viewer.until('call-end'), { live: 1, call: { key: 2, id: second.callId } })
  await viewer.until('turn-end', ({ key, turn }) => key === 1 && turn.reason === 'response')
  t.match(await (await watch(t, app)).until('snapshot'), { live: 1, calls: [{ key: 1, id: first.callId, turns: 2, last: [{}, {}] }], ended: [{ key: 2 }] })
  await first.hangUp()
})

t.test('nothing that was said is told, no number, and nothing that was attached', async t => {
  const app = await createApp(t, {
    async * answer (turn) {
      turn.call.state['canary'] = 'canary'
      yield filler('canary ')
      yield toolCall('canary', 'canary', { canary: 'canary' })
      yield toolResult('canary', 'canary')
      yield 'canary. '
      if (turn.reason === 'response') throw new Error('canary')
    }
  })
  const viewer = await watch(t, app)
  const call = await RetellCaller.dial(app, { callType: 'phone_call', from: '+14155550100', to: '+14155550111', metadata: { canary: 'canary' }, variables: { canary: 'canary' } })
  await call.say('canary')
  const other = await MillisCaller.dial(app, { metadata: { canary: 'canary' } })
  // As a provider would not choose it.
  const line = openCall(t, 'millis', () => 'canary')
  line.receive(millis.start('canary +14155550100', 'ses_1', { metadata: { canary: 'canary' } }))
  await line.completed('canary +14155550100')
  await call.hangUp()
  await other.hangUp()
  line.hangUp(1000)
  await viewer.until('call-end', ({ live }) => live === 0)
  const later = await watch(t, app)
  const { ended } = await later.until('snapshot')
  t.strictSame(ended.flatMap(({ last }: CallState) => last.map(({ outcome }) => outcome)).toSorted(), ['completed', 'completed', 'completed', 'error'])
  for (const text of [viewer.text(), later.text()]) t.notMatch(text, /canary|1415555/)
})

t.test('only so many look at once', async t => {
  const app = await createApp(t)
  t.equal((await request(t, app, { method: 'HEAD' })).statusCode, 404)
  const viewers = []
  for (let i = 0; i < 20; i++) viewers.push(await request(t, app))
  t.ok(viewers.every(({ statusCode }) => statusCode === 200))
  const refused = await injectWithCookie(app, '/calls/events')
  t.equal(refused.statusCode, 503)
  t.equal(refused.json().code, 'VOICE_AGENT_ERR_VIEWERS')
  viewers[0]!.destroy()
  while ((await request(t, app)).statusCode !== 200) await tick()
})

t.test('one that does not read is cut off, and the others are not', async t => {
  const app = await createApp(t)
  const gone: string[] = []
  app.addHook('onRequest', async ({ headers }, { raw }) => { if (headers['x-slow'] === 'yes') raw.on('close', () => gone.push('slow')) })
  const slow = await request(t, app, { headers: { 'x-slow': 'yes' } })
  slow.on('error', () => {}).pause()
  const viewer = await watch(t, app)
  const call = fakeCall('call_1')
  callStartChannel.publish({ call })
  let turns = 0
  while (gone.length === 0) {
    for (let i = 0; i < 1000; i++) publishTurn(call, { turnId: ++turns })
    // What reads keeps up.
    await viewer.until('turn-end', ({ turn }) => turn.id === turns)
    viewer.events.length = 0
  }
  publishTurn(call, { turnId: 'abc' })
  t.match(await viewer.until('turn-end', ({ turn }) => turn.id === 'abc'), { key: 1 })
  t.equal(viewer.events.filter(({ type }) => type === 'snapshot').length, 0)
})

t.test('nobody who looks keeps the app from closing, and calls are seen to their end', async t => {
  const app = await createApp(t, { drainTimeoutMs: 60_000 })
  const held = deferred()
  const asked = deferred()
  app.addHook('onRequest', async ({ headers }) => {
    if (headers['x-late'] !== 'yes') return
    asked.resolve()
    await held.promise
  })
  const viewer = await watch(t, app)
  const cut = new Promise(resolve => viewer.response.on('close', resolve))
  const dead = await request(t, app)
  dead.on('error', () => {}).pause()
  const late = request(t, app, { headers: { 'x-late': 'yes' } })
  await asked.promise
  const call = await RetellCaller.dial(app)
  const closing = app.close()
  await call.say('One last thing')
  await call.hangUp()
  t.match(await viewer.until('call-end'), { live: 0, call: { id: call.callId, turns: 2 } })
  await cut
  held.resolve()
  t.equal((await late).statusCode, 503)
  await closing
  t.strictSame(CHANNELS.map(({ hasSubscribers }) => hasSubscribers), [false, false, false, false, false])
})
