import { readFileSync } from 'node:fs'
import t from 'tap'
import { speakable } from '../../lib/speech/speakable.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const page = readFileSync('docs/speech.md', 'utf8')
const files = snippetsOf('docs/speech.md').map(snippet => compileSnippet('docs/speech.md', snippet))

/** The code in a table's cell. */
function written (cell: string): string {
  const [, text] = /^(?:`` ?(.*?) ?``|`(.*)`)$/.exec(cell)?.filter(part => part !== undefined) ?? []
  return text!.replaceAll('\\n', '\n').replaceAll('\\|', '|')
}

t.test('what the tables say is so', async t => {
  const rows = Array.from(page.matchAll(/^\| ([^|]+?) \| (`.+?`) (?:\| (`[^|]+`) )?\|$/gm))
  t.equal(rows.length, 29)
  for (const [, what, text, heard = text] of rows) t.equal(speakable(written(text!), { tools: ['cancel_booking'] }), written(heard!), what!)
})

t.test('the agent speaks what it may', async t => {
  const program = runNode(t, [files[0]!], { RETELL_ALLOWLIST: '127.0.0.1' })
  const [, port] = await program.says(/listening at http:\/\/127\.0\.0\.1:(\d+)/)
  const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  caller.send(retell.request(1, 'Three rolls 🥖'))
  const reply = await caller.response(1)
  t.equal(reply.map(frame => frame['content']).join(''), 'You said: Three rolls ')
})

t.test('it is switched off by an option there is', async t => {
  const program = runNode(t, [files[1]!])
  t.equal(await program.exit, 0, program.output())
})
