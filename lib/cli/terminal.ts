import type { Readable, Writable } from 'node:stream'
import { styleText } from 'node:util'

/** Where a command reads and writes: a terminal, or a pipe. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
}

/** The kind of a text. Each kind has its own colour. */
export type Kind = 'agent' | 'note' | 'finding' | 'error' | 'pass'

const STYLES = { agent: 'cyan', note: 'dim', finding: 'yellow', error: 'red', pass: 'green' } as const

/** Makes the function that colours texts: only on terminals, and unless NO_COLOR is set (no-color.org). */
export function painter ({ stdout, env }: Terminal): (kind: Kind, text: string) => string {
  const hasColours = stdout.isTTY === true && (env['NO_COLOR'] ?? '') === ''
  return (kind, text) => hasColours ? styleText(STYLES[kind], text, { validateStream: false }) : text
}
