/**
 * The loggers of requests and calls. A logger of Pino holds more memory than the rest of a silent call, so that calls make do with one.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'

type LoggerFactory = FastifyInstance['childLoggerFactory']

/** Makes a connection's logger that of its call. */
export type BindLog = (log: FastifyBaseLogger, bindings: object) => FastifyBaseLogger

/**
 * Lets the requests of a scope share the serializers of their loggers, where the loggers are Fastify's own.
 * @returns how a call's logger is made in this scope
 */
export function shareSerializers (scope: FastifyInstance): BindLog {
  if (!isFastifys(scope.childLoggerFactory)) return bindChild
  scope.setChildLoggerFactory(withSharedSerializers(scope.childLoggerFactory))
  return bindInPlace
}

// An app may have one of its own, whose loggers may belong to anything.
function isFastifys (factory: LoggerFactory): boolean {
  return factory.name === 'defaultChildLoggerFactory'
}

// Fastify hands a route's serializers to the logger of each request, where Pino copies them. One logger has them for all.
function withSharedSerializers (make: LoggerFactory): LoggerFactory {
  const shared = new Map<unknown, FastifyBaseLogger>()
  let level: unknown
  return function voiceAgentLogger (logger, bindings, { serializers, ...options }, request) {
    // An app may change it while it runs.
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
