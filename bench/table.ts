/**
 * The table that is printed.
 */
import type { Row } from './compare.js'
import { SERVERS } from './processes.js'

/** @returns aligned columns, one line a figure: the subject, each baseline, and the subject's ratio to each */
export function table (rows: readonly Row[]): string {
  const subject = [...new Set(rows.map(({ subject }) => subject.server))].join(', ')
  const baselines = SERVERS.filter(name => rows.some(row => row.baselines.some(({ server }) => server === name)))
  const words = ['scenario', 'figure', 'unit']
  const numbers = [subject, ...baselines, ...baselines.map(name => `/ ${name}`)]
  const lines = [
    [...words, ...numbers, 'better'],
    ...rows.map(row => {
      const of = (name: string) => row.baselines.find(({ server }) => server === name)
      return [
        row.scenario, row.label, row.unit, rounded(row.subject.median),
        ...baselines.map(name => rounded(of(name)?.median)),
        ...baselines.map(name => ratio(row, of(name)?.ratio)),
        row.better === 'none' ? '' : row.better
      ]
    })
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map(line => line[column]?.length ?? 0))) ?? []
  return lines.map(line => line.map((cell, column) => {
    const width = widths[column] ?? 0
    const isNumber = column >= words.length && column < words.length + numbers.length
    return isNumber ? cell.padStart(width) : cell.padEnd(width)
  }).join('  ').trimEnd() + '\n').join('')
}

function rounded (value: number | undefined): string {
  if (value === undefined) return ''
  if (Number.isNaN(value)) return '-'
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en')
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)
}

/** What is for information only has no ratio, and neither has anything divided by nothing. */
function ratio ({ better }: Row, value: number | undefined): string {
  if (better === 'none' || value === undefined) return ''
  return Number.isFinite(value) ? value.toFixed(2) : '-'
}
