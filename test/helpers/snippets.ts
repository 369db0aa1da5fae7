import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { transformSync } from 'esbuild'

/** A block of code of a page. */
export interface Snippet {
  /** The file that the page tells readers to put it in, or `snippet-1.ts` and so on. */
  readonly name: string
  readonly language: 'ts' | 'js'
  readonly code: string
}

// Inside the package, so that snippets import it by its own name.
const DIRECTORY = '.build/snippets'

/** The TypeScript and JavaScript of a page, in order. */
export function snippetsOf (page: string): Snippet[] {
  const blocks = readFileSync(page, 'utf8').matchAll(/(?:`([\w-]+\.ts)`:\n\n)?^```(ts|js)\n(.*?)^```$/gms)
  return Array.from(blocks, ([, name, language, code], n) =>
    ({ name: name ?? `snippet-${n + 1}.${language}`, language: language as Snippet['language'], code: code! }))
}

/** Writes a snippet as it stands. @returns its path */
export function writeSnippet (page: string, { name, code }: Snippet): string {
  const directory = join(DIRECTORY, page.replace(/\.md$/, ''))
  mkdirSync(directory, { recursive: true })
  const file = join(directory, name)
  writeFileSync(file, code)
  return file
}

/** Compiles a snippet, which then listens on any free port. @returns the path of a module for `node` */
export function compileSnippet (page: string, { name, language, code }: Snippet): string {
  const compiled = transformSync(code.replace('port: 3000', 'port: 0'), { loader: language, target: 'node20' }).code
  return writeSnippet(page, { name: name.replace(/ts$/, 'js'), language: 'js', code: compiled })
}
