/**
 * Compilers: each checks an app and a library, and all types that these reach, and writes declarations.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run, type Workshop } from './workshop.js'

interface Settings {
  readonly module: string
  readonly moduleResolution: string
  /** What a file is: by its extension an ES module (`mts`) or CommonJS (`cts`), or what a bundler makes of it. */
  readonly extensions: readonly string[]
  /** Does the compiler hold that CommonJS cannot require an ES module? */
  readonly isRefused?: boolean
}

const NODENEXT = { module: 'nodenext', moduleResolution: 'nodenext', extensions: ['mts', 'cts'] }

/** What all versions have. */
const BUNDLERS: Readonly<Record<string, Settings>> = {
  bundler: { module: 'esnext', moduleResolution: 'bundler', extensions: ['ts'] },
  'bundler and preserve, CommonJS': { module: 'preserve', moduleResolution: 'bundler', extensions: ['cts'] }
}

const COMPILERS: Readonly<Record<string, Readonly<Record<string, Settings>>>> = {
  5.4: {
    ...BUNDLERS,
    'nodenext, an ES module': { ...NODENEXT, extensions: ['mts'] },
    'nodenext, CommonJS': { ...NODENEXT, extensions: ['cts'], isRefused: true }
  },
  5.9: { ...BUNDLERS, nodenext: NODENEXT },
  6: { ...BUNDLERS, nodenext: NODENEXT },
  7: {
    ...BUNDLERS,
    nodenext: NODENEXT,
    'node20, CommonJS': { module: 'node20', moduleResolution: 'node16', extensions: ['cts'] },
    'node16, CommonJS': { module: 'node16', moduleResolution: 'node16', extensions: ['cts'], isRefused: true }
  }
}

/** A version, and settings of it. */
export type Compilation = readonly [version: string, settings: string]

export const COMPILATIONS: readonly Compilation[] = Object.entries(COMPILERS).flatMap(([version, settings]) =>
  Object.keys(settings).map(name => [version, name] as const))

/** @param project where the package and the types of Node are installed */
export async function tryCompiler (workshop: Workshop, [version, name]: Compilation, project: string): Promise<void> {
  const { extensions, isRefused = false, ...modules } = COMPILERS[version]![name]!
  // In it the compiler looks for packages.
  const folder = join(project, `${version}-${name.replaceAll(/\W+/g, '-')}`)
  await mkdir(folder)
  const files = extensions.flatMap(extension => ['app', 'library'].map(file => `${file}.${extension}`))
  for (const file of files) await copyFile(`test/package/consumers/${file.split('.')[0]}.ts`, join(folder, file))
  const compilerOptions = {
    ...modules,
    target: 'es2022',
    lib: ['es2023'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    esModuleInterop: true,
    skipLibCheck: false,
    declaration: true,
    rootDir: '.',
    outDir: 'out'
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
  const compiled = run(process.execPath, [workshop.tool(`typescript-${version}/bin/tsc`), '--project', folder, '--pretty', 'false'], folder)
  if (!isRefused) await compiled
  else {
    const said = await compiled.then(() => 'nothing', String)
    if (!said.includes('TS1479')) throw new Error(`TypeScript was to refuse the import of an ES module, and said: ${said}`)
  }
}
