/**
 * What OpenTelemetry is told of a tool that runs.
 */
import { context, type Attributes } from '@opentelemetry/api'
import type { Call } from '../agent.js'
import { toolCallContent, toolResultContent } from './content.js'
import { isFailure, Operation } from './operation.js'
import { errorType } from './failure.js'
import { telemetryOf, type CallTelemetry } from './telemetry.js'

/** What is said of every tool. */
const TOOL: Attributes = { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.type': 'function' }

/** One run of a tool. It may go on when its turn is over. */
class ToolRun {
  readonly #telemetry: CallTelemetry
  readonly #name: string
  readonly #operation: Operation
  readonly #since = performance.now()

  constructor (telemetry: CallTelemetry, name: string, id: string, args: string) {
    this.#telemetry = telemetry
    this.#name = name
    const attributes = { ...TOOL, 'gen_ai.tool.name': name, ...toolCallContent(id, args, telemetry.show) }
    const parent = context.active()
    this.#operation = new Operation(telemetry.tracer.startSpan(`execute_tool ${name}`, { attributes }, parent), parent)
  }

  /** Runs the tool: spans that it starts are this one's children. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /**
   * @param outcome undefined where it took too long, and may go on
   * @param error why it came to nothing
   */
  end (outcome: { readonly content: string } | undefined, error: unknown): void {
    const { show, instruments } = this.#telemetry
    this.#operation.end(() => outcome === undefined ? {} : toolResultContent(outcome.content, show), error, show)
    instruments?.toolEnded(performance.now() - this.#since, {
      ...TOOL,
      'gen_ai.tool.name': this.#name,
      ...(isFailure(error) && { 'error.type': errorType(error) })
    })
  }
}

/** Undefined where nobody is to be told. */
export function startToolRun (call: Call, name: string, id: string, args: string): ToolRun | undefined {
  const telemetry = telemetryOf(call)
  return telemetry && new ToolRun(telemetry, name, id, args)
}
