/**
 * Runs scenarios on two servers in turn, and puts their figures side by side. A soak is compared with nothing.
 */
import { watchForeignCpu } from './foreign-cpu.js'
import type { Options } from './options.js'
import { type Model, type ServerName, startModel, startServer } from './processes.js'
import { type Figure, note, type Scenario } from './scenarios/scenario.js'
import { median } from './statistics.js'

/** One figure of both servers. */
export interface Row {
  readonly scenario: string
  readonly label: string
  readonly unit: string
  readonly better: Figure['better']
  /** Median of {@link Row.subjectRuns}. */
  readonly subject: number
  /** Median of {@link Row.baselineRuns}; NaN, like the ratio, of what is compared with nothing. */
  readonly baseline: number
  /** {@link Row.subject} divided by {@link Row.baseline}. */
  readonly ratio: number
  readonly subjectRuns: readonly number[]
  readonly baselineRuns: readonly number[]
}

/**
 * Runs what the options ask for. Each measurement has a fresh server; the servers take turns, so that a machine that
 * slows down slows both down.
 * @throws on the first wrong, missing or stale word
 */
export async function compare (options: Options, progress: (text: string) => void): Promise<Row[]> {
  const model = await startModel()
  try {
    const rows: Row[] = []
    for (const scenario of options.scenarios) rows.push(...await compareOne(scenario, options, model, progress))
    return rows
  } finally {
    await model.stop()
  }
}

async function compareOne (scenario: Scenario, options: Options, model: Model, progress: (text: string) => void): Promise<Row[]> {
  const subject: Figure[][] = []
  const baseline: Figure[][] = []
  const runs = scenario.slow === true || scenario.alone === true ? 1 : options.runs
  for (let run = 1; run <= runs; run++) {
    progress(`${scenario.name}, run ${run} of ${runs}\n`)
    const onSubject = (): Promise<Figure[]> => runOn(options.subject, scenario, options, model, progress)
    const onBaseline = (): Promise<Figure[]> => runOn('baseline', scenario, options, model, progress)
    if (scenario.alone === true) {
      subject.push(await onSubject())
      continue
    }
    // A smoke run saves time and compares nothing.
    const [ours, theirs] = options.size.quick ? await Promise.all([onSubject(), onBaseline()]) : [await onSubject(), await onBaseline()]
    subject.push(ours)
    baseline.push(theirs)
  }
  return (subject[0] ?? []).map(({ label, unit, better }, index) => {
    const subjectRuns = subject.map(figures => figures[index]?.value ?? NaN)
    const baselineRuns = baseline.map(figures => figures[index]?.value ?? NaN)
    return {
      scenario: scenario.name,
      label,
      unit,
      better,
      subject: median(subjectRuns),
      baseline: median(baselineRuns),
      ratio: median(subjectRuns) / median(baselineRuns),
      subjectRuns,
      baselineRuns
    }
  })
}

async function runOn (name: ServerName, scenario: Scenario, options: Options, model: Model, progress: (text: string) => void): Promise<Figure[]> {
  // In a smoke run both servers share machine and model, and their times cannot be told apart.
  const foreignCpu = options.size.quick ? undefined : await watchForeignCpu(model)
  const server = await startServer(name, model, scenario.model, scenario.env)
  try {
    const figures = await scenario.run({ server, model, size: options.size, progress })
    return [...figures, note('share of the machine taken by other work', '%', await foreignCpu?.(server).then(share => share * 100) ?? NaN)]
  } catch (error) {
    throw new Error(`${scenario.name} on ${name}: ${(error as Error).message}`, { cause: error })
  } finally {
    await server.stop()
  }
}
