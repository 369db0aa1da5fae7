/**
 * The folder, below the system's temporary one, in which packages are installed, apps are made and bundles are run.
 */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { transform } from 'esbuild'
import { appOf, pack, PRINTS } from './package.js'

/** What the matrix needs beside this repository, as npm has it. None of it is a dependency: together it is larger than all of them. */
const TOOLS: Readonly<Record<string, string>> = {
  '@rollup/plugin-commonjs': '29',
  '@rollup/plugin-json': '6',
  '@rollup/plugin-node-resolve': '16',
  '@vercel/ncc': '0.45',
  '@yarnpkg/cli-dist': '4',
  bun: '1',
  pnpm: '12',
  rollup: '4',
  'typescript-5.4': 'npm:typescript@~5.4.0',
  'typescript-5.9': 'npm:typescript@~5.9.0',
  'typescript-6': 'npm:typescript@~6.0.0',
  'typescript-7': 'npm:typescript@~7.0.0',
  webpack: '5',
  'webpack-cli': '7',
  yarn: '1'
}

/** Where everything is. */
export interface Workshop {
  /** The packed package. */
  readonly tarball: string
  /** @returns the path of a file of a tool, such as `yarn/bin/yarn.js` */
  tool (path: string): string
  /** @returns a new folder, with nothing above it in which Node would look for packages */
  folder (name: string): Promise<string>
  /** Removes its folders, but not the tools. */
  close (): Promise<void>
}

/** Installs the tools, unless an earlier run has, and packs the package. */
export async function openWorkshop (): Promise<Workshop> {
  const root = join(await realpath(tmpdir()), 'fastify-voice-agent-matrix')
  const tools = join(root, 'tools')
  const manifest = JSON.stringify({ private: true, dependencies: TOOLS })
  const file = join(tools, 'package.json')
  if (!existsSync(join(tools, 'node_modules/.package-lock.json')) || readFileSync(file, 'utf8') !== manifest) {
    await mkdir(tools, { recursive: true })
    await writeFile(file, manifest)
    await run('npm', ['install', '--prefer-offline', '--no-package-lock'], tools)
  }
  // One of its own for each run: package managers take a tarball with the path of an earlier one for the same.
  const folder = await mkdtemp(join(root, 'run-'))
  return {
    tarball: (await pack(folder)).path,
    tool: path => join(tools, 'node_modules', path),
    async folder (name) {
      const made = join(folder, name)
      await mkdir(made, { recursive: true })
      return made
    },
    async close () { await rm(folder, { recursive: true }) }
  }
}

// What `npm run` tells its scripts would be taken for settings. The address of the registry may be one.
const INHERITED = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_ENV$|npm_(?!config_registry))/i.test(name)))

/** A program, and arguments. */
export type Command = readonly [string, ...string[]]

/** Runs a program to its end. @returns what it prints. Rejects with all that it printed when it fails */
export async function run (
  command: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}
): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile(command, args, { cwd, env: { ...INHERITED, ...env }, maxBuffer: 64 * 1_024 ** 2 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${command} ${args.join(' ')} in ${cwd}: exit ${error.code}\n${stdout}${stderr}`))
    })
  })
}

/**
 * Runs an app of `apps`. Rejects when it prints something else than it should, on standard output.
 * @param command what runs it: a program and its arguments
 */
export async function runApp (name: string, [program, ...args]: Command, cwd: string): Promise<void> {
  const printed = await run(program, args, cwd, { NODE_ENV: 'production' })
  if (printed !== PRINTS[name]) throw new Error(`${name} in ${cwd} printed:\n${printed}\nand should have printed:\n${PRINTS[name]}`)
}

/** Copies an app of `apps` into a folder, as an ES module (`mjs`) or as CommonJS (`cjs`). */
export async function copyApp (name: string, folder: string, format: 'mjs' | 'cjs'): Promise<void> {
  const { code } = await transform(await readFile(appOf(name), 'utf8'), { format: format === 'mjs' ? 'esm' : 'cjs' })
  await writeFile(join(folder, `${name}.${format}`), code)
}
