import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Test } from 'tap'

/** A program under test, as a process of its own. */
export interface Program {
  /** Everything it wrote so far, to stdout and stderr. */
  output (): string
  /** Resolves with the match as soon as its output holds one. Rejects when it exits without. */
  says (pattern: RegExp): Promise<RegExpExecArray>
  /** Sends a signal. */
  kill (signal: NodeJS.Signals): void
  /** Resolves with its exit code, or the signal it died of. */
  exit: Promise<number | string>
}

/** How a program is run. */
export interface RunOptions {
  /** In a terminal. */
  readonly isTTY?: boolean
  /** A command that takes the program's own as its arguments, and ends with it. */
  readonly within?: readonly string[]
}

/** Runs `node` with these arguments in the repository's root; killed when the test ends. */
export function runNode (t: Test, args: string[], env: Record<string, string> = {}, { isTTY = false, within = [] }: RunOptions = {}): Program {
  const whole = [...within, process.execPath, ...args]
  const [command, ...commandArgs] = isTTY ? ['script', '-qefc', whole.join(' '), '/dev/null'] : whole
  const child = spawn(command!, commandArgs, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  const collect = (chunk: Buffer): void => { output += String(chunk) }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  const exit = once(child, 'close').then(([code, signal]) => code ?? signal)
  t.teardown(async () => {
    // What runs in a terminal would outlive it.
    child.kill(isTTY ? 'SIGTERM' : 'SIGKILL')
    await exit
  })
  return {
    output: () => output,
    kill: signal => child.kill(signal),
    exit,
    says: pattern => new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(output)
        if (match !== null) resolve(match)
      }
      child.stdout.on('data', look)
      child.stderr.on('data', look)
      child.on('close', () => reject(new Error(`the program ended without saying ${pattern}: ${output}`)))
      look()
    })
  }
}
