import { readFileSync } from 'node:fs'
import t from 'tap'
import { finishReasonOf } from '../../lib/agents/openai/finish-reason.js'
import { startScriptedModel, usageChunk } from '../../lib/testing/scripted-model.js'
import { servers } from '../agents/openai/corpus/index.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const page = readFileSync('docs/models.md', 'utf8')

t.test('the table has the servers of the corpus, and says of them what the corpus shows', async t => {
  const from = page.indexOf('| server | what')
  const rows = Array.from(page.slice(from, page.indexOf('##', from)).matchAll(/^\| (.+?) \| (.+) \|$/gm)).slice(2).map(([, name, differs]) => [name, differs])
  t.strictSame(rows, servers.map(({ name, differs }) => [name, differs]))
})

t.test('the words for a finish_reason are those that are known', async t => {
  const [, ended, limited, filtered] = /in any case:\s(.+?) for an end;(.+?) for a limit;(.+?) for a filter\./s.exec(page)!
  for (const [words, ending] of [[ended, 'complete'], [limited, 'cut-off'], [filtered, 'filtered']] as const) {
    const reasons = Array.from(words!.matchAll(/`(\w+)`/g), ([, word]) => word)
    t.ok(reasons.length > 3)
    for (const reason of reasons) t.equal(finishReasonOf(reason)?.ending, ending, reason!)
  }
})

t.test('the tests that the page names exist, and have such a test', async t => {
  const named = Array.from(page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`(?:: ([^|\n]+?) \|)?/g))
  t.ok(named.length > 10)
  for (const [, file, name = ''] of named) t.ok(readFileSync(file!, 'utf8').includes(name), `${file}: ${name}`)
})

t.test('the agent of the page asks the server that it is given, and reports on it', async t => {
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  model.next({ steps: ['We open at nine.', usageChunk(20, 10)] })
  const file = snippetsOf('docs/models.md').map(snippet => compileSnippet('docs/models.md', snippet))[0]!
  const program = runNode(t, [file], { RETELL_ALLOWLIST: '127.0.0.1', OPENAI_BASE_URL: model.url })
  const [, port] = await program.says(/listening at http:\/\/127\.0\.0\.1:(\d+)/)
  const caller = await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_1`)
  caller.send(retell.details())
  await caller.response(0)
  caller.send(retell.request(1, 'Are you open?'))
  const reply = await caller.response(1)
  t.equal(reply.map(frame => frame['content']).join(''), 'We open at nine.')
  await program.says(new RegExp(JSON.stringify({ outcome: 'completed', server: new URL(model.url).host, httpStatus: 200, finishReason: 'stop', outputTokens: 10 })))
  t.strictSame(model.requests[0]!.body['stream_options'], { include_usage: true })
})
