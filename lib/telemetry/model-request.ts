/**
 * The span and the metrics of a request to a model.
 */
import { context, SpanKind, type Attributes } from '@opentelemetry/api'
import type { Call } from '../contract/agent.js'
import { inputContent, outputContent, type Message } from './content.js'
import { endingOf, Operation, startSpan } from './operation.js'
import { telemetryOf, type CallTelemetry } from './telemetry.js'

// A server may send anything: only these values become attributes.
const FINISH_REASONS: ReadonlySet<string> = new Set(['stop', 'length', 'tool_calls', 'content_filter', 'function_call'])
const MODEL = /^[\w.:/@-]{1,64}$/

/** The server that is asked, and the parameters of the request. */
export interface ModelServer {
  /** The semantic conventions' name for the interface that the server speaks. */
  readonly provider: string
  readonly model: string
  readonly address: string
  readonly port: number
  readonly temperature?: number | undefined
  readonly maxTokens?: number | undefined
}

/** The server's response. */
export interface ModelResponse {
  /** The model's name, if the response holds one. */
  readonly model: string | undefined
  readonly finish: string | undefined
  readonly inputTokens?: number
  readonly outputTokens?: number
  /** Its words and tool calls. Called only if content is recorded. */
  message (): Message
}

/** One request. The reader of the answer must end it. */
export class ModelRequestTelemetry {
  readonly #telemetry: CallTelemetry
  readonly #operation: Operation
  readonly #shared: Attributes
  readonly #since = performance.now()
  #hasBegun = false

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
      'gen_ai.request.temperature': temperature,
      'gen_ai.request.max_tokens': maxTokens,
      'gen_ai.request.stream': true
    }
    const { tracer, show } = telemetry
    const parent = context.active()
    this.#operation = new Operation(startSpan(tracer, `chat ${model}`, { kind: SpanKind.CLIENT, attributes }, parent), parent)
    if (show !== undefined) this.#operation.tell(() => inputContent(messages, show))
  }

  /** Runs the request in the span's context, so that the span of an instrumented HTTP client is its child. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** Notes that a piece of the answer has arrived. */
  received (): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const ms = performance.now() - this.#since
    this.#operation.tell(() => ({ 'gen_ai.response.time_to_first_chunk': ms / 1_000 }))
    this.#telemetry.instruments?.modelBegan(ms, this.#shared)
  }

  /**
   * Ends the span: the answer is read or abandoned.
   * @param thrown the error that ended the answer early, if any
   */
  end (response: ModelResponse, thrown: { readonly error: unknown } | undefined): void {
    const { inputTokens, outputTokens } = response
    const { show, instruments } = this.#telemetry
    const ending = thrown && endingOf(thrown.error)
    const finish = response.finish === undefined || FINISH_REASONS.has(response.finish) ? response.finish : '_OTHER'
    this.#operation.tell(() => ({
      'gen_ai.response.model': response.model !== undefined && MODEL.test(response.model) ? response.model : undefined,
      'gen_ai.response.finish_reasons': finish === undefined ? undefined : [finish],
      'gen_ai.usage.input_tokens': inputTokens,
      'gen_ai.usage.output_tokens': outputTokens
    }))
    if (show !== undefined) this.#operation.tell(() => outputContent(response.message(), finish ?? '_OTHER', show))
    if (ending !== undefined) this.#operation.broken(ending, show)
    this.#operation.end()
    instruments?.modelEnded(performance.now() - this.#since, {
      ...this.#shared,
      ...(ending?.isFailure === true && { 'error.type': ending.type })
    }, { input: inputTokens, output: outputTokens })
  }
}

/** @returns undefined if the app has no SDK */
export function startModelRequest (call: Call, server: ModelServer, messages: readonly Message[]): ModelRequestTelemetry | undefined {
  const telemetry = telemetryOf(call)
  return telemetry && new ModelRequestTelemetry(telemetry, server, messages)
}
