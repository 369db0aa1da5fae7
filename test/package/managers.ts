/**
 * Package managers: each installs the package in an app of its own, which then takes calls as an ES module and as CommonJS.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { copyApp, run, runApp, type Command, type Workshop } from './workshop.js'

export const MANAGER_NAMES = ['npm', 'npm --legacy-peer-deps', 'pnpm', 'Yarn 1', 'Yarn 4', 'Yarn 4 with PnP', 'Bun'] as const

export type ManagerName = typeof MANAGER_NAMES[number]

interface Manager {
  /** What installs. */
  command (workshop: Workshop): Command
  readonly env?: Readonly<Record<string, string>>
  /** What runs a file. Default `node`. */
  runner? (workshop: Workshop): Command
  /** Can a CommonJS app require an ES module? Default true. */
  readonly requires?: boolean
}

const npm = (...flags: string[]): Manager => ({
  command: () => ['npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', ...flags]
})

const YARN_4 = '@yarnpkg/cli-dist/bin/yarn.js'

const yarn4 = (linker: string): Manager => ({
  command: ({ tool }) => [process.execPath, tool(YARN_4), 'install'],
  env: { YARN_NODE_LINKER: linker, YARN_ENABLE_IMMUTABLE_INSTALLS: 'false', YARN_ENABLE_TELEMETRY: 'false' }
})

// Fastify itself needs a package that says it needs Node 22, which only Yarn 1 takes for an error.
const IGNORED = Number.parseInt(process.versions.node) < 22 ? ['--ignore-engines'] : []

const MANAGERS: Readonly<Record<ManagerName, Manager>> = {
  npm: npm(),
  'npm --legacy-peer-deps': npm('--legacy-peer-deps'),
  pnpm: { command: ({ tool }) => [tool('.bin/pnpm'), 'install', '--prefer-offline', '--no-frozen-lockfile'] },
  'Yarn 1': {
    command: ({ tool }) => [process.execPath, tool('yarn/bin/yarn.js'), 'install', '--prefer-offline', '--non-interactive', ...IGNORED]
  },
  'Yarn 4': yarn4('node-modules'),
  // Its hook, which finds packages inside archives, is not asked on `require` of an ES module.
  'Yarn 4 with PnP': { ...yarn4('pnp'), runner: ({ tool }) => [process.execPath, tool(YARN_4), 'node'], requires: false },
  Bun: { command: ({ tool }) => [tool('.bin/bun'), 'install'] }
}

/**
 * Makes a project with Fastify and the package.
 * @param others what else is installed
 */
export async function install (
  workshop: Workshop, name: ManagerName, folder: string, others: Readonly<Record<string, string>> = {}
): Promise<void> {
  const { command, env } = MANAGERS[name]
  const dependencies = { fastify: '^5.12.1', 'fastify-voice-agent': `file:${workshop.tarball}`, ...others }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'app', version: '1.0.0', private: true, dependencies }))
  const [program, ...args] = command(workshop)
  await run(program, args, folder, { ...env, ...await registryFor(name) })
}

// They do not read where npm is told to look.
async function registryFor (name: ManagerName): Promise<Record<string, string>> {
  if (!/Yarn 4|Bun/.test(name)) return {}
  const registry = (await run('npm', ['config', 'get', 'registry'], '.')).trim()
  return name === 'Bun' ? { BUN_CONFIG_REGISTRY: registry } : { YARN_NPM_REGISTRY_SERVER: registry }
}

/** Installs, and takes the calls. */
export async function tryManager (workshop: Workshop, name: ManagerName): Promise<void> {
  const folder = await workshop.folder(name.replaceAll(/\W+/g, '-'))
  const { runner = () => [process.execPath], requires = true } = MANAGERS[name]
  await install(workshop, name, folder)
  for (const format of requires ? ['mjs', 'cjs'] as const : ['mjs'] as const) {
    await copyApp('calls', folder, format)
    await runApp('calls', [...runner(workshop), `calls.${format}`], folder)
  }
}

/** Installs an SDK of OpenTelemetry beside the package, and this minor version of its API, which need not be the package's own. */
export async function trySpans (workshop: Workshop, api: string): Promise<void> {
  const folder = await workshop.folder(`spans-${api}`)
  await install(workshop, 'pnpm', folder, { '@opentelemetry/api': `~${api}.0`, '@opentelemetry/sdk-trace-node': '^2.12.0' })
  await copyApp('spans', folder, 'mjs')
  await runApp('spans', [process.execPath, 'spans.mjs'], folder)
}
