/**
 * How failures are logged: what happened for whoever operates the app, what was said while it happened at `debug` only.
 */
import type { FastifyBaseLogger } from 'fastify'
import { diag } from '@opentelemetry/api'
import * as errors from '../errors.js'
import { TurnAbortedError } from '../errors.js'

/**
 * Logs what an app's code threw. Its message may quote what somebody said (a parser its input) or part of a key (a
 * model's server), so it is left out; the whole error follows at `debug`. Never throws.
 * @param level `warn` where the caller may still be served
 */
export function logFailure (log: FastifyBaseLogger, error: unknown, what: string, level: 'error' | 'warn' = 'error'): void {
  log[level]({ err: withoutMessage(error) }, what)
  logDetail(log, error, what)
}

/** Logs the whole error, at `debug`. Never throws, whatever the error has for members. */
export function logDetail (log: FastifyBaseLogger, error: unknown, what: string): void {
  try {
    log.debug({ err: error }, what)
  } catch {
    log.debug(what)
  }
}

/** One word for what happened, of which there are few: a metric's label. Never throws. */
export function errorType (error: unknown): string {
  try {
    if (error instanceof TurnAbortedError) return error.reason
    if (!(error instanceof Error)) return OTHER
    return isOwn(error) ? error.code : error.constructor.name.replace(/\W/g, '').slice(0, 64) || OTHER
  } catch {
    return OTHER
  }
}

// Where no more is known, in OpenTelemetry's words.
const OTHER = '_OTHER'

// A model's server may give its errors any code. A ToolError, which has none, says what a tool says.
function isOwn (error: Error): error is Error & { readonly code: string } {
  return 'code' in error && OWN.has(error.constructor)
}

const OWN: ReadonlySet<unknown> = new Set(Object.values(errors))

/** Tells whoever watches, and keeps from whoever is at work what they throw. */
export function quietly (tell: () => void): void {
  try {
    tell()
  } catch (error) {
    diag.error('fastify-voice-agent: telemetry failed:', errorType(error))
  }
}

function withoutMessage (error: unknown): unknown {
  try {
    if (!(error instanceof Error)) return { type: typeof error }
    const { code, status, message } = error as { code?: unknown, status?: unknown, message: string }
    return {
      type: error.constructor.name,
      // Messages of our own errors never hold content; those of their causes may.
      ...(isOwn(error) && { message }),
      // A code is one word; several are a message.
      ...(typeof code === 'string' && /^\w{1,64}$/.test(code) && { code }),
      ...(typeof status === 'number' && { status }),
      stack: framesOf(error)
    }
  } catch {
    return { type: 'Error' }
  }
}

// A stack begins with the message, whose lines may look like frames; a frame ends in a place in the code.
function framesOf ({ message, stack = '' }: Error): string {
  const from = stack.indexOf(message)
  const frames = stack.slice(from === -1 ? 0 : from + message.length)
  return frames.split('\n').filter(line => /^ {4}at .*:\d+:\d+\)?$/.test(line)).join('\n')
}
