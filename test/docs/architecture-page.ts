/**
 * The picture of the imports between the folders of lib, in docs/architecture.md.
 */
import { readFileSync } from 'node:fs'
import { readArrows, ROOMS } from '../house/rooms.js'

const MARKED = /(<!-- imports -->\n)[^]*(<!-- \/imports -->)/

function drawing (): string {
  const counts = new Map<string, number>()
  for (const { from, to } of readArrows().filter(({ from }) => from !== 'index')) counts.set(`${from} ${to}`, (counts.get(`${from} ${to}`) ?? 0) + 1)
  const lines = ROOMS.flatMap(from => ROOMS.flatMap(to => {
    const count = counts.get(`${from} ${to}`)
    return count === undefined ? [] : [`  ${from} -->|${count}| ${to}`]
  }))
  return ['```mermaid', 'flowchart TD', ...lines, '```', ''].join('\n')
}

/** @returns the text of docs/architecture.md */
export function architecturePage (): string {
  return readFileSync('docs/architecture.md', 'utf8').replace(MARKED, (_whole, before: string, after: string) => `${before}\n${drawing()}\n${after}`)
}
