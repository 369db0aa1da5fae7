import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { speakable } from '../lib/agents/speakable.js'
import { dialUrl, retell } from './helpers/caller.js'
import { runNode } from './helpers/process.js'

const page = readFileSync('docs/speech.md', 'utf8')
const snippets = Array.from(page.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code!)

// Inside the package, so that it is imported by its own name.
const folder = '.tap/speech-docs'
mkdirSync(folder, { recursive: true })
const files = snippets.map((code, n) => {
  const file = join(folder, `snippet-${n + 1}.mts`)
  writeFileSync(file, code.replace('port: 3000', 'port: 0'))
  return file
})

/** The code in a table's cell. */
function written (cell: string): string {
  const [, text] = /^(?:`` ?(.*?) ?``|`(.*)`)$/.exec(cell)?.filter(part => part !== undefined) ?? []
  return text!.replaceAll('\\n', '\n').replaceAll('\\|', '|')
}

t.test('what the tables say is so', async t => {
  const rows = Array.from(page.matchAll(/^\| ([^|]+?) \| (`.+?`) (?:\| (`[^|]+`) )?\|$/gm))
  t.equal(rows.length, 18)
  for (const [, what, text, heard = text] of rows) t.equal(speakable(written(text!)), written(heard!), what!)
})

t.test('the agent speaks what it may', async t => {
  const program = runNode(t, ['--import', 'tsx', files[0]!], { RETELL_ALLOWLIST: '127.0.0.1' })
  const [, port] = await program.says(/listening at http:\/\/127\.0\.0\.1:(\d+)/)
  const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  caller.send(retell.request(1, 'Three rolls 🥖'))
  const reply = await caller.response(1)
  t.equal(reply.map(frame => frame['content']).join(''), 'You said: Three rolls ')
})

t.test('it is switched off by an option there is', async t => {
  const program = runNode(t, ['--import', 'tsx', files[1]!])
  t.equal(await program.exit, 0, program.output())
})
