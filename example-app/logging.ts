/**
 * How the app logs: for people on a terminal, elsewhere in JSON.
 */
import { openSync, writeSync } from 'node:fs'
import { LogController, type FastifyServerOptions } from 'fastify'
import { destination } from 'pino'

// One line each, and the call in front.
const PRETTY = { target: 'pino-pretty', options: { singleLine: true, ignore: 'pid,hostname,reqId,callId,provider', messageFormat: '{if callId}{provider} {callId} {end}{msg}' } }

const STDOUT = 1
const BUNCH_MS = 100
const BUNCH_CHARACTERS = 4096

// Nobody reads a pipe that is still full by then.
const LAST_WRITE_MS = 1_000

/** Fastify's options for it. `file` is written to instead of the standard output. */
export function logging (file?: string): Pick<FastifyServerOptions, 'logger' | 'logController'> {
  const isForPeople = file === undefined && process.stdout.isTTY
  return {
    logger: isForPeople ? { transport: PRETTY } : { stream: new Bunches(file) },
    // A call says itself that it begins, and who is refused has a line of warning.
    logController: new LogController({ disableRequestLogging: ({ headers }) => headers.upgrade !== undefined })
  }
}

/**
 * Lines of a tenth of a second leave together: written by itself, each wakes a thread and then the event loop, which costs
 * more than a tenth of a new call. A process that ends writes what is left first; one that is killed loses that. Pino's own
 * buffer (`minLength`) would keep a process from ending whose reader is gone.
 */
class Bunches {
  readonly #fd: number
  readonly #destination: ReturnType<typeof destination>
  #lines = ''
  #timer: NodeJS.Timeout | undefined

  constructor (file?: string) {
    this.#fd = file === undefined ? STDOUT : openSync(file, 'a')
    this.#destination = destination(this.#fd)
    process.once('exit', () => this.#writeLast())
  }

  write (line: string): void {
    this.#lines += line
    if (this.#lines.length >= BUNCH_CHARACTERS) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), BUNCH_MS).unref()
  }

  #flush (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#destination.write(this.#lines)
    this.#lines = ''
  }

  #writeLast (): void {
    let rest = Buffer.from(this.#lines)
    const until = performance.now() + LAST_WRITE_MS
    while (rest.length > 0 && performance.now() < until) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest))
      } catch (error) {
        // A full pipe is tried again, a closed one is not.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      }
    }
  }
}
