/**
 * The loggers of requests and calls. A logger of Pino holds more memory than the rest of a silent call, so that a call has only one.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'

type LoggerFactory = FastifyInstance['childLoggerFactory']

/** Adds a call's bindings to the logger of its connection. */
export type BindLog = (log: FastifyBaseLogger, bindings: object) => FastifyBaseLogger

/**
 * Shares serializers among the request loggers of a scope, if the loggers are Fastify's own.
 * @returns the function that makes a call's logger in this scope
 */
export function shareSerializers (scope: FastifyInstance): BindLog {
  if (!isFastifys(scope.childLoggerFactory)) return bindChild
  scope.setChildLoggerFactory(withSharedSerializers(scope.childLoggerFactory))
  return bindInPlace
}

// An app's own factory may return loggers that other code uses, too.
function isFastifys (factory: LoggerFactory): boolean {
  return factory.name === 'defaultChildLoggerFactory'
}

// Fastify hands a route's serializers to the logger of each request, where Pino copies them. One shared parent holds them for all.
function withSharedSerializers (make: LoggerFactory): LoggerFactory {
  const shared = new Map<unknown, FastifyBaseLogger>()
  let level: unknown
  return function voiceAgentLogger (logger, bindings, { serializers, ...options }, request) {
    // An app may change the level at run time.
    if (level !== logger.level) shared.clear()
    level = logger.level
    const parent = shared.get(serializers) ?? logger.child({}, { serializers: serializers! })
    shared.set(serializers, parent)
    return make.call(this, parent, bindings, options, request)
  }
}

// The request's own logger becomes the call's: a child of it would hold more memory than the rest of a call.
function bindInPlace (log: FastifyBaseLogger & { setBindings?: (bindings: object) => void }, bindings: object): FastifyBaseLogger {
  if (log.setBindings === undefined) return log.child(bindings)
  log.setBindings(bindings)
  return log
}

function bindChild (log: FastifyBaseLogger, bindings: object): FastifyBaseLogger {
  return log.child(bindings)
}
