/**
 * The table that is printed.
 */
import type { Row } from './compare.js'

/** @returns aligned columns, one line a figure */
export function table (rows: readonly Row[], subject: string): string {
  const lines = [
    ['scenario', 'figure', 'unit', subject, 'baseline', 'ratio', 'better'],
    ...rows.map(row => [row.scenario, row.label, row.unit, rounded(row.subject), rounded(row.baseline), ...judged(row)])
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0))) ?? []
  return lines.map(line => line.map((cell, column) => {
    const width = widths[column] ?? 0
    return column >= 3 && column <= 5 ? cell.padStart(width) : cell.padEnd(width)
  }).join('  ').trimEnd() + '\n').join('')
}

function rounded (value: number): string {
  if (Number.isNaN(value)) return '-'
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en')
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
}

/** What is for information only has no ratio, and neither has anything divided by nothing. */
function judged ({ better, ratio }: Row): [ratio: string, better: string] {
  if (better === 'none') return ['', '']
  return [Number.isFinite(ratio) ? ratio.toFixed(2) : '-', better]
}
