/**
 * How the app logs: for people on a terminal, elsewhere in JSON.
 */
import { LogController, type FastifyServerOptions } from 'fastify'
import { destination } from 'pino'

// One line each, and the call in front.
const PRETTY = { target: 'pino-pretty', options: { singleLine: true, ignore: 'pid,hostname,reqId,callId,provider', messageFormat: '{if callId}{provider} {callId} {end}{msg}' } }

// Written by itself, each line wakes a thread and then the event loop, which costs more than a fifth of a new call. Those of a
// tenth of a second leave together. A process that ends writes what is left first; one that is killed loses that.
const TOGETHER = { minLength: 4096, periodicFlush: 100 }

/** Fastify's options for it. `file` is written to instead of the standard output. */
export function logging (file?: string): Pick<FastifyServerOptions, 'logger' | 'logController'> {
  const isForPeople = file === undefined && process.stdout.isTTY
  return {
    logger: isForPeople ? { transport: PRETTY } : { stream: destination({ ...TOGETHER, ...(file !== undefined && { dest: file }) }) },
    // A call says itself that it begins, and who is refused has a line of warning.
    logController: new LogController({ disableRequestLogging: ({ headers }) => headers.upgrade !== undefined })
  }
}
