/**
 * docs/cluster.md is true: two processes of its example go on with one another's calls; its variables are
 * those that there are.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { envSchema } from '../../lib/index.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { runNode } from '../helpers/process.js'
import { noRedis, startRedis, until } from '../helpers/redis.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const text = readFileSync('docs/cluster.md', 'utf8')
const file = compileSnippet('docs/cluster.md', snippetsOf('docs/cluster.md').find(({ language }) => language === 'ts')!)

t.test('of two processes of the example one goes on with a call when the other is killed', { skip: noRedis }, async t => {
  const redis = await startRedis(t)
  const env = { MY_REDIS: redis.url, RETELL_ALLOWLIST: '127.0.0.1' }
  const start = async () => {
    const program = runNode(t, [file], env)
    const [, port] = await program.says(/Server listening at http:\/\/127\.0\.0\.1:(\d+)/)
    return { program, dial: async () => await dialUrl(t, `ws://127.0.0.1:${port}/llm-websocket/call_1`) }
  }
  const [a, b] = [await start(), await start()]
  const first = await a.dial()
  first.send(retell.details())
  t.match((await first.response(0)).at(-1), { content: 'Answer 1.' })
  first.send(retell.request(1, 'Hi'))
  t.match((await first.response(1)).at(-1), { content: 'Answer 2.' })
  first.send(retell.request(2, 'Hi', 'Answer 2.', 'Hi'))
  t.match((await first.response(2)).at(-1), { content: 'Answer 3.' })
  // What it said leaves a moment before what it knows.
  await until(async () => (await redis.client.hget('voice-agent:{call_1}:retell', 'f:state'))?.includes('"answers":3') === true)
  a.program.kill('SIGKILL')
  await first.closed

  const second = await b.dial()
  second.send(retell.request(3, 'Hi', 'Answer 2.', 'Hi', 'Answer 3.', 'And now?'))
  t.match((await second.response(3)).at(-1), { content: 'Answer 4.' })
  await b.program.says(/it began on another node/)
})

t.test('its variables are those that there are', async t => {
  const rows = Array.from(text.matchAll(/^\| `(\w+)` \| `([\w.]+)` \| (.*?) \|/gm), ([, variable, option, standard]) => [variable, option, standard])
  t.equal(rows.length, 4)
  for (const [variable, option, standard] of rows) {
    const schema = envSchema.properties[variable as keyof typeof envSchema.properties]
    t.equal(schema?.title, option)
    if (/^[`\d]/.test(standard!)) t.equal(String(schema.default), standard!.replaceAll('`', ''))
  }
})
