import t from 'tap'
import Fastify from 'fastify'
import playground, { playground as named } from '../../lib/playground/index.js'
import { whyOff } from '../../lib/playground/switch.js'
import { createApp } from '../helpers/app.js'
import { ENABLED, injectWithCookie } from '../helpers/playground.js'

const NOT_SWITCHED_ON = 'PLAYGROUND (option enabled) is not true'
const NOT_DEVELOPMENT = 'NODE_ENV is neither development nor test'
const NO_TERMINAL = 'NODE_ENV is not set, and standard output is no terminal'

t.test('it is off unless the operator switches it on, and stays off in production', async t => {
  const on = undefined
  const cases: Array<[enabled: boolean | undefined, PLAYGROUND: string | undefined, NODE_ENV: string | undefined, isTTY: boolean, why: string | undefined]> = [
    [undefined, undefined, 'development', true, NOT_SWITCHED_ON],
    [undefined, '', 'development', true, NOT_SWITCHED_ON],
    [undefined, 'false', 'development', true, NOT_SWITCHED_ON],
    [undefined, '1', 'development', true, NOT_SWITCHED_ON],
    [undefined, undefined, undefined, true, NOT_SWITCHED_ON],
    [undefined, 'true', 'development', false, on],
    [undefined, 'true', 'test', false, on],
    [undefined, 'true', undefined, true, on],
    [undefined, 'true', '', true, on],
    [undefined, 'true', undefined, false, NO_TERMINAL],
    [undefined, 'true', '', false, NO_TERMINAL],
    [undefined, 'true', 'production', true, NOT_DEVELOPMENT],
    [undefined, 'true', 'production', false, NOT_DEVELOPMENT],
    [undefined, 'true', 'Production', true, NOT_DEVELOPMENT],
    [undefined, 'true', 'staging', true, NOT_DEVELOPMENT],
    [false, 'true', 'development', true, NOT_SWITCHED_ON],
    [true, undefined, 'production', false, on],
    [true, 'false', undefined, false, on]
  ]
  for (const [enabled, PLAYGROUND, NODE_ENV, isTTY, why] of cases) {
    t.equal(whyOff(enabled, { env: { PLAYGROUND, NODE_ENV }, stdout: { isTTY } }), why, JSON.stringify({ enabled, PLAYGROUND, NODE_ENV, isTTY }))
  }
})

t.test('where it is off nothing is served, and one line at info says why', async t => {
  const { app, logs } = createApp(t, 'info')
  await app.register(playground, { enabled: false, allowRemote: true })
  for (const url of ['/', '/calls', '/calls/events', '/playground/call', '/playground/main.js']) t.equal((await injectWithCookie(app, url)).statusCode, 404, url)
  t.match(logs.filter(({ msg }) => msg.includes('playground is')), [{ level: 30, msg: `the playground is off: ${NOT_SWITCHED_ON}` }])
})

t.test('the environment switches it on', async t => {
  const before = { PLAYGROUND: process.env['PLAYGROUND'], NODE_ENV: process.env['NODE_ENV'] }
  t.teardown(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  for (const [environment, status] of [['development', 403], ['production', 404]] as const) {
    Object.assign(process.env, { PLAYGROUND: 'true', NODE_ENV: environment })
    const { app } = createApp(t)
    await app.register(playground)
    t.equal((await app.inject('/')).statusCode, status, environment)
  }
})

t.test('a token that cannot stand in a URL and a cookie stops the start, and is not quoted', async t => {
  for (const token of ['', 'a b', 'canary;', 'canary&x', 'canäry', 'canary\n']) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => await app.register(named, { ...ENABLED, token }), { code: 'VOICE_AGENT_ERR_CONFIG', message: 'option token must be letters, digits and any of . _ ~ -' }, token)
  }
})
