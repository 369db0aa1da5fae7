import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { run } from '../../lib/cli/run.js'

/** Runs a command with what is typed or piped. */
export function startProgram (args: string[], { isTTY = false, env = {} }: { isTTY?: boolean, env?: Record<string, string> } = {}) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()].map(stream => Object.assign(stream, { isTTY })) as unknown as [PassThrough, PassThrough, PassThrough]
  let output = ''
  for (const stream of [stdout, stderr]) stream.on('data', data => { output += String(data) })
  const exit = run(args, { stdin, stdout, stderr, env })
  return {
    exit,
    output: () => output,
    type: (...lines: string[]) => { for (const line of lines) stdin.write(`${line}\n`) },
    press: (key: string) => { stdin.write(key) },
    end: () => { stdin.end() },
    async says (text: string | RegExp): Promise<void> {
      const at = (): number => typeof text === 'string' ? output.indexOf(text) : output.search(text)
      while (at() === -1) await once(stdout, 'data')
      output = output.slice(at() + 1)
    }
  }
}
