/**
 * Plays scenarios against any server that speaks a provider's protocol.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { playScenario, readScenario, ScenarioError, type Scenario } from '../testing/index.js'
import { DIAL_OPTIONS, readArguments, readHeaders } from './arguments.js'
import { CALLER_PROVIDER_NAMES } from '../testing/providers.js'
import type { FileResult } from './file-result.js'
import { toJUnit } from './junit.js'
import { readServer, type Server } from './server.js'
import { toTable } from './table.js'
import { painter, type Terminal } from './terminal.js'

const NAMES = CALLER_PROVIDER_NAMES.join('|')

/** The help text. */
export const TEST_USAGE = `fastify-voice-agent test FILE... --url URL [options]

  Plays scenarios, each of which is a call in YAML, against a server, as ws://localhost:3000/llm-websocket.

  --provider ${NAMES.padEnd(16)} for scenarios that name none; else told by the URL
  -H, --header 'Name: value'  a header of the handshakes, unless the scenario has it; may be given several times
  --concurrency N             calls at a time; 10 unless told otherwise
  --json                      print results as JSON
  --junit FILE                write them as JUnit's XML, too
`

/** A scenario and its file. */
interface Named {
  readonly file: string
  readonly scenario: Scenario
}

/** @returns the exit code: 1 if a scenario failed; 2 if the arguments or a scenario are wrong */
export async function test (args: readonly string[], terminal: Terminal): Promise<number> {
  const paint = painter(terminal)
  let parsed: Arguments
  let scenarios: Named[]
  try {
    parsed = read(args)
    scenarios = await Promise.all(parsed.files.map(load))
    // Fail before any call if the report cannot be written.
    if (parsed.junit !== undefined) await writeFile(parsed.junit, '')
  } catch (error) {
    const usage = error instanceof ScenarioError || 'syscall' in (error as Error) ? '' : `\n${TEST_USAGE}`
    terminal.stderr.write(`${paint('error', (error as Error).message)}\n${usage}`)
    return 2
  }
  const results = await playAll(scenarios, parsed, terminal)
  terminal.stdout.write(parsed.json ? `${JSON.stringify(results, undefined, 2)}\n` : toTable(results, paint))
  if (parsed.junit !== undefined) await writeFile(parsed.junit, toJUnit(results))
  return results.every(({ failures }) => failures.length === 0) ? 0 : 1
}

/** The parsed arguments. */
interface Arguments {
  readonly files: readonly string[]
  readonly server: Server
  readonly headers: Readonly<Record<string, string>>
  readonly concurrency: number
  readonly json: boolean
  readonly junit: string | undefined
}

function read (args: readonly string[]): Arguments {
  const { values, positionals: files } = readArguments(args, {
    url: { type: 'string' },
    ...DIAL_OPTIONS,
    concurrency: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
    junit: { type: 'string' }
  })
  if (files.length === 0) throw new Error('no scenario is named')
  const concurrency = Number(values.concurrency)
  if (!Number.isInteger(concurrency) || concurrency < 1) throw new Error('--concurrency is a number from 1')
  const { url, provider, header, json, junit } = values
  return { files, server: readServer(url, provider), headers: readHeaders(header), concurrency, json, junit }
}

async function load (file: string): Promise<Named> {
  const scenario = readScenario(await readFile(file, 'utf8'), file)
  return { file, scenario: { name: file, ...scenario } }
}

async function playAll (
  scenarios: readonly Named[], { server, headers, concurrency }: Arguments, { stderr }: Terminal
): Promise<FileResult[]> {
  const { url, provider } = server
  const results: FileResult[] = []
  const waiting = [...scenarios.entries()]
  let done = 0
  let failed = 0
  // Overwrites the previous progress line; silent unless standard error is a terminal.
  const show = (text: string): void => { if (stderr.isTTY === true) stderr.write(`\r\u001b[K${text}`) }
  const play = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, { file, scenario }] = next
      const result = results[index] = { file, ...await playScenario(url, scenario, { provider, headers }) }
      done++
      if (result.failures.length > 0) failed++
      show(`${done} of ${scenarios.length} calls, ${failed} failed`)
    }
  }
  show(`0 of ${scenarios.length} calls`)
  await Promise.all(Array.from({ length: Math.min(concurrency, scenarios.length) }, play))
  show('')
  return results
}
