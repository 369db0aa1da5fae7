/**
 * How the app logs: for people on a terminal, elsewhere in JSON.
 */
import { openSync, writeSync } from 'node:fs'
import { LogController, type FastifyServerOptions } from 'fastify'

// One line each, and the call in front.
const PRETTY = { target: 'pino-pretty', options: { singleLine: true, ignore: 'pid,hostname,reqId,callId,provider', messageFormat: '{if callId}{provider} {callId} {end}{msg}' } }

const BUNCH_MS = 100
const BUNCH_CHARACTERS = 4096

// Of a reader that is slow.
const MOST_BYTES = 8 * 1024 * 1024

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
 * more than a tenth of a new call. They are written without a thread, as nobody could say at exit how far that has come. A
 * reader that is slow holds up nobody all the same: `process.stdout` has made a pipe one that does not block. A process
 * that ends writes what is left first; one that is killed loses that.
 */
class Bunches {
  readonly #fd: number
  #lines = ''
  /** What a full pipe has not taken. */
  #left = Buffer.alloc(0)
  #dropped = 0
  #timer: NodeJS.Timeout | undefined
  #isExiting = false

  constructor (file?: string) {
    this.#fd = file === undefined ? process.stdout.fd : openSync(file, 'a')
    process.once('exit', () => this.#writeLast())
  }

  write (line: string): void {
    if (this.#left.length + this.#lines.length > MOST_BYTES) {
      this.#dropped++
      return
    }
    this.#lines += line
    if (this.#isExiting || (this.#lines.length >= BUNCH_CHARACTERS && this.#left.length === 0)) this.flushSync()
    else this.#timer ??= setTimeout(() => this.flushSync(), BUNCH_MS).unref()
  }

  /** Pino calls it, by this name, before a line that is fatal ends the process. */
  flushSync (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#left = Buffer.concat([this.#left, Buffer.from(this.#lines)])
    this.#lines = ''
    try {
      while (this.#left.length > 0) this.#left = this.#left.subarray(writeSync(this.#fd, this.#left))
      this.#tellDropped()
    } catch (error) {
      // A full pipe is tried again, a closed one or a full disk is not.
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') this.#timer = setTimeout(() => this.flushSync(), BUNCH_MS).unref()
      else this.#left = Buffer.alloc(0)
    }
  }

  #tellDropped (): void {
    if (this.#dropped === 0) return
    this.#lines = `${JSON.stringify({ level: 40, time: Date.now(), dropped: this.#dropped, msg: 'log lines were dropped: nobody read them' })}\n`
    this.#dropped = 0
    this.flushSync()
  }

  #writeLast (): void {
    this.#isExiting = true
    const until = performance.now() + LAST_WRITE_MS
    do this.flushSync()
    while (this.#left.length > 0 && performance.now() < until)
  }
}
