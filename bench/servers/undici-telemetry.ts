/**
 * What an expert writes by hand, and the least that OpenTelemetry is to be told of it: two spans a turn, with some of the
 * plugin's attributes, and four measurements. As with the plugin, every span is sent and every metric is kept.
 */
import { context, metrics, SpanKind, trace, type Histogram } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { MODEL, serve } from './by-hand.js'
import { ask } from './undici-ask.js'

new NodeSDK({ metricReaders: [new PrometheusExporter({ preventServerStart: true })], logRecordProcessors: [], instrumentations: [] }).start()

const WAITS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10]
const TURN = { 'voice_agent.provider': 'retell', 'voice_agent.turn.reason': 'response' }
const CHAT = { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'openai', 'gen_ai.request.model': MODEL }

const tracer = trace.getTracer('by-hand')
const meter = metrics.getMeter('by-hand')
const [turnDuration, firstToken, chatDuration, firstChunk] = ['turn', 'first_token', 'chat', 'first_chunk'].map(inSeconds) as [Histogram, Histogram, Histogram, Histogram]

serve(async (messages, signal, say) => {
  const since = performance.now()
  const turn = tracer.startSpan('invoke_agent', { attributes: { ...TURN, 'gen_ai.operation.name': 'invoke_agent' } })
  const within = trace.setSpan(context.active(), turn)
  const chat = tracer.startSpan('chat', { kind: SpanKind.CLIENT, attributes: CHAT }, within)
  let firstS: number | undefined
  let tokens = 0
  try {
    await context.with(trace.setSpan(within, chat), () => ask(messages, signal, token => {
      firstS ??= (performance.now() - since) / 1000
      tokens++
      say(token)
    }))
  } finally {
    const seconds = (performance.now() - since) / 1000
    chat.setAttributes({ 'gen_ai.response.time_to_first_chunk': firstS }).end()
    turn.setAttributes({ 'voice_agent.turn.outcome': signal.aborted ? 'superseded' : 'completed', 'voice_agent.turn.time_to_first_token': firstS, 'voice_agent.turn.tokens': tokens }).end()
    turnDuration.record(seconds, TURN)
    chatDuration.record(seconds, CHAT)
    if (firstS !== undefined) {
      firstToken.record(firstS, TURN)
      firstChunk.record(firstS, CHAT)
    }
  }
})

function inSeconds (name: string): Histogram {
  return meter.createHistogram(name, { unit: 's', advice: { explicitBucketBoundaries: WAITS } })
}
