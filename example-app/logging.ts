/**
 * How the app logs: for people on a terminal, elsewhere in JSON.
 */
import { openSync, writeSync } from 'node:fs'
import { LogController, type FastifyRequest, type FastifyServerOptions } from 'fastify'

// One line each, and the call in front.
const PRETTY = { target: 'pino-pretty', options: { singleLine: true, ignore: 'pid,hostname,reqId,callId,provider', messageFormat: '{if callId}{provider} {callId} {end}{msg}' } }

const BUNCH_MS = 100
const BUNCH_CHARACTERS = 4096

// Of a reader that is slow.
const MOST_WAITING = 8 * 1024 * 1024

// Nobody reads a pipe of which nothing was taken by then.
const LAST_WRITE_MS = 1_000
const FULL_PIPE_MS = 10

/** Fastify's options for it. `file` is written to instead of the standard output. */
export function logging (file?: string): Pick<FastifyServerOptions, 'logger' | 'logController'> {
  const isForPeople = file === undefined && process.stdout.isTTY
  return {
    logger: { serializers: { req: withoutQuery }, ...(isForPeople ? { transport: PRETTY } : { stream: new Bunches(file) }) },
    // A call says itself that it begins, and who is refused has a line of warning.
    logController: new AppLog({ disableRequestLogging: ({ headers }) => headers.upgrade !== undefined })
  }
}

// The playground's token stands in a query.
function withoutQuery ({ method, url, ip }: FastifyRequest): { method: string, url: string, remoteAddress: string } {
  return { method, url: url.replace(/\?.*/s, '?…'), remoteAddress: ip }
}

class AppLog extends LogController {
  // Fastify's own line holds the whole URL, which may be a mistyped one of the playground.
  override routeNotFound (request: FastifyRequest): void {
    if (!this.isLogDisabled(request)) request.log.info('no route has this URL')
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
  /** What a full pipe has not taken, ahead of the lines. */
  #left = Buffer.alloc(0)
  #dropped = 0
  #timer: NodeJS.Timeout | undefined
  #isExiting = false

  constructor (file?: string) {
    this.#fd = file === undefined ? process.stdout.fd : openSync(file, 'a')
    process.once('exit', () => this.#writeLast())
  }

  write (line: string): void {
    if (this.#waiting > (this.#dropped === 0 ? MOST_WAITING : MOST_WAITING / 2)) {
      this.#dropped++
      return
    }
    this.#tellDropped()
    this.#lines += line
    if (this.#isExiting || (this.#lines.length >= BUNCH_CHARACTERS && this.#left.length === 0)) this.flushSync()
    else this.#timer ??= setTimeout(() => this.flushSync(), BUNCH_MS).unref()
  }

  /** Pino calls it, by this name, before a line that is fatal ends the process. */
  flushSync (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      while (this.#waiting > 0) {
        if (this.#left.length === 0) {
          this.#left = Buffer.from(this.#lines)
          this.#lines = ''
        }
        this.#left = this.#left.subarray(writeSync(this.#fd, this.#left))
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        this.#timer = setTimeout(() => this.flushSync(), FULL_PIPE_MS).unref()
      } else {
        // Its reader is gone, or a disk is full.
        this.#left = Buffer.alloc(0)
        this.#lines = ''
      }
    }
  }

  /** Bytes, more or less. */
  get #waiting (): number {
    return this.#left.length + this.#lines.length
  }

  #tellDropped (): void {
    if (this.#dropped === 0) return
    this.#lines += `${JSON.stringify({ level: 40, time: Date.now(), dropped: this.#dropped, msg: 'log lines were dropped: nobody read them' })}\n`
    this.#dropped = 0
  }

  #writeLast (): void {
    this.#isExiting = true
    this.#tellDropped()
    let least = Infinity
    let until = 0
    for (this.flushSync(); this.#waiting > 0; this.flushSync()) {
      const now = performance.now()
      if (this.#waiting < least) until = now + LAST_WRITE_MS
      else if (now > until) return
      least = this.#waiting
      // The reader may need the processor.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MS)
    }
  }
}
