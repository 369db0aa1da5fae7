/**
 * Logs failures: the facts that an operator needs at any level, details that may quote people at `debug` only.
 */
import type { FastifyBaseLogger } from 'fastify'
import { diag } from '@opentelemetry/api'
import * as errors from '../contract/errors.js'
import { TurnAbortedError } from '../contract/errors.js'
import { whyNotDevelopment } from '../contract/surroundings.js'

/** Logged in place of an error's message. */
export const NO_MESSAGE = 'left out, since it may repeat what was said: the log level debug shows it'

/** The longest message that is logged above `debug`, in characters: a model's server may answer with a whole page. */
const LONGEST_MESSAGE = 1_000

/** The longest chain of causes that is read, the thrown error included. */
const MOST_CAUSES = 5

/**
 * Logs an error of the app's code. Its message may quote a caller (a parser quotes its input) or part of a key (a model's server), so it
 * is logged in development only; elsewhere a hint replaces it. The whole error follows at `debug`. Never throws.
 * @param level `warn` where the caller may still be served
 */
export function logFailure (log: FastifyBaseLogger, error: unknown, what: string, level: 'error' | 'warn' = 'error'): void {
  log[level]({ err: summaryOf(error, whyNotDevelopment(process) === undefined) }, what)
  logDetail(log, error, what)
}

/**
 * Logs an error of this package's own code, which is a bug. The message may quote a frame, so it is logged at `debug` only. Never throws.
 */
export function logFault (log: FastifyBaseLogger, error: unknown, what: string): void {
  log.error({ err: summaryOf(error, false) }, what)
  logDetail(log, error, what)
}

/** Logs the whole error, at `debug`. Never throws, even if the error has getters that throw. */
export function logDetail (log: FastifyBaseLogger, error: unknown, what: string): void {
  try {
    log.debug({ err: error }, what)
  } catch {
    log.debug(what)
  }
}

/** The kind of an error, as a metric's label: few different values. Never throws. */
export function errorType (error: unknown): string {
  try {
    if (error instanceof TurnAbortedError) return error.reason
    if (!(error instanceof Error)) return OTHER
    return isOwn(error) ? error.code : error.constructor.name.replace(/\W/g, '').slice(0, 64) || OTHER
  } catch {
    return OTHER
  }
}

// OpenTelemetry's word for an unknown kind.
const OTHER = '_OTHER'

// Checked by class, since a model's server may give its errors any code. A ToolError has no code: its message is a tool's.
function isOwn (error: Error): error is Error & { readonly code: string } {
  return 'code' in error && OWN.has(error.constructor)
}

const OWN: ReadonlySet<unknown> = new Set(Object.values(errors))

/** Reports to observers. An error that they throw goes to OpenTelemetry's diagnostics, not to the caller. */
export function quietly (tell: () => void): void {
  try {
    tell()
  } catch (error) {
    diag.error('fastify-voice-agent: telemetry failed:', errorType(error))
  }
}

const withSafeMessages = new WeakSet<Error>()

/** Marks an error of another package as safe: its message is logged, so it must hold no speech and no secret. */
export function markSafe<E extends Error> (error: E): E {
  withSafeMessages.add(error)
  return error
}

function summaryOf (error: unknown, showsMessage: boolean): unknown {
  try {
    if (!(error instanceof Error)) return summary(typeof error, { message: showsMessage ? shortened(String(error)) : NO_MESSAGE })
    const causes = [...causesOf(error)]
    const { status } = error as { status?: unknown }
    const code = causes.map(({ code }) => typeof code === 'number' ? String(code) : code).find(isCode)
    return summary(error.constructor.name, {
      // Messages of our own errors never hold content; those of their causes may.
      message: isOwn(error) || withSafeMessages.has(error) ? error.message : showsMessage ? messageOf(causes) : NO_MESSAGE,
      ...(code !== undefined && { code }),
      ...(typeof status === 'number' && { status }),
      stack: framesOf(error)
    })
  } catch {
    return summary('Error', {})
  }
}

// Pino treats an object with a message as an error. Its type is the name of the constructor, or else `name`.
function summary (type: string, members: object): object {
  return Object.assign(Object.create(null, { name: { value: type } }), { type, ...members })
}

type Cause = Error & { readonly code?: unknown, readonly errors?: readonly unknown[] }

function * causesOf (error: unknown): Generator<Cause, void, undefined> {
  for (let cause = error, count = 0; cause instanceof Error && count < MOST_CAUSES; count++) {
    yield cause
    // If a host name has several addresses, Node's error holds one error for each.
    cause = cause.cause ?? (cause as Cause).errors?.[0]
  }
}

function messageOf (causes: readonly Cause[]): string {
  const messages = new Set(causes.map(({ message }) => message))
  return shortened(Array.from(messages).filter(message => message !== '').join(': '))
}

function shortened (message: string): string {
  return message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}…` : message
}

// A code is one word; several words are a message.
function isCode (code: unknown): code is string {
  return typeof code === 'string' && /^\w{1,64}$/.test(code)
}

// A stack begins with the message, whose lines may look like frames. A frame ends with a line and a column.
function framesOf ({ message, stack = '' }: Error): string {
  const from = stack.indexOf(message)
  const frames = stack.slice(from === -1 ? 0 : from + message.length)
  return frames.split('\n').filter(line => /^ {4}at .*:\d+:\d+\)?$/.test(line)).join('\n')
}
