/**
 * `npm run test:package`: installs the packed package as strangers do, with each package manager, bundler and compiler, and takes calls
 * with what comes of it. What is needed for it is installed below the system's temporary folder, and kept there.
 *
 *   npm run test:package -- pnpm 'typescript 7'    what has one of the words in its name, such as `installed with pnpm`
 */
import { availableParallelism } from 'node:os'
import { BUNDLER_NAMES, tryBundler } from './bundlers.js'
import { COMPILATIONS, tryCompiler } from './compilers.js'
import { install, MANAGER_NAMES, tryManager, trySpans, type ManagerName } from './managers.js'
import { openWorkshop, run } from './workshop.js'

interface Combination {
  readonly name: string
  /** Rejects when it does not work. */
  run (): Promise<void>
}

const TYPES = { '@types/node': '^20.19.0' }

const words = process.argv.slice(2).map(word => word.toLowerCase())
const start = performance.now()
const workshop = await openWorkshop()
console.log(`${secondsSince(start)} s  the tools are installed`)

/** Projects that several combinations use, by the package manager. */
const projects = new Map<ManagerName, Promise<string>>()

function projectOf (manager: ManagerName): Promise<string> {
  const project = projects.get(manager) ?? workshop.folder(`project-${manager}`).then(async folder => {
    await install(workshop, manager, folder, TYPES)
    return folder
  })
  projects.set(manager, project)
  return project
}

// The longest begin first: where these began last, one core would be idle at the end.
const combinations: readonly Combination[] = [
  ...BUNDLER_NAMES.map(name => ({
    name: `bundled with ${name}`,
    run: async () => await tryBundler(workshop, name, await projectOf('npm'))
  })).reverse(),
  // With pnpm a compiler finds no package but the app's own.
  ...COMPILATIONS.map(compilation => ({
    name: `compiled with TypeScript ${compilation.join(', ')}`,
    run: async () => await tryCompiler(workshop, compilation, await projectOf('pnpm'))
  })),
  ...MANAGER_NAMES.map(name => ({ name: `installed with ${name}`, run: async () => await tryManager(workshop, name) })),
  ...['1.9', '1.10'].map(api => ({ name: `spans with OpenTelemetry's API ${api}`, run: async () => await trySpans(workshop, api) })),
  { name: 'started with fastify start', run: async () => { await run(process.execPath, ['.build/test/package/fastify-start.js'], '.') } }
]

const chosen = combinations.filter(({ name }) => words.length === 0 || words.some(word => name.toLowerCase().includes(word)))
const queue = [...chosen]
const failures: string[] = []
await Promise.all(Array.from({ length: availableParallelism() }, async () => {
  for (let next; (next = queue.shift()) !== undefined;) {
    const begin = performance.now()
    const failure = await next.run().then(() => undefined, (error: unknown) => String(error))
    if (failure !== undefined) failures.push(`\nnot ok: ${next.name}\n${failure.replaceAll(/^/gm, '  ')}`)
    console.log(`${failure === undefined ? 'ok    ' : 'FAILED'} ${secondsSince(begin)} s  ${next.name}`)
  }
}))

for (const failure of failures) console.log(failure)
// What failed can be looked at.
if (failures.length === 0) await workshop.close()
console.log(`\nNode ${process.version},${secondsSince(start)} s`)
console.log(`${chosen.length - failures.length} passed, ${failures.length} failed`)
if (failures.length > 0 || chosen.length === 0) process.exitCode = 1

function secondsSince (start: number): string {
  return ((performance.now() - start) / 1_000).toFixed(1).padStart(6)
}
