/**
 * The command line.
 */
import { parseArgs } from 'node:util'
import type { ServerName } from './processes.js'
import { scenarios } from './scenarios/index.js'
import type { Scenario, Size } from './scenarios/scenario.js'

/** What a run is to do. */
export interface Options {
  readonly runs: number
  readonly size: Size
  readonly scenarios: readonly Scenario[]
  /** What is compared with the baseline. */
  readonly subject: ServerName
  readonly json: boolean
}

export const USAGE = `npm run bench -- [options]

  --runs N        runs of each scenario on each server; medians are shown (3)
  --seconds S     length of each measured stretch (6), of the soak at least 20
  --only NAMES    scenarios, comma-separated: ${scenarios.map(scenario => scenario.name).join(', ')}
                  (all but soak, which is compared with nothing)
  --calls N       calls of the idle scenario (2000), and of the soak at any one time (500)
  --quick         smoke run of some 20 s: everything is checked, no figure means anything
  --subject NAME  plugin, or baseline to see what the machine's noise alone does to the ratios (plugin)
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
      quick: { type: 'boolean', default: false },
      subject: { type: 'string', default: 'plugin' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) return undefined
  const { quick, subject } = values
  if (subject !== 'plugin' && subject !== 'baseline') throw new Error('--subject is plugin or baseline')
  return {
    runs: number('runs', values.runs ?? (quick ? '1' : '3'), 1, 99),
    size: {
      quick,
      seconds: number('seconds', values.seconds ?? (quick ? '0.5' : '6'), 0.1, 86_400),
      calls: values.calls === undefined ? undefined : number('calls', values.calls, 10, 10_000)
    },
    scenarios: chosen(values.only, quick, subject),
    subject,
    json: values.json
  }
}

function chosen (only: string | undefined, quick: boolean, subject: ServerName): Scenario[] {
  if (only === undefined) return scenarios.filter(({ alone, slow }) => alone !== true && !(quick && slow === true))
  return only.split(',').map(name => {
    const found = scenarios.find(scenario => scenario.name === name)
    if (found === undefined) throw new Error(`--only: no scenario ${JSON.stringify(name)}`)
    if (found.alone === true && subject !== 'plugin') throw new Error(`--subject: ${name} runs on the plugin only`)
    return found
  })
}

function number (name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!(value >= min && value <= max)) throw new Error(`--${name} is a number from ${min} to ${max}`)
  return value
}
