/**
 * A program that is not ours, as a process in the foreground, and what it says.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

const running = new Set<ChildProcess>()

process.on('exit', () => { for (const child of running) child.kill('SIGKILL') })

/** Is there such a program on this machine? */
export function isInstalled (command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
}

/** Whoever starts one stops it; none outlives the process. */
export class Program {
  readonly #child: ChildProcess
  readonly #exit: Promise<unknown>
  #output = ''

  constructor (command: string, args: readonly string[]) {
    this.#child = spawn(command, args, { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this.#child)
    this.#exit = once(this.#child, 'close').finally(() => running.delete(this.#child))
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => { this.#output += text })
    }
  }

  /** Resolves once what it has said by now is as it is to be. Rejects when it ends before. */
  async says (check: (output: string) => boolean): Promise<void> {
    const { stdout, stderr } = this.#child
    while (!check(this.#output)) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) throw new Error(`it ended, and had said: ${this.#output}`)
      await Promise.race([once(stdout!, 'data'), once(stderr!, 'data'), this.#exit])
    }
  }

  signal (signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Resolves once it has ended. */
  async end (signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal)
    await this.#exit
  }
}

/** A port of this address that nothing listens on. Where no client calls from this address, nothing will take it, either. */
export async function freePort (address: string): Promise<number> {
  const server = createServer().listen(0, address)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
