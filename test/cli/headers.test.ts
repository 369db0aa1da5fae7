import { join } from 'node:path'
import type { FastifyRequest } from 'fastify'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { readHeaders } from '../../lib/cli/arguments.js'
import voiceAgentPlugin from '../../lib/index.js'
import { setEnv } from '../helpers/env.js'
import { startProgram } from '../helpers/program.js'

setEnv(t)

/** A server that keeps the headers of all handshakes. */
async function serve (t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  const seen: Array<FastifyRequest['headers']> = []
  app.addHook('onRequest', async ({ headers }) => { seen.push(headers) })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, retell: { allowlist: '127.0.0.1' } })
  return { seen, url: `${(await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')}/llm-websocket` }
}

async function run (args: string[]) {
  const program = startProgram(args)
  program.end()
  return { code: await program.exit, output: program.output() }
}

t.test('a call and scenarios are placed with headers of one\'s own, of which those of a scenario win', async t => {
  const { seen, url } = await serve(t)
  const given = ['-H', 'Authorization: Bearer a:b', '--header', 'x-tenant:7', '-H', 'X-Tenant: 8']
  t.match(await run(['call', url, ...given]), { code: 0 })
  t.match(seen.at(-1), { authorization: 'Bearer a:b', 'x-tenant': '7, 8' })

  const directory = t.testdir({ 'mine.yaml': 'call: { headers: { Authorization: Bearer mine } }\nsteps: [hang-up: true]', 'other.yaml': 'steps: [hang-up: true]' })
  for (const [file, authorization] of [['mine.yaml', 'Bearer mine'], ['other.yaml', 'Bearer a:b']] as const) {
    t.match(await run(['test', join(directory, file), '--url', url, ...given]), { code: 0 })
    t.match(seen.at(-1), { authorization, 'x-tenant': '7, 8' }, file)
  }
})

t.test('what is no header is refused by its place, and not quoted', async t => {
  t.strictSame(readHeaders(), {})
  t.strictSame(readHeaders(['Cookie: a=1', 'cookie:b=2', 'x-empty:']), { cookie: 'a=1; b=2', 'x-empty': '' })
  for (const text of ['canary', ': canary', 'x y: canary', 'x: canary\r\ny: 1', 'x: canary\0', 'x: canary \u20ac', '']) {
    t.throws(() => readHeaders(['x: 1', text]), { message: 'header 2 is malformed: write it as -H \'Name: value\'' }, text)
  }
})
