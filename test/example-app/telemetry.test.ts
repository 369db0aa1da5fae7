import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { context, diag, metrics, propagation, trace } from '@opentelemetry/api'
import t, { type Test } from 'tap'
import { createApp } from '../../example-app/app.js'
import { startTelemetry } from '../../example-app/telemetry.js'
import { RetellCaller } from '../../lib/testing/index.js'
import type { LogLine } from '../helpers/app.js'
import { startCollector, type WireSpan } from '../helpers/collector.js'
import { setEnv } from '../helpers/env.js'
import { noPrometheusClient, parseMetrics } from '../helpers/prometheus.js'

/** The example app with its telemetry, in an environment of these variables. */
async function setup (t: Test, variables: Record<string, string> = {}) {
  setEnv(t)
  for (const [name, value] of Object.entries({ DRAIN_TIMEOUT_MS: '0', ...variables })) {
    process.env[name] = value
    t.teardown(() => { delete process.env[name] })
  }
  const telemetry = startTelemetry()
  const logs: LogLine[] = []
  const app = createApp({ logger: { stream: { write: line => { logs.push(JSON.parse(line)) } } } })
  app.register(telemetry.plugin)
  t.teardown(async () => {
    await app.close()
    for (const api of [trace, context, metrics, propagation, diag]) api.disable()
  })
  await app.ready()
  const scrape = (headers: Record<string, string> = {}) => app.inject({ url: '/metrics', headers: { host: 'localhost:3000', ...headers } })
  return { app, logs, telemetry, scrape }
}

/** A collector that takes everything, and never answers. */
async function startSilence (t: Test) {
  const sockets = new Set<Socket>()
  const server = createServer(socket => { sockets.add(socket) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = (): void => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(close)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close }
}

/** Has a call, which goes on. */
async function haveCall (app: Awaited<ReturnType<typeof setup>>['app']): Promise<void> {
  const call = await RetellCaller.dial(app)
  await call.say('I need an appointment')
  await call.say('Monday')
}

t.test('traces go where a variable says, the requests to the model within', async t => {
  const { url, spans, resource } = await startCollector(t)
  const { app, telemetry } = await setup(t, { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_SERVICE_NAME: 'desk' })
  await haveCall(app)
  await app.close()
  await telemetry.stop()
  t.equal(resource()['service.name'], 'desk')
  const path = ({ name, parentSpanId }: WireSpan): string => {
    const parent = spans().find(({ spanId }) => spanId === parentSpanId)
    return `${parent === undefined ? '' : path(parent)}/${name}`
  }
  t.strictSame(new Set(spans().map(path)), new Set([
    '/call', '/call/invoke_agent', '/call/invoke_agent/chat gpt-4.1-mini', '/call/invoke_agent/chat gpt-4.1-mini/POST', '/call/invoke_agent/execute_tool find_slot'
  ]))
})

t.test('metrics are read by Prometheus, and by nobody else', { skip: noPrometheusClient }, async t => {
  const { app, telemetry, scrape } = await setup(t, { METRICS_TOKEN: 'token-canary' })
  t.teardown(() => telemetry.stop())
  await haveCall(app)
  const { body, headers } = await scrape({ authorization: 'Bearer token-canary' })
  t.match(headers['content-type'], /^text\/plain/)
  const families = parseMetrics(body)
  const valueOf = (name: string, labels = {}) => families.flatMap(({ samples }) => samples)
    .filter(sample => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0)
  t.match(families.find(({ name }) => name === 'voice_agent_turns'), { type: 'counter', help: 'Turns that are over, by how they ended.' })
  t.equal(valueOf('voice_agent_turns_total', { voice_agent_turn_outcome: 'completed', voice_agent_provider: 'retell' }), 3)
  t.equal(valueOf('voice_agent_active_calls', { voice_agent_provider: 'retell' }), 1)
  t.equal(valueOf('voice_agent_turn_time_to_first_token_count'), 3)
  t.equal(valueOf('voice_agent_turn_time_to_first_token_bucket', { le: '+Inf' }), 3)
  t.equal(valueOf('gen_ai_execute_tool_duration_count', { gen_ai_tool_name: 'find_slot' }), 1)

  for (const response of [await scrape(), await scrape({ authorization: 'Bearer other' }), await scrape({ authorization: 'token-canary' })]) {
    t.equal(response.statusCode, 401)
    t.notMatch(response.body, /voice_agent/)
  }
})

t.test('without METRICS_TOKEN there are no metrics: what runs on this machine may speak for anybody', async t => {
  const { telemetry, scrape } = await setup(t)
  t.teardown(() => telemetry.stop())
  t.equal((await scrape()).statusCode, 404)
})

t.test('a collector that is away is told of, and not waited for', async t => {
  const { url, close } = await startSilence(t)
  const { app, telemetry, logs } = await setup(t, { OTEL_EXPORTER_OTLP_ENDPOINT: url })
  await haveCall(app)
  await app.close()
  await t.resolves(telemetry.stop(), 'an export that is waited for fails')
  diag.error('an export failed', 'ECONNREFUSED')
  t.match(logs.at(-1), { level: 40, msg: 'an export failed', details: ['ECONNREFUSED'] })
  close()
})

t.test('without an SDK there are no metrics', async t => {
  const { telemetry, scrape } = await setup(t, { OTEL_SDK_DISABLED: 'true', METRICS_TOKEN: 'token-canary' })
  t.teardown(() => telemetry.stop())
  t.equal((await scrape()).statusCode, 404)
})
