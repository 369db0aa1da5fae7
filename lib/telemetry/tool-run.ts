/**
 * The span and the metrics of a tool's run.
 */
import { context, type Attributes } from '@opentelemetry/api'
import type { Call } from '../contract/agent.js'
import { toolCallContent, toolResultContent } from './content.js'
import { endingOf, Operation, startSpan } from './operation.js'
import { telemetryOf, type CallTelemetry } from './telemetry.js'

/** Attributes of every tool. */
const TOOL: Attributes = { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.type': 'function' }

/** One run of a tool. It may outlive its turn. */
class ToolRun {
  readonly #telemetry: CallTelemetry
  readonly #name: string
  readonly #operation: Operation
  readonly #since = performance.now()

  constructor (telemetry: CallTelemetry, name: string, id: string, args: string) {
    this.#telemetry = telemetry
    this.#name = name
    const { tracer, show } = telemetry
    const parent = context.active()
    const attributes = { ...TOOL, 'gen_ai.tool.name': name }
    this.#operation = new Operation(startSpan(tracer, `execute_tool ${name}`, { attributes }, parent), parent)
    if (show !== undefined) this.#operation.tell(() => toolCallContent(id, args, show))
  }

  /** Runs the tool in the span's context, so that spans of the tool are its children. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /**
   * @param outcome undefined if the tool exceeded its timeout; it may still run
   * @param error why the tool failed, if it did
   */
  end (outcome: { readonly content: string, readonly successful: boolean } | undefined, error: unknown): void {
    const { show, instruments } = this.#telemetry
    const ending = outcome?.successful === true ? undefined : endingOf(error)
    if (show !== undefined && outcome !== undefined) this.#operation.tell(() => toolResultContent(outcome.content, show))
    if (ending !== undefined) this.#operation.broken(ending, show)
    this.#operation.end()
    instruments?.toolEnded(performance.now() - this.#since, {
      ...TOOL,
      'gen_ai.tool.name': this.#name,
      ...(ending?.isFailure === true && { 'error.type': ending.type })
    })
  }
}

/** @returns undefined if the app has no SDK */
export function startToolRun (call: Call, name: string, id: string, args: string): ToolRun | undefined {
  const telemetry = telemetryOf(call)
  return telemetry && new ToolRun(telemetry, name, id, args)
}
