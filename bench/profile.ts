/**
 * What a CPU profile says: the functions with the most time of their own, and whose code it was.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string, readonly url: string, readonly lineNumber: number }
  readonly children?: readonly number[]
}

/** As Chrome's developer tools and `--cpu-prof` write it. */
interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  /** In microseconds, before each sample. */
  readonly timeDeltas: readonly number[]
}

const MOST_FUNCTIONS = 15
// From where this is compiled to.
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const IDLE = '(idle)'
/** What V8 names instead of a function. */
const PSEUDO: Readonly<Record<string, string>> = {
  '(program)': 'native code and system calls',
  '(garbage collector)': 'garbage collection',
  '(root)': 'native code and system calls'
}
/** Node's own fetch, which is another copy of undici, and what it streams through: first match counts. */
const NODE_PARTS: readonly (readonly [path: string, name: string])[] = [
  ['node:internal/deps/undici/', 'node: fetch'],
  ['node:internal/webstreams/', 'node: web streams'],
  ['node:', 'node: internals']
]

/** @returns the text that is printed of one profile */
export function describeProfile (file: string): string {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
  const functions = new Map<string, number>()
  const packages = new Map<string, number>()
  const selfUs = timesOf(profile)
  const owners = ownersOf(profile.nodes)
  let busyUs = 0
  for (const { id, callFrame } of profile.nodes) {
    const us = selfUs.get(id) ?? 0
    if (callFrame.functionName === IDLE || us === 0) continue
    busyUs += us
    add(functions, `${callFrame.functionName || '(anonymous)'}  ${placeOf(callFrame)}`.trim(), us)
    add(packages, owners.get(id) ?? '', us)
  }
  const share = ([name, us]: readonly [string, number]): string =>
    `${(us / busyUs * 100).toFixed(1).padStart(7)} % ${(us / 1000).toFixed(0).padStart(7)} ms  ${name}\n`
  return `${basename(file)}: ${(busyUs / 1000).toFixed(0)} ms of CPU in ${(sum(profile.timeDeltas) / 1e6).toFixed(1)} s\n` +
    `  functions, time of their own\n${largest(functions).slice(0, MOST_FUNCTIONS).map(share).join('')}` +
    `  by package\n${largest(packages).map(share).join('')}`
}

/** A sample stands for the time until the next one. */
function timesOf ({ samples, timeDeltas }: CpuProfile): Map<number, number> {
  const times = new Map<number, number>()
  for (const [index, id] of samples.entries()) add(times, id, timeDeltas[index + 1] ?? 0)
  return times
}

/** Whose code each node is. Native functions, such as `writev` and undici's HTTP parser, count for whoever called them. */
function ownersOf (nodes: readonly ProfileNode[]): Map<number, string> {
  const owners = new Map<number, string>()
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id] as const)))
  // Parents come before their children.
  for (const { id, callFrame: { functionName, url } } of nodes) {
    const own = url === '' || url.startsWith('wasm:') ? PSEUDO[functionName] : packageOf(url)
    owners.set(id, own ?? owners.get(parents.get(id) ?? NaN) ?? 'native code and system calls')
  }
  return owners
}

function packageOf (url: string): string {
  const part = NODE_PARTS.find(([path]) => url.startsWith(path))
  if (part !== undefined) return part[1]
  const path = pathOf(url)
  const [, dependency] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? []
  if (dependency !== undefined) return dependency
  const [top = path, folder = '', ...below] = path.split('/')
  if (top !== 'dist') return top
  return below.length === 0 ? 'lib' : `lib/${folder}`
}

/** Lines are those of the code that ran: `dist/`, and one line where it was compiled on the way. */
function placeOf ({ url, lineNumber }: ProfileNode['callFrame']): string {
  if (url === '') return ''
  return `${url.startsWith('node:') ? url : pathOf(url).replace(/.*node_modules\//, '')}:${lineNumber + 1}`
}

/** From the package's root. */
function pathOf (url: string): string {
  const path = url.startsWith('file:') ? fileURLToPath(url) : url
  return path.startsWith(ROOT) ? path.slice(ROOT.length) : path
}

function largest (times: ReadonlyMap<string, number>): [string, number][] {
  return [...times].sort(([, a], [, b]) => b - a)
}

function add<K> (times: Map<K, number>, key: K, us: number): void {
  times.set(key, (times.get(key) ?? 0) + us)
}

function sum (values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
