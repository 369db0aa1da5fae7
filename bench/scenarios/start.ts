/**
 * What an app with an agent of its own takes to start, and what is installed for it, beside Fastify alone. The package is packed as it is
 * published, and each start is a process of its own; the two apps take turns.
 */
import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { installFlat } from '../../test/package/package.js'
import { diskBytes, installed } from '../installed.js'
import type { StartReport } from '../servers/start.js'
import { median } from '../statistics.js'
import { lower, note, type Drill, type Figure } from './scenario.js'

const RUNS = 21
const MIB = 2 ** 20

const TAKES: ReadonlyArray<readonly [label: string, unit: string, read: (report: StartReport) => number]> = [
  ['CPU until it listens', 'ms', ({ cpuMs }) => cpuMs],
  ['time until it listens', 'ms', ({ wallMs }) => wallMs],
  ['resident memory', 'MiB', ({ rssBytes }) => rssBytes / MIB]
]

export const start: Drill = {
  name: 'start',
  alone: true,
  once: true,
  async perform ({ size, progress }) {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'start-')))
    try {
      await installFlat(folder)
      const own = diskBytes(join(folder, 'node_modules/fastify-voice-agent'))
      const app = join(folder, 'start.mjs')
      await copyFile(fileURLToPath(new URL('../servers/start.js', import.meta.url)), app)
      return [...await startFigures(app, size.quick ? 1 : RUNS, progress), ...await installFigures(own)]
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}

async function startFigures (app: string, runs: number, progress: (text: string) => void): Promise<Figure[]> {
  const alone: StartReport[] = []
  const plugin: StartReport[] = []
  // The first pair fills the caches of the file system.
  for (let run = 0; run <= runs; run++) {
    const pair = [await startOf(app, 'fastify'), await startOf(app, 'plugin')] as const
    if (run === 0) continue
    alone.push(pair[0])
    plugin.push(pair[1])
  }
  progress(`${runs} starts of each\n`)
  return TAKES.flatMap(([label, unit, read]) => beside(label, unit, median(alone.map(read)), median(plugin.map(read))))
}

async function startOf (app: string, kind: 'fastify' | 'plugin'): Promise<StartReport> {
  // Nothing of the user's own environment may configure the plugin.
  const { stderr } = await promisify(execFile)(process.execPath, [app, kind], { env: { PATH: process.env['PATH'] } })
  return JSON.parse(stderr) as StartReport
}

async function installFigures (ownBytes: number): Promise<Figure[]> {
  const { dependencies, peerDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as Record<string, Record<string, string>>
  const alone = installed(Object.keys(peerDependencies!))
  const needed = installed([...Object.keys(dependencies!), ...Object.keys(peerDependencies!)])
  return [
    ...beside('packages', '', alone.packages, needed.packages + 1),
    ...beside('installed', 'MiB', alone.bytes / MIB, (needed.bytes + ownBytes) / MIB)
  ]
}

function beside (label: string, unit: string, alone: number, plugin: number): Figure[] {
  return [
    note(`${label}: Fastify alone`, unit, alone),
    lower(`${label}: with the plugin`, unit, plugin),
    lower(`${label}: ratio`, 'times', plugin / alone)
  ]
}
