/**
 * Runs scenarios on several servers in turn, and puts their figures side by side. Some are compared with nothing.
 */
import { join } from 'node:path'
import { watchForeignCpu } from './foreign-cpu.js'
import type { Options } from './options.js'
import { type Model, type ServerName, startModel, startServer } from './processes.js'
import { type Drill, type Figure, note, type Scenario } from './scenarios/scenario.js'
import { median } from './statistics.js'

/** One figure of one server. */
interface Measured {
  readonly server: ServerName
  readonly median: number
  readonly runs: readonly number[]
}

/** The same figure of what the subject is compared with. */
interface Baseline extends Measured {
  /** The subject's median divided by this one. */
  readonly ratio: number
}

/** One figure of all servers that a scenario runs on. */
export interface Row {
  readonly scenario: string
  readonly label: string
  readonly unit: string
  readonly better: Figure['better']
  readonly subject: Measured
  readonly baselines: readonly Baseline[]
}

/** What a comparison came to. */
export interface Comparison {
  readonly rows: readonly Row[]
  /** Files of the CPU profiles that were taken. */
  readonly profiles: readonly string[]
}

/** What one server did in one run. */
interface Run {
  readonly figures: readonly Figure[]
  readonly profiles: readonly string[]
}

/**
 * Runs what the options ask for. Each measurement has a fresh server; the servers take turns, so that a machine that
 * slows down slows all of them down.
 * @throws on the first wrong, missing or stale word
 */
export async function compare (options: Options, progress: (text: string) => void): Promise<Comparison> {
  const model = await startModel()
  try {
    const rows: Row[] = []
    const profiles: string[] = []
    for (const scenario of options.scenarios) {
      const runs = await runAll(scenario, options, model, progress)
      rows.push(...rowsOf(scenario, scenario.subject ?? options.subject, runs.map(run => run.map(({ figures }) => figures))))
      profiles.push(...runs.flat().flatMap(run => run.profiles))
    }
    return { rows, profiles }
  } finally {
    await model.stop()
  }
}

/** @returns for each run what each server did, the subject first */
async function runAll (scenario: Scenario | Drill, options: Options, model: Model, progress: (text: string) => void): Promise<Run[][]> {
  const runs: Run[][] = []
  const names = [scenario.subject ?? options.subject, ...scenario.baselines ?? []]
  const isTogether = options.size.quick || (options.together && scenario.apart !== true)
  const size = { ...options.size, servers: options.together && isTogether ? names.length : 1 }
  const count = scenario.once === true ? 1 : options.runs
  for (let run = 1; run <= count; run++) {
    progress(`${scenario.name}, run ${run} of ${count}\n`)
    const on = (name: ServerName, index: number): Promise<Run> => {
      // A server may be compared with itself.
      const file = [scenario.name, name, ...(index > 0 && name === names[0] ? ['again'] : []), ...(count > 1 ? [run] : [])].join('-')
      const profile = options.profile === undefined ? undefined : join(options.profile, file)
      return runOn(name, scenario, { ...options, size }, model, progress, profile)
    }
    // A smoke run saves time and compares nothing.
    if (isTogether) runs.push(await Promise.all(names.map(on)))
    else runs.push(await inTurn(names, on))
  }
  return runs
}

async function inTurn<T, R> (values: readonly T[], work: (value: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const [index, value] of values.entries()) results.push(await work(value, index))
  return results
}

function rowsOf ({ name, baselines = [] }: Scenario | Drill, subject: ServerName, runs: readonly (readonly (readonly Figure[])[])[]): Row[] {
  return (runs[0]?.[0] ?? []).map(({ label, unit, better }, figure) => {
    const measured = (server: ServerName, index: number): Measured => {
      const values = runs.map(run => run[index]?.[figure]?.value ?? NaN)
      return { server, median: median(values), runs: values }
    }
    const ours = measured(subject, 0)
    return {
      scenario: name,
      label,
      unit,
      better,
      subject: ours,
      baselines: baselines.map((server, index) => {
        const theirs = measured(server, index + 1)
        return { ...theirs, ratio: ours.median / theirs.median }
      })
    }
  })
}

async function runOn (name: ServerName, scenario: Scenario | Drill, options: Options, model: Model, progress: (text: string) => void, profile: string | undefined): Promise<Run> {
  if ('perform' in scenario) return { figures: await scenario.perform({ size: options.size, progress }), profiles: [] }
  // Where all servers share machine and model, their times cannot be told apart.
  const foreignCpu = options.size.quick || options.size.servers > 1 ? undefined : await watchForeignCpu(model)
  const server = await startServer(name, model, scenario.model, { env: scenario.env, profile })
  try {
    const figures = await scenario.run({ server, model, size: options.size, progress })
    const foreign = await foreignCpu?.(server).then(share => share * 100) ?? NaN
    return { figures: [...figures, note('share of the machine taken by other work', '%', foreign)], profiles: server.profiles }
  } catch (error) {
    throw new Error(`${scenario.name} on ${name}: ${(error as Error).message}`, { cause: error })
  } finally {
    await server.stop()
  }
}
