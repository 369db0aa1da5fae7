/**
 * The spans that @fastify/otel keeps of requests: that of an upgraded request ends at the upgrade.
 */
import { readFileSync } from 'node:fs'
import { runInThisContext } from 'node:vm'
import { FastifyOtelInstrumentation } from '@fastify/otel'
import websocket from '@fastify/websocket'
import { diag, DiagLogLevel } from '@opentelemetry/api'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import voiceAgentPlugin from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { AT_ONCE, createApp } from '../helpers/app.js'
import { tick } from '../helpers/call.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { useTelemetry } from '../helpers/telemetry.js'
import { upgrade } from '../helpers/upgrade.js'

setEnv(t)

type Otel = ConstructorParameters<typeof FastifyOtelInstrumentation>[0]
type Register = (app: FastifyInstance) => Promise<void>

async function plugin (app: FastifyInstance): Promise<void> {
  await app.register(voiceAgentPlugin, { ...AT_ONCE, retell: { allowlist: '*' }, millis: { allowlist: '192.0.2.1' } })
}

/** An app with @fastify/otel in front of everything else. */
async function start (t: Test, options: Otel = {}, register: Register = plugin) {
  const ends: ReadableSpan[] = []
  const { spans } = useTelemetry(t, { onEnd: span => { ends.push(span) } })
  const otel = new FastifyOtelInstrumentation(options)
  t.teardown(() => otel.disable())
  const { app } = createApp(t)
  if (options.registerOnInitialization !== true) await app.register(otel.plugin())
  await register(app)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  return { app, url, spans, ends }
}

/** What OpenTelemetry complains of, from now on. */
function diagnostics (t: Test): unknown[][] {
  const told: unknown[][] = []
  const tell = (...words: unknown[]): void => { told.push(words) }
  const logger = { error: tell, warn: tell, info: tell, debug: tell, verbose: tell }
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
  t.teardown(() => diag.disable())
  return told
}

/** The status of an ended request, by the spans that ended. */
async function ended (ends: readonly ReadableSpan[], path: string): Promise<unknown> {
  const find = (): ReadableSpan | undefined => ends.find(({ name, attributes }) => name === 'request' && attributes['url.path'] === path)
  while (find() === undefined) await tick()
  return find()!.attributes['http.response.status_code']
}

const LAYOUTS: Record<string, [options: Otel, register: Register]> = {
  'registered as a plugin': [{}, plugin],
  'registered as each app is made': [{ registerOnInitialization: true }, plugin],
  'beside the app\'s own @fastify/websocket': [{}, async app => {
    await app.register(websocket)
    await plugin(app)
  }]
}

for (const [layout, [options, register]] of Object.entries(LAYOUTS)) {
  t.test(`with @fastify/otel ${layout}, the request of a call ends at the upgrade, once, and the call's span is below it`, async t => {
    const told = diagnostics(t)
    const { app, url, spans, ends } = await start(t, options, register)
    const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
    t.equal(await ended(ends, '/llm-websocket/call_1'), 101)
    caller.send(retell.details())
    await caller.response(0)
    const call = spans.find(({ name }) => name === 'call')!
    t.equal(call.ended, false, 'the call goes on')

    const above = (span: ReadableSpan): ReadableSpan[] => spans
      .filter(other => other.spanContext().spanId === span.parentSpanContext?.spanId)
      .flatMap(parent => [parent, ...above(parent)])
    t.strictSame(above(call).map(({ name }) => name.replace(/ - .*/, '')), ['handler', 'request'])

    caller.socket.close(1000)
    await app.close()
    t.equal(call.ended, true)
    t.strictSame(spans.filter(({ ended }) => !ended).map(({ name }) => name), [])
    t.strictSame(told, [], 'none ended twice')
  })
}

t.test('the request of a handshake that is refused ends, whatever refuses it', async t => {
  const { url, ends } = await start(t)
  const asked: Array<[path: string, headers: Record<string, string>, told: number, status: number | undefined]> = [
    ['/millis', {}, 403, 403],
    ['/llm-websocket', {}, 400, 400],
    ['/nowhere', {}, 404, 404],
    // ws answers past Fastify.
    ['/llm-websocket/call_1', { 'sec-websocket-key': 'none' }, 400, undefined]
  ]
  for (const [path, headers, told, status] of asked) {
    t.equal((await upgrade(t, url + path, headers)).status, told, path)
    t.equal(await ended(ends, path), status, path)
  }
})

t.test('the request of a call from the playground ends, too', async t => {
  const token = 'playground-token'
  const { url, ends } = await start(t, {}, async app => { await app.register(playground, { enabled: true, token }) })
  await dialUrl(t, `${url}/playground/call`, { cookie: `voice_agent_playground_${new URL(url).port}=${token}` })
  t.equal(await ended(ends, '/playground/call'), 101)
})

t.test('the hook in docs/other-plugins.md keeps secrets and ids of calls out of the spans of requests', async t => {
  const [, hook] = /requestHook: (.+)/.exec(readFileSync('docs/other-plugins.md', 'utf8'))!
  const requestHook = runInThisContext(`(${hook})`) as NonNullable<NonNullable<Otel>['requestHook']>
  const { url, spans, ends } = await start(t, { requestHook })
  await dialUrl(t, `${url}/llm-websocket/call_1`)
  t.equal(await ended(ends, '/llm-websocket/:call_id'), 101)
  t.equal((await fetch(`${url}/nowhere`)).status, 404)
  const requests = spans.filter(({ name }) => name === 'request')
  t.strictSame(requests.map(({ attributes }) => attributes['url.path']), ['/llm-websocket/:call_id', ''])
})

t.test('calls that the app does not have traced are taken', async t => {
  const { url, spans } = await start(t, { ignorePaths: ({ url }) => url.startsWith('/llm-websocket') })
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  t.strictSame(spans.map(({ name }) => name), ['call', 'invoke_agent'])
})

t.test('what else an app decorates as request.opentelemetry is left alone, also where it throws', async t => {
  const told = diagnostics(t)
  const { app } = createApp(t)
  app.decorateRequest('opentelemetry', () => { throw new TypeError('not yours') })
  await plugin(app)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const caller = await dialUrl(t, `${url}/llm-websocket/call_1`)
  t.match(await caller.next(), { response_type: 'config' })
  t.strictSame(told, [['fastify-voice-agent: telemetry failed:', 'TypeError']])
})
