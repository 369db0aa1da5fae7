/**
 * The command line.
 */
import { parseArgs } from 'node:util'
import { SERVERS, type ServerName } from './processes.js'
import { scenarios } from './scenarios/index.js'
import type { Drill, Scenario, Size } from './scenarios/scenario.js'

/** What a run is to do. */
export interface Options {
  readonly runs: number
  readonly size: Size
  readonly scenarios: ReadonlyArray<Scenario | Drill>
  /** What is compared with the baselines. */
  readonly subject: ServerName
  /** Folder for CPU profiles, if any are to be taken. */
  readonly profile: string | undefined
  readonly json: boolean
  /** Do all servers of a scenario run at once, and share its calls? */
  readonly together: boolean
}

const MOST_SEED = 999_999

const names = new Set(scenarios.map(({ name, group = name }) => group))

export const USAGE = `npm run bench -- [options]

  --runs N        runs of each scenario on each server; medians are shown (3)
  --seconds S     length of each measured stretch (6), of the soak and of chaos at least 20
  --only NAMES    scenarios, comma-separated: ${[...names].join(', ')}
                  (all but scale, soak, hostile, instrumented, chaos, tool-pieces, start and what begins with telemetry or clustered)
  --calls N       calls of the idle scenario (5000), of the soak (500) and of chaos (200) at any one time
  --seed N        of what chaos draws by lot; one of its own unless given
  --logs DIR      write the logs of chaos' nodes into this folder
  --together      all servers of a scenario at once, which share its calls: CPU compares well on a machine whose speed changes,
                  delays do not, as all wait for the same cores
  --quick         smoke run of less than a minute: everything is checked, no figure means anything
  --subject NAME  what is compared: ${SERVERS.join(', ')}; a baseline shows what noise alone does to the ratios (plugin)
  --profile DIR   write CPU profiles of the measured stretches into this folder, and where the time went; one run
  --json          print JSON instead of a table
  --help          print this
`

/**
 * @returns undefined when help was asked for
 * @throws when an option is unknown or out of range
 */
export function parseOptions (args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string' },
      calls: { type: 'string' },
      seed: { type: 'string' },
      logs: { type: 'string' },
      together: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      subject: { type: 'string', default: 'plugin' },
      profile: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) return undefined
  const { quick, profile, together } = values
  const subject = SERVERS.find(name => name === values.subject)
  if (subject === undefined) throw new Error(`--subject is one of ${SERVERS.join(', ')}`)
  return {
    runs: number('runs', values.runs ?? (quick || profile !== undefined ? '1' : '3'), 1, 99),
    size: {
      quick,
      servers: 1,
      seconds: number('seconds', values.seconds ?? (quick ? '0.5' : '6'), 0.1, 86_400),
      calls: values.calls === undefined ? undefined : number('calls', values.calls, 10, 10_000),
      seed: values.seed === undefined ? Math.floor(Math.random() * MOST_SEED) : number('seed', values.seed, 0, MOST_SEED),
      logs: values.logs
    },
    scenarios: chosen(values.only, quick, subject),
    subject,
    profile,
    json: values.json,
    together
  }
}

function chosen (only: string | undefined, quick: boolean, subject: ServerName): Array<Scenario | Drill> {
  if (only === undefined) return scenarios.filter(scenario => scenario.alone !== true && scenario.named !== true && !(quick && scenario.slow === true) && canRun(subject, scenario))
  return only.split(',').flatMap(name => {
    const found = scenarios.filter(scenario => scenario.name === name || scenario.group === name)
    if (found.length === 0) throw new Error(`--only: no scenario ${JSON.stringify(name)}`)
    if (!found.every(scenario => canRun(subject, scenario))) throw new Error(`--subject: ${name} does not run on ${subject}`)
    return found
  })
}

/** The bare route has nothing to say, and what is compared with nothing is about the plugin. */
function canRun (subject: ServerName, { alone, subject: own, baselines = [] }: Scenario | Drill): boolean {
  if (own !== undefined) return subject === 'plugin'
  if (alone === true) return subject === 'plugin'
  return subject !== 'route' || baselines.includes('route')
}

function number (name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!(value >= min && value <= max)) throw new Error(`--${name} is a number from ${min} to ${max}`)
  return value
}
