import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { architecturePage } from '../docs/architecture-page.js'
import { readArrows, ROOMS } from './rooms.js'

t.test('each folder of lib has its place in the list', async t => {
  const entries = readdirSync('lib').map(entry => entry.replace(/\.ts$/, ''))
  t.strictSame(entries.sort(), [...ROOMS].sort())
})

t.test('imports lead down', async t => {
  for (const { from, to, file } of readArrows()) t.ok(ROOMS.indexOf(from) < ROOMS.indexOf(to), `${file} imports from ${to}`)
})

t.test('docs/architecture.md shows the imports as they are', async t => {
  t.equal(readFileSync('docs/architecture.md', 'utf8'), architecturePage())
})

t.test('and has a line for each folder', async t => {
  const page = readFileSync('docs/architecture.md', 'utf8')
  for (const room of ROOMS) t.match(page, new RegExp(`^\\| \`${room}(/|\\.ts)\` \\|`, 'm'), room)
})
