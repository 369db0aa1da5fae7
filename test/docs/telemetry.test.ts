/**
 * docs/telemetry.md is true: it names what is told, and nothing else, and its example runs.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startCollector } from '../helpers/collector.js'
import { runNode } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const text = readFileSync('docs/telemetry.md', 'utf8')

t.test('every attribute and metric stands there, and no other', async t => {
  const code = readdirSync('lib/telemetry').map(file => readFileSync(join('lib/telemetry', file), 'utf8')).join()
  const NAME = /(?:gen_ai|voice_agent|server|error)\.[\w.]*\w/.source
  const told = new Set(Array.from(code.matchAll(new RegExp(`'(${NAME})'`, 'g')), ([, name]) => name!))
  const documented = new Set(Array.from(text.matchAll(new RegExp(`\`(${NAME})\``, 'g')), ([, name]) => name!))
  t.ok(told.size > 40)
  t.strictSame([...documented].sort(), [...told].sort())
})

t.test('the example traces a call that is live when its app closes', async t => {
  const [snippet] = snippetsOf('docs/telemetry.md')
  const { url, spans } = await startCollector(t)
  // As a user would go on.
  const code = `import { RetellCaller } from 'fastify-voice-agent/testing'\n${snippet!.code}const call = await RetellCaller.dial(app)\nawait call.greeting\nawait app.close()\n`
  const program = runNode(t, [compileSnippet('docs/telemetry.md', { ...snippet!, code })], { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', DRAIN_TIMEOUT_MS: '0' })
  t.equal(await program.exit, 0, program.output())
  t.strictSame(spans().map(({ name }) => name).sort(), ['call', 'invoke_agent'])
})
