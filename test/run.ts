/**
 * `npm test`: runs the tests, as many suites at a time as there are cores. The whole output of each suite is kept in `.build/tap`;
 * failures are printed last.
 *
 *   npm test -- call/limits webhooks    the files whose path contains one of the words
 *   npm test -- --quick                 no browser, no Redis, no example app
 *   npm test -- --coverage              fails where a line or branch of lib is not covered
 */
import { spawn, spawnSync } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Parser, type Result } from 'tap-parser'
import { stringify } from 'yaml'
import { listSuites, type Suite } from './suites.js'

/** A suite that takes longer hangs. tap reports in which test. */
const TIMEOUT_MS = 180_000
const OUTPUT = '.build/tap'
const COVERAGE = '.build/coverage'

interface Failure {
  readonly title: string
  readonly details?: unknown
}

/** The outcome of one suite, or of all. */
class Outcome {
  passed = 0
  skipped = 0
  readonly failures: Failure[] = []

  add (other: Outcome): void {
    this.passed += other.passed
    this.skipped += other.skipped
    this.failures.push(...other.failures)
  }

  /** Counts what a parser reads, and the parsers of its subtests. The line that closes a subtest repeats what its own lines said. */
  read (parser: Parser): void {
    parser.on('child', (child: Parser) => { this.read(child) })
    parser.on('assert', (result: Result) => {
      if (result.closingTestPoint) return
      if (result.skip !== false || result.todo !== false) this.skipped++
      else if (result.ok) this.passed++
      else this.failures.push({ title: result.fullname, details: result.diag })
    })
  }
}

/** Runs a suite in a process of its own. */
async function run ({ name, files }: Pick<Suite, 'name' | 'files'>): Promise<Outcome> {
  const start = performance.now()
  const outcome = new Outcome()
  const parser = new Parser()
  outcome.read(parser)
  const child = spawn(process.execPath, ['--enable-source-maps', '.build/test/group.js', ...files.map(file => `.build/test/${file}.test.js`)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Without NODE_ENV, and with no terminal, logs are those of production.
    env: { ...process.env, NODE_ENV: undefined, TAP_TIMEOUT: '0', ...(withCoverage && { NODE_V8_COVERAGE: COVERAGE }) }
  })
  const timer = setTimeout(() => child.kill('SIGALRM'), TIMEOUT_MS)
  child.stdout.pipe(createWriteStream(`${OUTPUT}/${name.replaceAll('/', '.')}.tap`))
  child.stdout.pipe(parser)
  const code = await new Promise<number | string | null>(resolve => child.once('close', (code, signal) => resolve(code ?? signal)))
  clearTimeout(timer)
  if (outcome.failures.length === 0 && (code !== 0 || outcome.passed + outcome.skipped === 0)) {
    outcome.failures.push({ title: name, details: `the process ended with ${code}, after ${outcome.passed} assertions` })
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1).padStart(6)
  console.log(`${outcome.failures.length === 0 ? 'ok    ' : 'FAILED'} ${seconds} s  ${name}: ${outcome.passed} passed${outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : ''}`)
  return outcome
}

const { positionals: words, values: { coverage: withCoverage, quick: isQuick, jobs } } = parseArgs({
  allowPositionals: true,
  options: {
    coverage: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    jobs: { type: 'string', default: String(availableParallelism()) }
  }
})
const isChosen = (file: string): boolean => words.length === 0 || words.some(word => `test/${file}.test.ts`.includes(word))
const suites = listSuites()
  .filter(suite => suite.isQuick || !isQuick)
  .map(suite => ({ ...suite, files: suite.files.filter(isChosen) }))
  .filter(({ files }) => files.length > 0)

mkdirSync(OUTPUT, { recursive: true })
const total = new Outcome()
const start = performance.now()
await Promise.all(Array.from({ length: Number(jobs) }, async () => {
  for (let suite; (suite = suites.shift()) !== undefined;) total.add(await run(suite))
}))

for (const { title, details } of total.failures) console.log(`\nnot ok: ${title}\n${stringify(details).replaceAll(/^/gm, '  ')}`)
const isCovered = !withCoverage || spawnSync('npx', ['c8', 'report', '--temp-directory', COVERAGE], { stdio: 'inherit' }).status === 0
if (!isCovered) console.log('\nThe tests do not cover all of lib.')
// A skipped test lacks a program: CI has them all.
const isWhole = total.skipped === 0 || process.env['CI'] === undefined
if (!isWhole) console.log('\nCI skips no test.')
console.log(`\nNode ${process.version}, ${((performance.now() - start) / 1000).toFixed(0)} s`)
console.log(`${total.passed} passed, ${total.failures.length} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`)
if (total.failures.length > 0 || total.passed === 0 || !isCovered || !isWhole) process.exitCode = 1
