/**
 * OpenTelemetry's own SDK: traces, wherever `OTEL_*` says, and metrics on `/metrics`, with METRICS_TOKEN. The plugin finds it by
 * itself. See docs/telemetry.md.
 */
import { setTimeout } from 'node:timers/promises'
import { diag, DiagLogLevel } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici'
import { NodeSDK } from '@opentelemetry/sdk-node'
import createError from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { bearerCheck } from 'fastify-voice-agent/control'
import fp from 'fastify-plugin'

/** The bearer token is not METRICS_TOKEN. */
const UnauthorizedError = createError<[]>('METRICS_ERR_UNAUTHORIZED', 'Unauthorized', 401)

/** A collector that is away is not waited for: the process is expected to end. */
const STOP_TIMEOUT_MS = 2_000

/** What {@link startTelemetry} started. */
export interface Telemetry {
  /** Serves `/metrics` where METRICS_TOKEN is set, and logs what cannot be exported. To be registered by the app. */
  plugin (app: FastifyInstance): Promise<void>
  /** Sends what is still to be sent, for at most 2 s. To be called when the app is closed. Rejects where nobody takes it. */
  stop (): Promise<void>
}

/** Starts it, before the app is created. Traces are exported where a variable says to whom. */
export function startTelemetry (): Telemetry {
  const { OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SERVICE_NAME = 'voice-agent', OTEL_SDK_DISABLED, METRICS_TOKEN } = process.env
  const isTraced = Boolean(OTEL_TRACES_EXPORTER || OTEL_EXPORTER_OTLP_ENDPOINT || OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
  const prometheus = new PrometheusExporter({ preventServerStart: true, withoutScopeInfo: true, withoutTargetInfo: true })
  const sdk = new NodeSDK({
    serviceName: OTEL_SERVICE_NAME,
    metricReaders: [prometheus],
    logRecordProcessors: [],
    // So that a model's server is told which trace its request belongs to.
    instrumentations: isTraced ? [new UndiciInstrumentation()] : [],
    // Without them the SDK would look for a collector on this machine.
    ...(!isTraced && { spanProcessors: [] })
  })
  sdk.start()

  async function telemetry (app: FastifyInstance): Promise<void> {
    const warn = (message: string, ...details: unknown[]): void => app.log.warn({ details }, message)
    diag.setLogger({ error: warn, warn, info: warn, debug: warn, verbose: warn }, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
    // Without a token there is nothing to know Prometheus by: a proxy on this machine has the same address for everybody.
    if (OTEL_SDK_DISABLED === 'true' || !METRICS_TOKEN) return
    const knowsToken = bearerCheck(METRICS_TOKEN)
    app.get('/metrics', { logLevel: 'warn' }, async (request, reply) => {
      if (!knowsToken(request)) throw new UnauthorizedError()
      reply.hijack()
      prometheus.getMetricsRequestHandler(request.raw, reply.raw)
    })
  }

  return {
    plugin: fp(telemetry, { name: 'telemetry' }),
    stop: () => Promise.race([sdk.shutdown(), setTimeout(STOP_TIMEOUT_MS, undefined, { ref: false })])
  }
}
