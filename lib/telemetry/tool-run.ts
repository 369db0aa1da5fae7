/**
 * What OpenTelemetry is told of a tool that runs.
 */
import { context, type Attributes } from '@opentelemetry/api'
import type { Call } from '../contract/agent.js'
import { toolCallContent, toolResultContent } from './content.js'
import { endingOf, Operation, startSpan } from './operation.js'
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
    const { tracer, show } = telemetry
    const parent = context.active()
    this.#operation = new Operation(startSpan(tracer, `execute_tool ${name}`, { attributes: { ...TOOL, 'gen_ai.tool.name': name } }, parent), parent)
    if (show !== undefined) this.#operation.tell(() => toolCallContent(id, args, show))
  }

  /** Runs the tool: spans that it starts are this one's children. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /**
   * @param outcome undefined where it took too long, and may go on
   * @param error why it came to nothing, where it did
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

/** Undefined where nobody is to be told. */
export function startToolRun (call: Call, name: string, id: string, args: string): ToolRun | undefined {
  const telemetry = telemetryOf(call)
  return telemetry && new ToolRun(telemetry, name, id, args)
}
