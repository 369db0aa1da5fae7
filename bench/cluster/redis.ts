/**
 * A Redis server of our own.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, Program } from './program.js'

/** Nobody else calls from here: a port that was free stays free. */
const ADDRESS = '127.0.0.8'

function isReady (output: string): boolean {
  return output.includes('Ready to accept connections')
}

/** Whoever starts it stops it. */
export class Redis {
  readonly url: string
  readonly #folder: string
  readonly #start: () => Program
  #program: Program

  private constructor (folder: string, port: number, isKept: boolean) {
    this.url = `redis://${ADDRESS}:${port}`
    this.#folder = folder
    this.#start = () => new Program('redis-server', ['--bind', ADDRESS, '--port', String(port), '--dir', folder, '--save', '', '--appendonly', isKept ? 'yes' : 'no'])
    this.#program = this.#start()
  }

  /** @param isKept is what it acknowledged there again after a restart? */
  static async start ({ isKept }: { readonly isKept: boolean }): Promise<Redis> {
    const redis = new Redis(await mkdtemp(join(tmpdir(), 'redis-')), await freePort(ADDRESS), isKept)
    await redis.#program.says(isReady)
    return redis
  }

  /** It does not answer, and its connections stand. */
  pause (): void {
    this.#program.signal('SIGSTOP')
  }

  resume (): void {
    this.#program.signal('SIGCONT')
  }

  /** It is gone, in good order or not. */
  async end (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.#program.end(signal)
  }

  /** It is back, where it was. */
  async restart (): Promise<void> {
    this.#program = this.#start()
    await this.#program.says(isReady)
  }

  async stop (): Promise<void> {
    await this.#program.end('SIGKILL')
    await rm(this.#folder, { recursive: true })
  }
}
