/**
 * OpenTelemetry: the spans of a call and of its turns, and what is measured of them. Through its API alone: without an SDK
 * nothing is made.
 */
import { isSpanContextValid, SpanKind, trace, type Attributes, type Context } from '@opentelemetry/api'
import type { FastifyBaseLogger } from 'fastify'
import type { Call, ToolAction, ToolResultAction, Turn } from '../agent.js'
import { toolCallContent, toolResultContent, turnContent } from './content.js'
import { openInstruments, SCOPE, type Instruments } from './instruments.js'
import { Operation, type Show } from './operation.js'
import type { Refusal } from './refusals.js'
import { loggedId, type CallRecord, type TurnReport } from './report.js'

/** What one registration tells OpenTelemetry. Its API finds the app's SDK, whenever that is registered. */
export class Telemetry {
  readonly #tracer = trace.getTracer(SCOPE)
  readonly #shows: ((text: string, log: FastifyBaseLogger) => string) | undefined
  #openInstruments: Instruments | undefined

  /** @param shows what spans may show of what people say; undefined is nothing */
  constructor (shows?: (text: string, log: FastifyBaseLogger) => string) {
    this.#shows = shows
  }

  get #instruments (): Instruments | undefined {
    return (this.#openInstruments ??= openInstruments())
  }

  /** The app is ready: metrics that are known before the first call are shown from now on. */
  ready (): void {
    void this.#instruments // eslint-disable-line no-void
  }

  refused (reason: Refusal): void {
    this.#instruments?.refused(reason)
  }

  /**
   * A call has begun. Undefined where nobody is to be told.
   * @param since when its socket opened, by `performance.now()`
   * @param parent the context in which that was
   */
  startCall (call: Call, since: number, parent: Context): CallTelemetry | undefined {
    const instruments = this.#instruments
    const span = this.#tracer.startSpan('call', { kind: SpanKind.SERVER, startTime: since }, parent)
    if (instruments === undefined && !isSpanContextValid(span.spanContext())) return undefined
    const shows = this.#shows
    const telemetry = new CallTelemetry(call, new Operation(span, parent), instruments, shows && (text => shows(text, call.log)))
    calls.set(call, telemetry)
    return telemetry
  }
}

// Agents know the call, and nothing of what it is a part of.
const calls = new WeakMap<Call, CallTelemetry>()

/** That of a live call; undefined where nobody is to be told, and for a call that is none. */
export function telemetryOf (call: Call): CallTelemetry | undefined {
  return calls.get(call)
}

/** The span of one call, and what belongs to it. Made by {@link Telemetry.startCall}, ended by the call. */
export class CallTelemetry {
  readonly tracer = trace.getTracer(SCOPE)
  readonly call: Call
  readonly instruments: Instruments | undefined
  /** Shows in spans what people say, where the operator asked for that. */
  readonly show: Show | undefined
  readonly #operation: Operation

  constructor (call: Call, operation: Operation, instruments: Instruments | undefined, show: Show | undefined) {
    this.call = call
    this.instruments = instruments
    this.show = show
    this.#operation = operation
    instruments?.callStarted(call)
  }

  /** Runs something within the call. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** @param since when the provider asked, by `performance.now()` */
  startTurn (turn: Turn, since: number): TurnTelemetry {
    // The agent is ours to invoke, whoever's it is.
    const { context } = this.#operation
    return new TurnTelemetry(this, turn, new Operation(this.tracer.startSpan('invoke_agent', { startTime: since }, context), context))
  }

  end (record: CallRecord): void {
    const { direction } = this.call
    this.#operation.end(() => ({
      'gen_ai.conversation.id': record.callId,
      'voice_agent.provider': record.provider,
      ...(direction !== undefined && { 'voice_agent.call.direction': direction }),
      'voice_agent.call.close_code': record.code,
      'voice_agent.call.turns': record.turns,
      'voice_agent.call.reconnects': record.reconnects,
      'voice_agent.call.malformed_frames': record.malformedFrames,
      ...(record.limit !== undefined && { 'voice_agent.call.limit': record.limit })
    }), undefined, this.show)
    this.instruments?.callEnded(record)
  }
}

/** The span of one turn, and those of the tools that its agent runs by itself. Ended by the turn. */
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

  /** Runs something within the turn. */
  run<T> (work: () => T): T {
    return this.#operation.run(work)
  }

  /** A tool was called, or returned: those that agents run by {@link runTool} have spans of their own. */
  recorded (entry: ToolAction): void {
    if (entry.action === 'tool-call') {
      if (entry.runsOnce === true) return
      const { tracer, show } = this.#telemetry
      // Its name may be a model's, who knows whose words.
      const attributes = { 'gen_ai.operation.name': 'execute_tool', ...(show !== undefined && { 'gen_ai.tool.name': show(entry.name) }), ...toolCallContent(entry.id, entry.arguments, show) }
      const { context } = this.#operation
      const tool = new Operation(tracer.startSpan('execute_tool', { attributes }, context), context)
      this.#tools ??= new Map()
      this.#tools.set(entry.id, tool)
    } else {
      this.#endTool(entry.id, entry)
    }
  }

  #endTool (id: string, result?: ToolResultAction): void {
    const tool = this.#tools?.get(id)
    this.#tools?.delete(id)
    if (result?.successful === false) tool?.failed()
    tool?.end(() => result === undefined ? {} : toolResultContent(result.content, this.#telemetry.show))
  }

  /** @param said what the caller was told */
  end (report: TurnReport, said: string): void {
    for (const id of this.#tools?.keys() ?? []) this.#endTool(id)
    this.#operation.end(() => ({ ...attributesOf(report), ...turnContent(this.#turn, said, this.#telemetry.show) }), report.error, this.#telemetry.show)
    this.#telemetry.instruments?.turnEnded(report)
  }
}

function attributesOf (report: TurnReport): Attributes {
  const id = loggedId(report.turnId)
  const attributes: Attributes = {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.conversation.id': report.callId,
    'gen_ai.response.model': report.model,
    'gen_ai.usage.input_tokens': report.inputTokens,
    'gen_ai.usage.output_tokens': report.outputTokens,
    'voice_agent.provider': report.provider,
    'voice_agent.turn.id': id?.toString(),
    'voice_agent.turn.reason': report.reason,
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
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
}

function inSeconds (ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000
}
