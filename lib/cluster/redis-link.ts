/**
 * Is Redis there? While it is not, nobody waits for it, nothing piles up, and whoever operates the app is told once.
 */
import type { FastifyBaseLogger } from 'fastify'
import { whenLate, type Clock } from '../timing/timeout.js'
import type { RedisClient } from './redis-client.js'

/** What the link needs of those who use it. */
export interface LinkUser {
  readonly log: FastifyBaseLogger
  /** Something could not be asked, or was not answered. */
  failed (operation: string): void
  /** Finds out whether Redis answers, and may be written. Has no time limit. */
  probe (): Promise<void>
  /**
   * Writes what could not be written. Resolves with whether all of it is. Never rejects.
   * @param isNew whether the connection was lost meanwhile, so that Redis may have forgotten what it had confirmed
   */
  recover (isNew: boolean): Promise<boolean>
}

/** A command was not answered in time, or was not sent. */
export class LinkError extends Error {
  override readonly name = 'LinkError'
  readonly code: 'timeout' | 'down' | 'disconnected'
  /** Was it sent? Then Redis may have done it, or will. */
  readonly isSent: boolean

  constructor (code: LinkError['code'], isSent: boolean) {
    super(`Redis: ${code}`)
    this.code = code
    this.isSent = isSent
  }
}

const SHORTEST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000

/** The way to Redis. Open while it answers in time. */
export class RedisLink {
  readonly #timeoutMs: number
  readonly #clock: Clock
  #client!: RedisClient
  #user!: LinkUser
  #isStarted = false
  #isOpen = false
  #isClosed = false
  #isMending = false
  /** Was the operator told that it is lost? */
  #isLost = false
  #isNew = false
  #failures = 0
  /** Ends a wait of the mending: for a connection, for a while, or for an answer that will not come. */
  #interrupt!: () => void
  #firstTry!: () => void

  constructor (timeoutMs: number, clock: Clock) {
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  get isOpen (): boolean {
    return this.#isOpen
  }

  /** Is all well, and all written? */
  get isSound (): boolean {
    return this.#isOpen && !this.#isMending
  }

  /** Resolves once it is open, or has failed, or has taken as long as a command may. */
  async start (client: RedisClient, user: LinkUser): Promise<void> {
    this.#client = client
    this.#user = user
    this.#isStarted = true
    this.#client.on('ready', this.#connected)
    this.#client.on('close', this.#disconnected)
    if (this.#client.status === 'wait') this.#client.connect().catch(() => {}) // The event tells as much.
    await new Promise<void>(resolve => {
      const timer = this.#clock.setTimeout(() => this.#fail('connect', new LinkError('timeout', false)), this.#timeoutMs)
      this.#firstTry = () => {
        this.#clock.clearTimeout(timer)
        resolve()
      }
      this.#mend() // eslint-disable-line @typescript-eslint/no-floating-promises
    })
  }

  /**
   * Asks Redis something. What `send` sends is on its way when this returns.
   * @throws LinkError where it was not answered in time, or is known not to be; what the client rejects with
   */
  async ask<T> (operation: string, send: (client: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#isOpen) {
      if (this.#isStarted && !this.#isClosed) this.#user.failed(operation)
      throw new LinkError('down', false)
    }
    const answer = await new Promise<{ readonly value: T } | { readonly error: unknown }>(resolve => {
      const inTime = whenLate(this.#timeoutMs, () => resolve({ error: new LinkError('timeout', true) }), this.#clock)
      const settle = (result: { readonly value: T } | { readonly error: unknown }): void => {
        inTime()
        resolve(result)
      }
      send(this.#client).then(value => settle({ value }), (error: unknown) => settle({ error }))
    })
    if ('value' in answer) return answer.value
    this.#fail(operation, answer.error)
    throw answer.error
  }

  /** Nothing is asked any more. The client stays as it is. */
  close (): void {
    this.#isClosed = true
    this.#isOpen = false
    if (!this.#isStarted) return
    this.#client.off('ready', this.#connected)
    this.#client.off('close', this.#disconnected)
    this.#interrupt()
    this.#firstTry()
  }

  readonly #connected = (): void => this.#interrupt()

  readonly #disconnected = (): void => {
    this.#isNew = true
    this.#interrupt()
    if (this.#isOpen || !this.#isLost) this.#fail('connect', new LinkError('disconnected', true))
  }

  #fail (operation: string, error: unknown): void {
    if (this.#isClosed) return
    this.#failures++
    this.#user.failed(operation)
    if (error instanceof LinkError) {
      this.#isOpen = false
      // A shard of a Redis Cluster may have changed hands unseen.
      if (this.#client.isCluster) this.#isNew = true
    }
    if (!this.#isLost) {
      this.#isLost = true
      // The error itself holds the command, and with it what people say.
      this.#user.log.warn({ reason: reasonOf(error) }, 'Redis is lost: calls go on with what this node knows of them')
    }
    this.#firstTry()
    this.#mend() // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  async #mend (): Promise<void> {
    if (this.#isMending) return
    this.#isMending = true
    for (let tries = 0; !this.#isClosed; tries++) {
      if (tries > 0) await this.#pause(Math.min(SHORTEST_PAUSE_MS * 2 ** tries, LONGEST_PAUSE_MS))
      while (this.#client.status !== 'ready' && !this.#isClosed) {
        await this.#pause(undefined)
        tries = 0
      }
      const failures = this.#failures
      if (await this.#probe() && await this.#recover() && failures === this.#failures) break
    }
    this.#isMending = false
    if (this.#isClosed) return
    if (this.#isLost) this.#user.log.info('Redis is back: it knows what this node knows')
    this.#isLost = false
  }

  async #probe (): Promise<boolean> {
    try {
      // An answer is waited for as long as there is a connection: until then, another question would only wait behind.
      await new Promise<void>((resolve, reject) => {
        this.#interrupt = () => reject(new LinkError('disconnected', true))
        this.#user.probe().then(resolve, reject)
      })
    } catch (error) {
      this.#fail('heartbeat', error)
      return false
    }
    this.#isOpen = this.#client.status === 'ready' && !this.#isClosed
    return this.#isOpen
  }

  async #recover (): Promise<boolean> {
    const isNew = this.#isNew
    this.#isNew = false
    const isDone = await this.#user.recover(isNew)
    this.#firstTry()
    return isDone
  }

  /** Until something happens, or for so many ms, by the process's own clock: a test waits for the next try, and does not wind it. */
  async #pause (ms: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#interrupt = resolve
      if (ms !== undefined) timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
  }
}

/** One word: a code, or how Redis begins its errors. */
function reasonOf (error: unknown): string {
  const { code, message } = error as { code?: string, message: string }
  return code ?? /^[A-Z]+(?= )/.exec(message)?.[0] ?? 'unknown'
}
