/**
 * What OpenTelemetry is told of a request to a model.
 */
import { context, SpanKind, type Attributes } from '@opentelemetry/api'
import type { Call } from '../agent.js'
import { inputContent, outputContent, type Message } from './content.js'
import { errorType } from './failure.js'
import { isFailure, Operation } from './operation.js'
import { telemetryOf, type CallTelemetry } from './telemetry.js'

/** Whom it goes to, and how. */
export interface ModelServer {
  /** As the conventions call it: whose interface it speaks. */
  readonly provider: string
  readonly model: string
  readonly address: string
  readonly port: number
  readonly temperature?: number | undefined
  readonly maxTokens?: number | undefined
}

/** What came back. */
export interface ModelResponse {
  /** As its server names it; undefined where it does not. */
  readonly model: string | undefined
  readonly finish: string | undefined
  readonly inputTokens?: number
  readonly outputTokens?: number
  /** What it said and called; not looked at where nobody is to be shown it. */
  message (): Message
}

/** One request. Ended by whoever reads the answer. */
export class ModelRequestTelemetry {
  readonly #telemetry: CallTelemetry
  readonly #operation: Operation
  readonly #shared: Attributes
  readonly #since = performance.now()
  #hasBegun = false
  #isOver = false

  constructor (telemetry: CallTelemetry, server: ModelServer, messages: readonly Message[]) {
    this.#telemetry = telemetry
    const { provider, model, address, port, temperature, maxTokens } = server
    this.#shared = {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': provider,
      'gen_ai.request.model': model,
      'server.address': address,
      'server.port': port
    }
    const attributes = {
      ...this.#shared,
      'gen_ai.conversation.id': telemetry.call.id,
      ...(temperature !== undefined && { 'gen_ai.request.temperature': temperature }),
      ...(maxTokens !== undefined && { 'gen_ai.request.max_tokens': maxTokens }),
      ...(telemetry.show !== undefined && inputContent(messages, telemetry.show))
    }
    const parent = context.active()
    this.#operation = new Operation(telemetry.tracer.startSpan(`chat ${model}`, { kind: SpanKind.CLIENT, attributes }, parent), parent)
  }

  /** Sends it: the span of an instrumented HTTP client is this one's child. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** A piece of the answer is in. */
  received (): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    this.#telemetry.instruments?.modelBegan(performance.now() - this.#since, this.#shared)
  }

  /** The answer is read, or nobody wants it any more. Does nothing the second time. */
  end (response: ModelResponse, error: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    const { model, finish, inputTokens, outputTokens } = response
    const { show, instruments } = this.#telemetry
    this.#operation.end(() => ({
      ...(model !== undefined && { 'gen_ai.response.model': model }),
      ...(finish !== undefined && { 'gen_ai.response.finish_reasons': [finish] }),
      ...(inputTokens !== undefined && { 'gen_ai.usage.input_tokens': inputTokens }),
      ...(outputTokens !== undefined && { 'gen_ai.usage.output_tokens': outputTokens }),
      ...(show !== undefined && outputContent(response.message(), finish ?? 'unknown', show))
    }), error, show)
    instruments?.modelEnded(performance.now() - this.#since, {
      ...this.#shared,
      ...(model !== undefined && { 'gen_ai.response.model': model }),
      ...(isFailure(error) && { 'error.type': errorType(error) })
    }, { input: inputTokens, output: outputTokens })
  }
}

/** Undefined where nobody is to be told. */
export function startModelRequest (call: Call, server: ModelServer, messages: readonly Message[]): ModelRequestTelemetry | undefined {
  const telemetry = telemetryOf(call)
  return telemetry && new ModelRequestTelemetry(telemetry, server, messages)
}
