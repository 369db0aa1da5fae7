/**
 * A program that is not ours, as a process in the foreground, and what it says.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

const running = new Set<ChildProcess>()

process.on('exit', () => { for (const child of running) child.kill('SIGKILL') })

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
