/**
 * One node: a process that comes back where it was, however it ended.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Backend } from './balancer.js'

const START_TIMEOUT_MS = 20_000

const FILE = fileURLToPath(new URL('./node-server.js', import.meta.url))

const running = new Set<ChildProcess>()

process.on('exit', () => { for (const child of running) child.kill('SIGKILL') })

/** Whoever starts it kills it. */
export class Node implements Backend {
  readonly name: string
  readonly address: string
  readonly #env: Readonly<Record<string, string>>
  #port = 0
  #child: ChildProcess | undefined

  /** @param number the first has 1 */
  constructor (number: number, env: Readonly<Record<string, string>>) {
    this.name = `node${number}`
    // Nobody calls from there: its port is free when it comes back.
    this.address = `127.0.1.${number}`
    this.#env = env
  }

  get port (): number {
    return this.#port
  }

  /** Base URL of its own routes. */
  get url (): string {
    return `http://${this.address}:${this.#port}`
  }

  /** Resolves once it listens, on the same port as before. */
  async start (): Promise<void> {
    const child = this.#child = fork(FILE, [], {
      env: { PATH: process.env['PATH'] ?? '', HOST: this.address, PORT: String(this.#port), NODE_NAME: this.name, ...this.#env },
      execArgv: [],
      stdio: ['ignore', 'pipe', 'inherit', 'ipc']
    })
    running.add(child)
    child.once('exit', () => running.delete(child))
    const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`${this.name} ended with ${code ?? signal} before it listened`) })
    const late = AbortSignal.timeout(START_TIMEOUT_MS)
    let printed = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => { printed += text })
    for (let line; ;) {
      line = /^\{"port":(\d+)\}$/m.exec(printed)
      if (line !== null) {
        this.#port = Number(line[1])
        ended.catch(() => {})
        return
      }
      await Promise.race([once(child.stdout!, 'data', { signal: late }), ended])
    }
  }

  /** Resolves once it has ended, by this signal or what it does on it, with its exit code or the signal it died of. */
  async end (signal: 'SIGKILL' | 'SIGTERM'): Promise<number | string | undefined> {
    const child = this.#child
    if (child === undefined || !running.has(child)) return undefined
    const exited = once(child, 'exit')
    child.kill(signal)
    const [code, killed] = await exited as [number | null, string | null]
    return code ?? killed ?? undefined
  }

  /** It does nothing at all, and its connections stand, until it is thawed. */
  freeze (): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw (): void {
    this.#child?.kill('SIGCONT')
  }
}
