import { context, metrics, propagation, SpanKind, SpanStatusCode, trace, type Attributes } from '@opentelemetry/api'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader, type DataPoint, type Histogram } from '@opentelemetry/sdk-metrics'
import { NodeTracerProvider, type ReadableSpan, type Sampler, type SpanProcessor } from '@opentelemetry/sdk-trace-node'
import type { Test } from 'tap'

/** A span and what happened within, without what differs from run to run. */
export interface SpanTree {
  name: string
  kind: string
  attributes: Attributes
  /** Where it failed; with its message, if it has one. */
  error?: string
  children: SpanTree[]
}

// Times and ports; and how a model's words came in, which the network decides.
const VARIES = /\.time_to_|^server\.port$|\.turn\.(tokens|frames)$/

/** OpenTelemetry's SDK, in place of an earlier one, until the test ends. */
export function useTelemetry (t: Test, { sampler, ...processor }: { sampler?: Sampler } & Partial<SpanProcessor> = {}) {
  // In the order in which they began.
  const started: ReadableSpan[] = []
  const done = async (): Promise<void> => {}
  const tracing = new NodeTracerProvider({
    spanProcessors: [{ onStart: span => { started.push(span) }, onEnd () {}, forceFlush: done, shutdown: done, ...processor }],
    ...(sampler && { sampler })
  })
  for (const api of [trace, context, propagation, metrics]) api.disable()
  tracing.register()
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 })
  const metering = new MeterProvider({ readers: [reader] })
  metrics.setGlobalMeterProvider(metering)
  const stop = async (): Promise<void> => {
    for (const api of [trace, context, propagation, metrics]) api.disable()
    await tracing.shutdown()
    await metering.shutdown()
  }
  t.teardown(stop)
  return {
    stop,
    /** All spans, in the order in which they began. */
    spans: started as readonly ReadableSpan[],
    /** The trees of those that are over. */
    trees: () => treesOf(started.filter(({ ended }) => ended)),
    /** What was measured, by the metric's name: each with its attributes, and its value or the number of values. */
    async metrics (): Promise<Record<string, Array<[Attributes, number]>>> {
      const { resourceMetrics } = await reader.collect()
      return Object.fromEntries(resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics.map(({ descriptor, dataPoints }) =>
        [descriptor.name, (dataPoints as Array<DataPoint<number | Histogram>>).map(({ attributes, value }): [Attributes, number] => [attributes, typeof value === 'number' ? value : value.count])])))
    }
  }
}

function treesOf (spans: readonly ReadableSpan[]): SpanTree[] {
  const ids = new Set(spans.map(span => span.spanContext().spanId))
  const below = (parent: string | undefined): SpanTree[] => spans
    .filter(({ parentSpanContext }) => parent === undefined ? !ids.has(parentSpanContext?.spanId ?? '') : parentSpanContext?.spanId === parent)
    .map(span => treeOf(span, below(span.spanContext().spanId)))
  return below(undefined)
}

function treeOf ({ name, kind, attributes, status }: ReadableSpan, children: SpanTree[]): SpanTree {
  const steady = Object.entries(attributes).map(([key, value]) => [key, VARIES.test(key) ? typeof value : value])
  return { name, kind: SpanKind[kind], attributes: Object.fromEntries(steady), ...(status.code === SpanStatusCode.ERROR && { error: status.message ?? '' }), children }
}
