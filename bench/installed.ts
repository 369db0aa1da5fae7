/**
 * What npm installs for some packages, by `package-lock.json` and the files in `node_modules`. Nothing is downloaded.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>
}

/** What a folder holds of packages. */
interface Installed {
  readonly packages: number
  /** Of disk space. */
  readonly bytes: number
}

/** @returns what an app with these packages has: they, and all that they need */
export function installed (names: readonly string[]): Installed {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as { packages: Record<string, Manifest> }
  const found = new Set<string>()
  const add = (name: string, from: string): void => {
    const path = placeOf(name, from, packages)
    if (found.has(path)) return
    found.add(path)
    const { dependencies = {}, peerDependencies = {}, peerDependenciesMeta = {} } = packages[path]!
    const peers = Object.keys(peerDependencies).filter(peer => peerDependenciesMeta[peer]?.optional !== true)
    for (const needed of [...Object.keys(dependencies), ...peers]) add(needed, path)
  }
  for (const name of names) add(name, '')
  return { packages: found.size, bytes: Array.from(found, diskBytes).reduce((sum, bytes) => sum + bytes, 0) }
}

/** The nearest package with a name, as Node looks for it: in the folder that needs it, and then in those above. */
function placeOf (name: string, from: string, packages: Readonly<Record<string, Manifest>>): string {
  for (let folder = from; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0))) {
    const path = join(folder, 'node_modules', name)
    if (path in packages) return path
    if (folder === '') throw new Error(`package-lock.json has no ${name} for ${from}`)
  }
}

/** The disk space of a package's own files: packages inside it are not included. */
export function diskBytes (folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    if (entry.isDirectory()) return entry.name === 'node_modules' ? sum : sum + diskBytes(join(folder, entry.name))
    return sum + lstatSync(join(folder, entry.name)).blocks * 512
  }, 0)
}
