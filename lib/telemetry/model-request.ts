/**
 * What OpenTelemetry is told of a request to a model.
 */
import { context, SpanKind, type Attributes } from '@opentelemetry/api'
import type { Call } from '../contract/agent.js'
import { inputContent, outputContent, type Message } from './content.js'
import { endingOf, Operation, startSpan } from './operation.js'
import { telemetryOf, type CallTelemetry } from './telemetry.js'

// What else a server says may be anything.
const FINISH_REASONS: ReadonlySet<string> = new Set(['stop', 'length', 'tool_calls', 'content_filter', 'function_call'])
const MODEL = /^[\w.:/@-]{1,64}$/

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

  /** Sends it: the span of an instrumented HTTP client is this one's child. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** A piece of the answer is in. */
  received (): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    const ms = performance.now() - this.#since
    this.#operation.tell(() => ({ 'gen_ai.response.time_to_first_chunk': ms / 1_000 }))
    this.#telemetry.instruments?.modelBegan(ms, this.#shared)
  }

  /**
   * The answer is read, or nobody wants it any more.
   * @param thrown what ended it, where it did not come to its end
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

/** Undefined where nobody is to be told. */
export function startModelRequest (call: Call, server: ModelServer, messages: readonly Message[]): ModelRequestTelemetry | undefined {
  const telemetry = telemetryOf(call)
  return telemetry && new ModelRequestTelemetry(telemetry, server, messages)
}
