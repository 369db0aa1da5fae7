/**
 * docs/testing.md is true: its scenario passes, its code runs, its findings are those that there are.
 */
import { readFileSync } from 'node:fs'
import t from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import voiceAgentPlugin, { openAIAgent } from '../../lib/index.js'
import { FINDING_CODES, MillisCaller, playScenario, readScenario, RetellCaller } from '../../lib/testing/index.js'
import { createApp } from '../../example-app/app.js'
import playground from '../../lib/playground/index.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

const docs = readFileSync('docs/testing.md', 'utf8')
const blocks = (language: string): string[] => Array.from(docs.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')), ([, code]) => code!)

t.test('the scenario is the example app\'s, and passes', async t => {
  const [yaml] = blocks('yaml') as [string]
  t.strictSame(readScenario(yaml), readScenario(readFileSync('example-app/scenarios/appointment.yaml', 'utf8')))
  const app = createApp()
  t.teardown(() => app.close())
  t.strictSame((await playScenario(app, readScenario(yaml))).failures, [])
})

t.test('the code runs', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', openAIAgent({ baseURL: 'http://127.0.0.1:1' }))
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0 })
  const run = async (code: string): Promise<void> => {
    const body = code.replace(/^import .*$/gm, '')
    const logged = { log: () => {} }
    // eslint-disable-next-line no-new-func
    await (new Function('app', 'RetellCaller', 'MillisCaller', 'playground', 'console', `return (async () => { ${body} })()`) as (app: FastifyInstance, ...more: unknown[]) => Promise<void>)(app, RetellCaller, MillisCaller, playground, logged)
  }
  const [test, page] = blocks('js') as [string, string]
  const { NODE_ENV } = process.env
  Object.assign(process.env, { PLAYGROUND: 'true', NODE_ENV: 'test' })
  t.teardown(() => {
    delete process.env['PLAYGROUND']
    if (NODE_ENV === undefined) delete process.env['NODE_ENV']
    else process.env['NODE_ENV'] = NODE_ENV
  })
  await run(page)
  await run(test)
  t.equal((await app.inject('/')).statusCode, 403)
})

t.test('every finding is explained, and no other', async t => {
  const [, table] = docs.split('## Findings') as [string, string]
  const explained = table.split('\n').flatMap(line => Array.from((line.split('|')[1] ?? '').matchAll(/`([\w-]+)`/g), ([, code]) => code))
  t.strictSame(explained.toSorted(), FINDING_CODES.toSorted())
})
