/**
 * Which test files share a process: those of a folder do, unless they are named here.
 */
import { readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** Files that run in one process, one after the other. */
export interface Suite {
  readonly name: string
  /** Relative to `test`, without `.test.ts`. */
  readonly files: readonly string[]
}

// The longest begin first, so that no core is idle at the end.
const ALONE: readonly string[] = [
  'playground/page',
  'playground/board-page',
  'e2e/example-app',
  'e2e/dialling',
  // It counts what the garbage collector leaves.
  'call/leaks',
  'e2e/cluster',
  'e2e/shutdown',
  'e2e/hostile-sockets',
  'e2e/broken-input',
  'example-app/telemetry',
  'example-app/logging',
  'cluster/clients',
  'cluster/outages',
  'scenarios/play'
]

/** @returns all suites, in the order in which they are to begin */
export function listSuites (directory: string): Suite[] {
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => file.replaceAll('\\', '/').slice(0, -'.test.ts'.length))
    .sort()
  const missing = ALONE.filter(file => !files.includes(file))
  if (missing.length > 0) throw new Error(`${relative('.', join(directory, 'suites.ts'))} names tests that do not exist: ${missing.join(', ')}`)
  const shared = new Map<string, string[]>()
  for (const file of files) {
    if (ALONE.includes(file)) continue
    const folder = dirname(file) === '.' ? 'test' : dirname(file).split('/')[0]!
    shared.set(folder, [...shared.get(folder) ?? [], file])
  }
  return [
    ...ALONE.map(file => ({ name: file, files: [file] })),
    ...Array.from(shared, ([name, files]) => ({ name, files })).sort((one, other) => other.files.length - one.files.length)
  ]
}
