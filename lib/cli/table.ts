import type { painter } from './terminal.js'
import type { FileResult } from './file-result.js'

const HEADS = ['', 'scenario', 'provider', 'first token', 'first sentence', 'call']

/** Formats results for people: a line for each, then the failures. Times are those of the slowest reply. */
export function toTable (results: readonly FileResult[], paint: ReturnType<typeof painter>): string {
  const rows = results.map(({ name, provider, failures, firstTokenMs, firstSentenceMs, durationMs }) => [
    failures.length === 0 ? 'pass' : 'FAIL', visible(name), provider, ...[firstTokenMs, firstSentenceMs, durationMs].map(inMs)
  ])
  const widths = HEADS.map((head, column) => Math.max(head.length, ...rows.map(row => row[column]!.length)))
  const pad = (cell: string, column: number): string => column > 2 ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
  const line = (cells: readonly string[]): string => cells.map(pad).join('  ').trimEnd()
  const failed = results.filter(({ failures }) => failures.length > 0)
  return [
    paint('note', line(HEADS)),
    ...rows.map((row, index) => paint(results[index]!.failures.length === 0 ? 'pass' : 'error', line(row))),
    ...failed.flatMap(({ name, file, failures }) => [
      '', visible(`${name} (${file})`), ...failures.map(({ at, message }) => paint('error', `  ${visible(`${at}: ${message}`)}`))
    ]),
    '',
    `${results.length - failed.length} passed, ${failed.length} failed`,
    ''
  ].join('\n')
}

function inMs (ms: number | undefined): string {
  return ms === undefined ? '-' : `${Math.round(ms)} ms`
}

// Escapes control characters: a server's text must not move the cursor.
function visible (text: string): string {
  return text.replace(/\p{Cc}/gu, character => JSON.stringify(character).slice(1, -1)
    .replace(/^[\u007f-\u009f]$/, control => `\\u00${control.charCodeAt(0).toString(16)}`))
}
