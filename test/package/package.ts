/**
 * The package as it is published, unpacked where nothing else of this repository is in the way.
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { snippetsOf } from '../helpers/snippets.js'

const run = promisify(execFile)

/** What the apps of `test/package/apps` print, whatever installed, bundled or compiled them. */
export const PRINTS: Readonly<Record<string, string>> = {
  calls: `Hello. You said: Tuesday Goodbye. []
Hello. You said: Tuesday Goodbye. []
I look it up. From nine to five. On Tuesday from nine to five. A roll is one euro. []
Ready.
`,
  spans: 'invoke_agent of fastify-voice-agent, call of fastify-voice-agent\n'
}

/** What ES modules that a bundler makes begin with, as users are told. */
export const REQUIRE_BANNER = snippetsOf('docs/installing.md')[0]!.code

/** @returns the path of one of the apps, compiled to an ES module that still imports its packages */
export const appOf = (name: string): string => `.build/test/package/apps/${name}.js`

/** What `npm pack` made. */
export interface Tarball {
  readonly path: string
  /** Paths of the files in it. */
  readonly files: readonly string[]
  readonly unpackedBytes: number
}

/** Packs what is published. What `npm run build` has compiled is bundled in a copy, and stays as it is. */
export async function pack (folder: string): Promise<Tarball> {
  const staged = await mkdtemp(join(tmpdir(), 'staged-'))
  try {
    for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'docs']) await cp(name, join(staged, name), { recursive: true })
    await cp('dist', join(staged, 'dist'), { recursive: true, filter: file => !file.endsWith('.js') || file.includes('/page/') })
    await run(process.execPath, ['bundle.js', join(staged, 'dist')])
    const { stdout } = await run('npm', ['pack', staged, '--json', '--ignore-scripts', '--pack-destination', folder])
    const [{ filename, files, unpackedSize }] = JSON.parse(stdout) as [{ filename: string, files: Array<{ path: string }>, unpackedSize: number }]
    return { path: join(folder, filename), files: files.map(({ path }) => path), unpackedBytes: unpackedSize }
  } finally {
    await rm(staged, { recursive: true })
  }
}

/**
 * Makes a `node_modules` in a folder: the package out of its tarball, and links to what it and Fastify need. They lead into the
 * repository's own folder, so nothing is downloaded.
 * @param copied packages to copy instead
 */
export async function installFlat (folder: string, copied: readonly string[] = []): Promise<void> {
  const modules = join(folder, 'node_modules')
  const own = join(modules, 'fastify-voice-agent')
  await mkdir(own, { recursive: true })
  await run('tar', ['-xzf', (await pack(folder)).path, '-C', own, '--strip-components', '1'])
  for (const name of await installedNames()) {
    await mkdir(join(modules, name, '..'), { recursive: true })
    if (copied.includes(name)) await cp(join('node_modules', name), join(modules, name), { recursive: true })
    else await symlink(resolve('node_modules', name), join(modules, name))
  }
}

/**
 * Makes a `node_modules` as pnpm does, in which an app finds no package but those of its own: Fastify, this one and the types of Node. What
 * theirs need is somewhere else, in a folder that the compiler knows to be none of the app's.
 */
export async function installStrict (folder: string): Promise<void> {
  const modules = join(folder, 'node_modules')
  const store = join(modules, '.pnpm/all')
  // Of a link the compiler would judge the place that it leads to.
  await installFlat(store, ['@sinclair/typebox', '@fastify/error'])
  await mkdir(join(modules, '@types'))
  for (const name of ['fastify', 'fastify-voice-agent']) await symlink(join(store, 'node_modules', name), join(modules, name))
  await symlink(resolve('node_modules/@types/node'), join(modules, '@types/node'))
}

/** What a user of the package has at the top of `node_modules`: nothing that only its development needs. */
async function installedNames (): Promise<string[]> {
  const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8')) as { packages: Record<string, Locked> }
  const names = new Set<string>()
  const add = (name: string): void => {
    const locked = packages[`node_modules/${name}`]
    if (locked === undefined || names.has(name)) return
    names.add(name)
    for (const needed of Object.keys(locked.dependencies ?? {})) add(needed)
  }
  const { dependencies = {}, peerDependencies = {} } = packages['']!
  for (const name of [...Object.keys(dependencies), ...Object.keys(peerDependencies)]) add(name)
  return [...names]
}

interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}
