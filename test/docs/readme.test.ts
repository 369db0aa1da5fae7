import { readFileSync } from 'node:fs'
import t from 'tap'
import * as errors from '../../lib/contract/errors.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const readme = readFileSync('README.md', 'utf8')
const snippets = snippetsOf('README.md')

t.equal(snippets.length, 5)

snippets.forEach((snippet, n) => t.test(`snippet ${n + 1} runs as it stands`, async t => {
  const listens = /port: 3000/.test(snippet.code)
  const program = runNode(t, [compileSnippet('README.md', snippet)], listens ? { RETELL_ALLOWLIST: '127.0.0.1' } : {})
  if (!listens) {
    t.equal(await program.exit, 0, program.output())
    return
  }
  const [, port] = await program.says(/listening at http:\/\/127\.0\.0\.1:(\d+)/)
  const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  caller.send(retell.request(1, 'Three rolls'))
  const reply = await caller.response(1)
  t.equal(reply.map(frame => frame['content']).join(''), 'You said: Three rolls. ')
}))

t.test('the first screen says how to install the package, and has the two commands of a clone', async t => {
  const commands = readme.split('\n').slice(0, 20).filter(line => line.startsWith('npm ')).map(line => line.replace(/ +#.*/, ''))
  t.strictSame(commands, ['npm install fastify fastify-voice-agent', 'npm ci && npm start', 'npm ci && npm test'])
})

t.test('every error stands in docs/errors.md', async t => {
  const text = readFileSync('docs/errors.md', 'utf8')
  const codes = Object.values(errors).map(Failure => new Failure('x' as never, 0 as never)).flatMap(error => 'code' in error ? [String(error.code)] : [])
  t.ok(codes.length > 10)
  for (const code of codes) t.ok(text.includes(`\`${code}\``), code)
})

for (const page of ['docs/failures.md', 'docs/SECURITY.md']) {
  t.test(`every row of ${page} is shown by the test it names`, async t => {
    const rows = Array.from(readFileSync(page, 'utf8').matchAll(/\| `(test\/[\w/-]+\.test\.ts)`: (.+?) \|$/gm))
    t.ok(rows.length > 20)
    for (const [, file, title] of rows) t.ok(readFileSync(file!, 'utf8').replaceAll('\\\'', '\'').includes(title!), `${file}: ${title}`)
  })
}

t.test('every member of a report stands in docs/turn-report.md', async t => {
  const text = readFileSync('docs/turn-report.md', 'utf8')
  const [, turn, call] = /interface TurnReport \{(.*?)\n\}.*?(interface CallRecord \{.*?\n\}.*?interface CallSummary extends CallRecord \{.*?\n\})/s.exec(readFileSync('lib/telemetry/report.ts', 'utf8'))!
  const members = Array.from(`${turn}${call}`.matchAll(/readonly (\w+)\??:/g), ([, name]) => name!)
  t.ok(members.length > 25)
  for (const name of members) t.ok(text.includes(`\`${name}\``), name)
})
