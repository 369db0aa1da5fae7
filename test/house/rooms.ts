/**
 * The folders of lib, from the roof to the ground, and what each imports of the others. A folder imports only from those below it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import ts from 'typescript'

/** From the roof to the ground. The linter reads the same file. */
export const ROOMS = JSON.parse(readFileSync('test/house/rooms.json', 'utf8')) as readonly string[]

/** An import of one folder from another one. */
export interface Arrow {
  readonly from: string
  readonly to: string
  readonly file: string
}

const roomOf = (file: string): string => file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, '')

/** Reads the imports, and re-exports, between folders of lib. */
export function readArrows (): Arrow[] {
  const files = readdirSync('lib', { recursive: true, encoding: 'utf8' }).map(file => file.replaceAll('\\', '/')).filter(file => file.endsWith('.ts'))
  return files.flatMap(file => ts.preProcessFile(readFileSync(`lib/${file}`, 'utf8')).importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => ({ file, from: roomOf(file), to: roomOf(posix.join(dirname(file), fileName).replace(/\.js$/, '.ts')) }))
    .filter(({ from, to }) => from !== to))
}
