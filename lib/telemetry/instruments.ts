/**
 * Metrics: durations and outcomes of calls, turns, tools and model requests.
 */
import { createNoopMeter, metrics, ValueType, type Attributes, type Counter, type Histogram, type Meter } from '@opentelemetry/api'
import type { Provider } from '../contract/agent.js'
import { VERSION } from '../contract/version.js'
import { noRefusals, type Refusal } from './refusals.js'
import type { CallRecord, TurnReport } from './report.js'
import { errorType, quietly } from './failure.js'

/** The instrumentation scope of spans and metrics. */
export const SCOPE = 'fastify-voice-agent'

/** In s. Callers notice a wait of 0.5 s, and hang up after a few seconds. */
const WAITS = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10]
const TURNS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]
const CALLS = [5, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200]
/** From the semantic conventions for generative AI. */
const OPERATIONS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864]

// Counted per process, as metrics are: an app may register the plugin several times.
const activeCalls: Counts = new Map()
const activeTurns: Counts = new Map()

type Counts = Map<Provider, number>

/** Starts a provider's counts at 0, so that they are reported before the first call. */
export function reportProvider (provider: Provider): void {
  for (const counts of [activeCalls, activeTurns]) count(counts, provider, 0)
}

function count (counts: Counts, provider: Provider, change: number): void {
  counts.set(provider, (counts.get(provider) ?? 0) + change)
}

/** @returns undefined if the app has no SDK for metrics: nothing is recorded */
export function openInstruments (): Instruments | undefined {
  const meter = metrics.getMeter(SCOPE, VERSION)
  return meter === createNoopMeter() ? undefined : new Instruments(meter)
}

/** Records the metrics. Times are given in ms and recorded in s. */
export class Instruments {
  readonly #callDuration: Histogram
  readonly #reconnects: Counter
  readonly #malformedFrames: Counter
  readonly #refusals: Counter
  readonly #clusterFailures: Counter
  readonly #turns: Counter
  readonly #turnDuration: Histogram
  readonly #firstToken: Histogram
  readonly #firstSentence: Histogram
  readonly #operationDuration: Histogram
  readonly #firstChunk: Histogram
  readonly #tokenUsage: Histogram
  readonly #toolDuration: Histogram

  constructor (meter: Meter) {
    const seconds = (name: string, description: string, boundaries: number[]): Histogram =>
      meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: boundaries } })
    const counter = (name: string, description: string, unit: string): Counter =>
      meter.createCounter(name, { description, unit, valueType: ValueType.INT })

    const active = (name: string, description: string, unit: string, counts: Counts): void => {
      meter.createObservableUpDownCounter(name, { description, unit, valueType: ValueType.INT }).addCallback(result => {
        for (const [provider, count] of counts) result.observe(count, providerOf({ provider }))
      })
    }

    active('voice_agent.active_calls', 'Calls that are live.', '{call}', activeCalls)
    active('voice_agent.active_turns', 'Turns whose agent is at work.', '{turn}', activeTurns)
    this.#callDuration = seconds('voice_agent.call.duration', 'How long a call took.', CALLS)
    this.#reconnects = counter('voice_agent.reconnects', 'How often a provider\'s connection broke and it dialled again.', '{reconnect}')
    this.#malformedFrames = counter('voice_agent.malformed_frames', 'Frames that broke the protocol and were ignored.', '{frame}')
    this.#refusals = counter('voice_agent.refusals', 'Connections and calls that were refused.', '{refusal}')
    this.#clusterFailures = counter('voice_agent.cluster.failures', 'Operations of the cluster that failed.', '{operation}')
    this.#turns = counter('voice_agent.turns', 'Turns that are over, by how they ended.', '{turn}')
    this.#turnDuration = seconds('voice_agent.turn.duration', 'How long a turn took.', TURNS)
    this.#firstToken = seconds(
      'voice_agent.turn.time_to_first_token', 'From the provider\'s request to the agent\'s first word or tool call.', WAITS
    )
    this.#firstSentence = seconds(
      'voice_agent.turn.time_to_first_sentence',
      'From the provider\'s request to the end of the first sentence, where voices begin to speak.',
      WAITS
    )
    this.#operationDuration = seconds('gen_ai.client.operation.duration', 'How long a request to a model took.', OPERATIONS)
    this.#firstChunk = seconds(
      'gen_ai.client.operation.time_to_first_chunk', 'From a request to a model to the first piece of its answer.', OPERATIONS
    )
    this.#tokenUsage = meter.createHistogram('gen_ai.client.token.usage', {
      description: 'Tokens of a model request, as the server reports them.', unit: '{token}', advice: { explicitBucketBoundaries: TOKENS }
    })
    this.#toolDuration = seconds('gen_ai.execute_tool.duration', 'How long a tool ran.', OPERATIONS)
    // A counter starts at 0, so that its first refusal is seen as an increase.
    for (const reason of Object.keys(noRefusals()) as Refusal[]) this.#refusals.add(0, { 'voice_agent.refusal': reason })
  }

  callStarted ({ provider }: Pick<CallRecord, 'provider'>): void {
    count(activeCalls, provider, 1)
  }

  callEnded (record: CallRecord): void {
    const attributes = providerOf(record)
    count(activeCalls, record.provider, -1)
    quietly(() => {
      this.#callDuration.record(record.durationMs / 1_000, attributes)
      if (record.reconnects > 0) this.#reconnects.add(record.reconnects, attributes)
      if (record.malformedFrames > 0) this.#malformedFrames.add(record.malformedFrames, attributes)
    })
  }

  turnStarted ({ provider }: Pick<CallRecord, 'provider'>): void {
    count(activeTurns, provider, 1)
  }

  turnEnded (report: TurnReport): void {
    const { reason, outcome, error, durationMs, firstTokenMs, firstSentenceMs } = report
    const attributes = { ...providerOf(report), 'voice_agent.turn.reason': reason }
    count(activeTurns, report.provider, -1)
    const hasFailed = outcome === 'error' || outcome === 'deadline'
    quietly(() => {
      this.#turns.add(1, { ...attributes, 'voice_agent.turn.outcome': outcome, ...(hasFailed && { 'error.type': errorType(error) }) })
      this.#turnDuration.record(durationMs / 1_000, attributes)
      if (firstTokenMs !== undefined) this.#firstToken.record(firstTokenMs / 1_000, attributes)
      if (firstSentenceMs !== undefined) this.#firstSentence.record(firstSentenceMs / 1_000, attributes)
    })
  }

  refused (reason: Refusal): void {
    quietly(() => { this.#refusals.add(1, { 'voice_agent.refusal': reason }) })
  }

  clusterFailed (operation: string): void {
    quietly(() => { this.#clusterFailures.add(1, { 'voice_agent.cluster.operation': operation }) })
  }

  modelBegan (ms: number, attributes: Attributes): void {
    quietly(() => { this.#firstChunk.record(ms / 1_000, attributes) })
  }

  modelEnded (
    ms: number, attributes: Attributes, tokens: { readonly input?: number | undefined, readonly output?: number | undefined }
  ): void {
    quietly(() => {
      this.#operationDuration.record(ms / 1_000, attributes)
      for (const type of ['input', 'output'] as const) {
        if (tokens[type] !== undefined) this.#tokenUsage.record(tokens[type], { ...attributes, 'gen_ai.token.type': type })
      }
    })
  }

  toolEnded (ms: number, attributes: Attributes): void {
    quietly(() => { this.#toolDuration.record(ms / 1_000, attributes) })
  }
}

function providerOf ({ provider }: { readonly provider: string }): Attributes {
  return { 'voice_agent.provider': provider }
}
