/**
 * A timed operation: its span, the context for everything inside, and its ending.
 */
import {
  context, INVALID_SPAN_CONTEXT, SpanStatusCode, trace,
  type Attributes, type Context, type Span, type SpanOptions, type Tracer
} from '@opentelemetry/api'
import { TurnAbortedError } from '../contract/errors.js'
import { errorType, quietly } from './failure.js'

/** Redacts text for a span. Never throws. */
export type Show = (text: string) => string

/** Why an operation ended early. */
export interface Ending {
  readonly type: string
  /** False if it was abandoned: its result is no longer wanted. */
  readonly isFailure: boolean
  readonly error: unknown
}

/** @param error the thrown value, or the reason of an aborted signal */
export function endingOf (error: unknown): Ending {
  const isLeft = error instanceof DOMException && error.name === 'AbortError'
  const isAborted = error instanceof TurnAbortedError && error.reason !== 'deadline'
  return { type: isLeft ? 'abandoned' : errorType(error), isFailure: !isLeft && !isAborted, error }
}

/** Starts a span by the clock that {@link Operation.end} uses. If the SDK throws, the span records nothing. */
export function startSpan (tracer: Tracer, name: string, options: SpanOptions, parent: Context): Span {
  let span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT)
  quietly(() => { span = tracer.startSpan(name, { startTime: performance.now(), ...options }, parent) })
  return span
}

/** Owned by the code that starts it, which ends it once. Errors of an SDK do not reach that code. */
export class Operation {
  readonly span: Span
  readonly context: Context

  /**
   * @param span made by {@link startSpan}
   * @param parent the context of the enclosing operation
   */
  constructor (span: Span, parent: Context) {
    this.span = span
    this.context = trace.setSpan(parent, span)
  }

  /** Runs work in the operation's context: spans that the work starts, now or later, are its children. */
  run<T> (work: () => T): T {
    return context.with(this.context, work)
  }

  /** @param attributes called only if the span is recorded; undefined values are left out */
  tell (attributes: () => Attributes): void {
    quietly(() => { if (this.span.isRecording()) this.span.setAttributes(attributes()) })
  }

  /** Notes that the operation ended early. */
  broken ({ type, isFailure, error }: Ending, show: Show | undefined): void {
    this.tell(() => ({ [isFailure ? 'error.type' : 'voice_agent.abort_reason']: type }))
    if (!isFailure) return
    quietly(() => { this.span.setStatus({ code: SpanStatusCode.ERROR, ...(show !== undefined && { message: show(messageOf(error)) }) }) })
  }

  end (): void {
    quietly(() => { this.span.end(performance.now()) })
  }
}

/** Runs work in an operation's context, if there is an operation. */
export function within<T> (place: { run<R> (work: () => R): R } | undefined, work: () => T): T {
  return place === undefined ? work() : place.run(work)
}

function messageOf (error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error)
  } catch {
    return '' // Anything can be thrown.
  }
}
