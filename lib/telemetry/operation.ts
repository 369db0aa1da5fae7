/**
 * What takes its time: a span, the context of all that happens within, and how it ended.
 */
import { context, INVALID_SPAN_CONTEXT, SpanStatusCode, trace, type Attributes, type Context, type Span, type SpanOptions, type Tracer } from '@opentelemetry/api'
import { TurnAbortedError } from '../contract/errors.js'
import { errorType, quietly } from './failure.js'

/** What a span may show of what people say. Never throws. */
export type Show = (text: string) => string

/** How something ended that did not come to its end by itself. */
export interface Ending {
  readonly type: string
  /** Otherwise nobody waits for it any more. */
  readonly isFailure: boolean
  readonly error: unknown
}

/** What becomes of what was thrown, or of the reason of an aborted signal. */
export function endingOf (error: unknown): Ending {
  const isLeft = error instanceof DOMException && error.name === 'AbortError'
  const isAborted = error instanceof TurnAbortedError && error.reason !== 'deadline'
  return { type: isLeft ? 'abandoned' : errorType(error), isFailure: !isLeft && !isAborted, error }
}

/** Starts a span, in the clock that {@link Operation.end} goes by. Where the SDK fails it is one that nobody keeps. */
export function startSpan (tracer: Tracer, name: string, options: SpanOptions, parent: Context): Span {
  let span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT)
  quietly(() => { span = tracer.startSpan(name, { startTime: performance.now(), ...options }, parent) })
  return span
}

/** Owned by whoever starts it, who ends it once. What an SDK throws is kept from whoever is at work. */
export class Operation {
  readonly span: Span
  readonly context: Context

  /**
   * @param span of its own, by {@link startSpan}
   * @param parent the context of what it is a part of
   */
  constructor (span: Span, parent: Context) {
    this.span = span
    this.context = trace.setSpan(parent, span)
  }

  /** Runs something within: spans that it starts, now or later, are this one's children. */
  run<T> (work: () => T): T {
    return context.with(this.context, work)
  }

  /** @param attributes made only where they are kept; undefined ones are left out */
  tell (attributes: () => Attributes): void {
    quietly(() => { if (this.span.isRecording()) this.span.setAttributes(attributes()) })
  }

  /** It came to no good end. */
  broken ({ type, isFailure, error }: Ending, show: Show | undefined): void {
    this.tell(() => ({ [isFailure ? 'error.type' : 'voice_agent.abort_reason']: type }))
    if (isFailure) quietly(() => { this.span.setStatus({ code: SpanStatusCode.ERROR, ...(show !== undefined && { message: show(messageOf(error)) }) }) })
  }

  end (): void {
    quietly(() => { this.span.end(performance.now()) })
  }
}

/** Does something within what has a context; where nobody is to be told, there is none. */
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
