/**
 * The OpenTelemetry spans and metrics of a call and its turns. Uses the API alone: without an SDK nothing is recorded.
 */
import { isSpanContextValid, SpanKind, trace, type Attributes, type Context, type Tracer } from '@opentelemetry/api'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, Provider, ToolAction, ToolResultAction, Turn } from '../contract/agent.js'
import { VERSION } from '../contract/version.js'
import { toolCallContent, toolResultContent, turnContent } from './content.js'
import { errorType } from './failure.js'
import { openInstruments, reportProvider, SCOPE, type Instruments } from './instruments.js'
import { endingOf, Operation, startSpan, type Show } from './operation.js'
import type { Refusal } from './refusals.js'
import { loggedId, type CallRecord, type TurnReport } from './report.js'

/** The telemetry of one registration. OpenTelemetry's API finds the app's SDK, even if it is registered later. */
export class Telemetry {
  readonly #shows: ((text: string, log: FastifyBaseLogger) => string) | undefined
  #openInstruments: Instruments | undefined

  /** @param shows redacts what people say for spans; undefined shows nothing */
  constructor (shows?: (text: string, log: FastifyBaseLogger) => string) {
    this.#shows = shows
  }

  get #instruments (): Instruments | undefined {
    return (this.#openInstruments ??= openInstruments())
  }

  /** Starts the metrics that exist before the first call, for each of these providers. */
  ready (providers: readonly Provider[]): void {
    providers.forEach(reportProvider)
    void this.#instruments // eslint-disable-line no-void
  }

  refused (reason: Refusal): void {
    this.#instruments?.refused(reason)
  }

  /** Counts an operation of the cluster that failed. */
  clusterFailed (operation: string): void {
    this.#instruments?.clusterFailed(operation)
  }

  /**
   * @param since when the call's socket opened, by `performance.now()`
   * @param parent the context in which it opened
   * @returns undefined if the app has no SDK
   */
  startCall (call: Call, since: number, parent: Context): CallTelemetry | undefined {
    const instruments = this.#instruments
    const tracer = trace.getTracer(SCOPE, VERSION)
    const attributes = { 'gen_ai.conversation.id': call.id, 'voice_agent.provider': call.provider }
    const span = startSpan(tracer, 'call', { kind: SpanKind.SERVER, startTime: since, attributes }, parent)
    if (instruments === undefined && !isSpanContextValid(span.spanContext())) return undefined
    const shows = this.#shows
    const telemetry = new CallTelemetry(call, tracer, new Operation(span, parent), instruments, shows && (text => shows(text, call.log)))
    calls.set(call, telemetry)
    return telemetry
  }
}

// Agents have the call, and no reference to its telemetry.
const calls = new WeakMap<Call, CallTelemetry>()

/** @returns undefined if the app has no SDK, and for objects that are not live calls */
export function telemetryOf (call: Call): CallTelemetry | undefined {
  return calls.get(call)
}

/** The span of one call. Made by {@link Telemetry.startCall}, ended by the call. */
export class CallTelemetry {
  readonly tracer: Tracer
  readonly call: Call
  readonly instruments: Instruments | undefined
  /** Redacts what people say for spans. Undefined unless the operator opts in to content. */
  readonly show: Show | undefined
  readonly #operation: Operation

  constructor (call: Call, tracer: Tracer, operation: Operation, instruments: Instruments | undefined, show: Show | undefined) {
    this.call = call
    this.tracer = tracer
    this.instruments = instruments
    this.show = show
    this.#operation = operation
    instruments?.callStarted(call)
  }

  /** Runs work in the call's context. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** @param since when the provider asked, by `performance.now()` */
  startTurn (turn: Turn, since: number): TurnTelemetry {
    // An agent of the app's is invoked too, so its turn has the span of an invocation.
    const { context } = this.#operation
    const attributes: Attributes = {
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.conversation.id': this.call.id,
      'voice_agent.provider': this.call.provider,
      'voice_agent.turn.id': loggedId(turn.id)?.toString(),
      'voice_agent.turn.reason': turn.reason
    }
    const span = startSpan(this.tracer, 'invoke_agent', { startTime: since, attributes }, context)
    return new TurnTelemetry(this, turn, new Operation(span, context))
  }

  end (record: CallRecord): void {
    const { direction } = this.call
    this.#operation.tell(() => ({
      'gen_ai.conversation.id': record.callId, // the id may have changed since the start
      'voice_agent.call.direction': direction,
      'voice_agent.call.close_code': record.code,
      'voice_agent.call.turns': record.turns,
      'voice_agent.call.reconnects': record.reconnects,
      'voice_agent.call.malformed_frames': record.malformedFrames,
      'voice_agent.call.limit': record.limit,
      'voice_agent.call.handed_over': record.handedOver
    }))
    this.#operation.end()
    this.instruments?.callEnded(record)
  }
}

/** The span of one turn, and the spans of tools that the agent runs without {@link runTool}. Ended by the turn. */
export class TurnTelemetry {
  readonly #telemetry: CallTelemetry
  readonly #turn: Turn
  readonly #operation: Operation
  #tools: Map<string, Operation> | undefined

  constructor (telemetry: CallTelemetry, turn: Turn, operation: Operation) {
    this.#telemetry = telemetry
    this.#turn = turn
    this.#operation = operation
    telemetry.instruments?.turnStarted(turn.call)
  }

  /** Runs work in the turn's context. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** Notes a tool's call or result. Tools that run by {@link runTool} have spans of their own. */
  recorded (entry: ToolAction): void {
    if (entry.action === 'tool-call') {
      if (entry.runsOnce === true) return
      const { tracer, show } = this.#telemetry
      const { context } = this.#operation
      const attributes = { 'gen_ai.operation.name': 'execute_tool' }
      const tool = new Operation(startSpan(tracer, 'execute_tool', { attributes }, context), context)
      // The name is content: a model may have made it up.
      if (show !== undefined) {
        tool.tell(() => ({ 'gen_ai.tool.name': show(entry.name), ...toolCallContent(entry.id, entry.arguments, show) }))
      }
      this.#tools ??= new Map()
      this.#tools.set(entry.id, tool)
    } else {
      this.#endTool(entry.id, entry)
    }
  }

  #endTool (id: string, result?: ToolResultAction): void {
    const tool = this.#tools?.get(id)
    this.#tools?.delete(id)
    if (tool === undefined) return
    const { show } = this.#telemetry
    if (show !== undefined && result !== undefined) tool.tell(() => toolResultContent(result.content, show))
    if (result?.successful === false) tool.broken(endingOf(undefined), undefined)
    tool.end()
  }

  /** @param said the words of the answer */
  end (report: TurnReport, said: string): void {
    for (const id of this.#tools?.keys() ?? []) this.#endTool(id)
    const { show } = this.#telemetry
    const { outcome, error } = report
    this.#operation.tell(() => attributesOf(report))
    if (show !== undefined) this.#operation.tell(() => turnContent(this.#turn, said, show))
    if (outcome === 'error' || outcome === 'deadline') this.#operation.broken({ type: errorType(error), isFailure: true, error }, show)
    this.#operation.end()
    this.#telemetry.instruments?.turnEnded(report)
  }
}

function attributesOf (report: TurnReport): Attributes {
  // Undefined values are left out.
  return {
    'gen_ai.conversation.id': report.callId,
    'gen_ai.response.model': report.model,
    'gen_ai.usage.input_tokens': report.inputTokens,
    'gen_ai.usage.output_tokens': report.outputTokens,
    'voice_agent.turn.outcome': report.outcome,
    'voice_agent.turn.time_to_agent': inSeconds(report.agentCalledMs),
    'voice_agent.turn.time_to_first_token': inSeconds(report.firstTokenMs),
    'voice_agent.turn.time_to_first_frame': inSeconds(report.firstFrameMs),
    'voice_agent.turn.time_to_filler': inSeconds(report.fillerMs),
    'voice_agent.turn.time_to_first_sentence': inSeconds(report.firstSentenceMs),
    'voice_agent.turn.time_to_last_frame': inSeconds(report.lastFrameMs),
    'voice_agent.turn.tokens': report.tokens,
    'voice_agent.turn.frames': report.frames,
    'voice_agent.turn.characters': report.characters,
    'voice_agent.turn.tool_calls': report.tools.length,
    'voice_agent.turn.send_buffer_peak': report.sendBufferPeakBytes
  }
}

function inSeconds (ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000
}
