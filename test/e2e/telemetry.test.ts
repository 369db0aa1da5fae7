/**
 * OpenTelemetry from end to end: with the plugin, over sockets, beside the instrumentations of others.
 */
import { context, trace } from '@opentelemetry/api'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import { startScriptedModel } from '../../lib/testing/scripted-model.js'
import { AT_ONCE, build, createApp, deferred } from '../helpers/app.js'
import { dial, dialRetell, dialUrl, retell } from '../helpers/caller.js'
import { setEnv } from '../helpers/env.js'
import { useTelemetry } from '../helpers/telemetry.js'

/** Has one call, of one turn, with an app whose agent asks a model; resolves when it is over. */
async function haveCall (t: Test, options: VoiceAgentOptions = {}, prepare = (_app: FastifyInstance): void => {}) {
  const model = await startScriptedModel()
  const { app } = createApp(t)
  t.teardown(() => model.close())
  const ended = deferred()
  prepare(app)
  app.register(voiceAgentPlugin, {
    ...AT_ONCE, retell: { allowlist: '*' }, openai: { baseURL: model.url, greeting: '' }, onCallEnd: () => { ended.resolve() }, ...options
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  model.next('At nine.')
  const caller = await dialUrl(t, `${url.replace('http', 'ws')}/llm-websocket/call_1`)
  caller.send(retell.details(), retell.request(1, 'When?'))
  await caller.response(1)
  caller.socket.close(1000)
  await ended.promise
  return { model }
}

t.test('an instrumented HTTP client nests under the request to the model, which is told of the trace', async t => {
  const { trees, spans } = useTelemetry(t)
  const instrumentation = new UndiciInstrumentation()
  t.teardown(() => instrumentation.disable())
  const { model } = await haveCall(t)
  t.match(trees(), [{ name: 'call', children: [{}, { name: 'invoke_agent', children: [{ name: 'chat gpt-4.1-mini', children: [{ name: 'POST', kind: 'CLIENT' }] }] }] }])
  const post = spans.find(({ name }) => name === 'POST')!.spanContext()
  t.equal(model.requests[0]!.headers['traceparent'], `00-${post.traceId}-${post.spanId}-01`)
})

t.test('a call nests under what the upgrade was traced by', async t => {
  const { trees } = useTelemetry(t)
  await haveCall(t, {}, app => {
    app.addHook('onRequest', (_request, _reply, done) => {
      const span = trace.getTracer('http').startSpan('GET')
      context.with(trace.setSpan(context.active(), span), done)
      span.end()
    })
  })
  t.match(trees(), [{ name: 'GET', children: [{ name: 'call', children: [{ name: 'invoke_agent' }, { name: 'invoke_agent' }] }] }])
})

t.test('content is shown where it is asked for, and passes through redact', async t => {
  const shownBy = async (t: Test, options: VoiceAgentOptions): Promise<unknown> => {
    const { spans } = useTelemetry(t)
    await haveCall(t, options)
    return spans.find(({ name }) => name.startsWith('chat'))!.attributes['gen_ai.output.messages']
  }
  const shown = (content: string): string => JSON.stringify([{ role: 'assistant', parts: [{ type: 'text', content }], finish_reason: 'stop' }])
  const VARIABLE = 'OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT'
  const failing = (): string => { throw new Error('At nine.') }
  for (const [value, options, expected] of [
    ['', {}, undefined],
    ['no_content', {}, undefined],
    ['EVENT_ONLY', {}, undefined],
    ['true', {}, shown('At nine.')],
    ['SPAN_ONLY', {}, shown('At nine.')],
    ['span_and_event', { redact: (text: string) => text.replace('nine', '***') }, shown('At ***.')],
    ['true', { telemetry: { content: false } }, undefined],
    ['', { telemetry: { content: true }, redact: failing }, shown('[redacted]')]
  ] as Array<[string, VoiceAgentOptions, string | undefined]>) {
    await t.test(`${value} ${JSON.stringify(options)}`, async t => {
      setEnv(t, { [VARIABLE]: value })
      t.equal(await shownBy(t, options), expected)
    })
  }
})

t.test('metrics are there before the first call, and tell who was refused', async t => {
  const { metrics } = useTelemetry(t)
  const { app } = await build(t, () => 'Hello.', { millis: { allowlist: '192.0.2.1' }, limits: { maxTurnsPerCall: 1 }, admittedCallsOnly: true })
  t.strictSame((await metrics())['voice_agent.active_calls'], [[{ 'voice_agent.provider': 'retell' }, 0], [{ 'voice_agent.provider': 'millis' }, 0]])
  await t.rejects(dial(t, app, '/millis'))
  await t.rejects(dial(t, app, '/llm-websocket/call_2'))
  app.admitCall('call_1')
  const caller = await dialRetell(t, app)
  caller.send(retell.details(), retell.request(1, 'Hi'), retell.request(2, 'Hi'))
  await caller.response(2)
  t.strictSame((await metrics())['voice_agent.refusals']!.filter(([, count]) => count > 0), [[{ 'voice_agent.refusal': 'address' }, 1], [{ 'voice_agent.refusal': 'call' }, 1], [{ 'voice_agent.refusal': 'maxTurnsPerCall' }, 1]])
})
