/**
 * What takes its time: a span, the context of all that happens within, and how it ended.
 */
import { context, SpanStatusCode, trace, type Attributes, type Context, type Span } from '@opentelemetry/api'
import { TurnAbortedError } from '../errors.js'
import { errorType } from './failure.js'

/** What a span may show of what people say. Never throws. */
export type Show = (text: string) => string

/** Where no more is known of a failure, in the conventions' words. */
const OTHER = '_OTHER'

/** Owned by whoever starts it, who ends it once. */
export class Operation {
  readonly span: Span
  readonly context: Context

  /**
   * @param span of its own
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

  /** It came to nothing. */
  failed (type = OTHER, message?: string): void {
    this.span.setAttribute('error.type', type)
    this.span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) })
  }

  /**
   * @param attributes made only where they are kept
   * @param error that ended it, if one did
   */
  end (attributes: () => Attributes, error?: unknown, show?: Show): void {
    const { span } = this
    if (span.isRecording()) {
      span.setAttributes(attributes())
      if (isFailure(error)) this.failed(errorType(error), show?.(messageOf(error)))
      else if (error !== undefined) span.setAttribute('voice_agent.abort_reason', errorType(error))
    }
    span.end()
  }
}

/** Is it more than the news that nobody waits any more? */
export function isFailure (error: unknown): boolean {
  return error !== undefined && !(error instanceof TurnAbortedError && error.reason !== 'deadline')
}

function messageOf (error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error)
  } catch {
    return '' // Anything can be thrown.
  }
}
