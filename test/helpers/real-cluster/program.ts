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
  readonly #waiting = new Set<() => void>()
  #output = ''
  #isOver = false

  constructor (command: string, args: readonly string[]) {
    const child = this.#child = spawn(command, args, { env: { PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(child)
    const hear = (text: string): void => {
      this.#output += text
      for (const look of this.#waiting) look()
    }
    child.stdout!.setEncoding('utf8').on('data', hear)
    child.stderr!.setEncoding('utf8').on('data', hear)
    this.#exit = once(child, 'close').finally(() => {
      running.delete(child)
      this.#isOver = true
      for (const look of this.#waiting) look()
    })
  }

  /** Resolves once what it has said by now is as it is to be. Rejects when it ends before. */
  async says (check: (output: string) => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        const isSaid = check(this.#output)
        if (!isSaid && !this.#isOver) return
        this.#waiting.delete(look)
        if (isSaid) resolve()
        else reject(new Error(`it ended, and had said: ${this.#output}`))
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** Resolves once it has ended. */
  async end (signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal)
    await this.#exit
  }
}
