/**
 * The plugin, and all that it tells OpenTelemetry: every span is sent to a collector, and every metric is there to be read.
 * With INSTRUMENTED also what others tell of the requests to the model, as in the example app.
 */
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { NodeSDK } from '@opentelemetry/sdk-node'

new NodeSDK({
  metricReaders: [new PrometheusExporter({ preventServerStart: true })],
  logRecordProcessors: [],
  instrumentations: process.env['INSTRUMENTED'] === undefined ? [] : [new UndiciInstrumentation()]
}).start()
await import('./plugin.js')
