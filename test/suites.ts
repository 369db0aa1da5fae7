/**
 * Which test files share a process, and which belong to the quick run.
 */
import { readdirSync } from 'node:fs'

/** Files that run in one process, one after the other. */
export interface Suite {
  readonly name: string
  /** Relative to `test`, without `.test.ts`. */
  readonly files: readonly string[]
  /** Is it part of the quick run? That has no browser, no Redis, no process but the tests' own, and hardly waits. */
  readonly isQuick: boolean
}

/** Files with a process of their own, the longest first: where these began last, one core would be idle at the end. */
const ALONE: readonly string[] = [
  'playground/page',
  'playground/live-calls-page',
  'playground/strangers',
  'e2e/example-app',
  'e2e/cluster',
  'agents/openai/corpus',
  'agents/openai/cuts',
  'e2e/hostile-sockets',
  'e2e/dialling',
  'e2e/shutdown',
  'e2e/broken-input',
  'types/types',
  'example-app/telemetry',
  'cluster/clients',
  'cluster/outages',
  'testing/scenarios/play',
  'example-app/logging',
  // It counts what the garbage collector leaves.
  'call/leaks'
]

const SLOW = new Set(['cli', 'cluster', 'config', 'docs', 'e2e', 'example-app', 'house', 'package', 'playground', 'types'])

/** @returns all suites, in the order in which they are to begin. A folder is a suite, without the files that run alone */
export function listSuites (): Suite[] {
  const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => file.slice(0, -'.test.ts'.length).replaceAll('\\', '/'))
    .sort()
  const gone = ALONE.filter(file => !files.includes(file))
  if (gone.length > 0) throw new Error(`test/suites.ts names files that do not exist: ${gone.join(', ')}`)

  const folders = new Map<string, string[]>()
  for (const file of files.filter(file => !ALONE.includes(file))) {
    const folder = file.includes('/') ? file.slice(0, file.indexOf('/')) : 'test'
    folders.set(folder, [...folders.get(folder) ?? [], file])
  }
  return [
    ...ALONE.map(file => ({ name: file, files: [file], isQuick: false })),
    ...Array.from(folders, ([name, files]) => ({ name, files, isQuick: !SLOW.has(name) })).sort((one, other) => other.files.length - one.files.length)
  ]
}
