import { spawnSync } from 'node:child_process'
import { setImmediate as nextLoopTurn } from 'node:timers/promises'
import t from 'tap'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { build, deferred } from '../helpers/app.js'
import { dialUrl, retell } from '../helpers/caller.js'
import { compiledArgumentsOf } from '../helpers/example-app.js'
import { runNode, type Program } from '../helpers/process.js'
import { compileSnippet, snippetsOf } from '../helpers/snippets.js'

const args = compiledArgumentsOf('start')

async function urlsOf (app: Program): Promise<{ onRetell: string, onMillis: string, http: string }> {
  const [, onRetell] = await app.says(/^Retell .*(ws:\S+)$/m)
  const [, onMillis] = await app.says(/^Millis .*(ws:\S+)$/m)
  return { onRetell: onRetell!, onMillis: onMillis!, http: onRetell!.replace('ws', 'http').replace('/llm-websocket', '') }
}

t.test('on SIGTERM the example app takes no new calls, lets live ones go on, and ends when they have', async t => {
  const app = runNode(t, args, { PORT: '0', DRAIN_TIMEOUT_MS: '60000', READINESS_PATH: '/ready' })
  const { onRetell, onMillis, http } = await urlsOf(app)
  const one = await RetellCaller.dial(onRetell)
  const two = await MillisCaller.dial(onMillis)
  t.equal((await fetch(`${http}/ready`)).status, 200)

  app.kill('SIGTERM')
  while ((await fetch(`${http}/ready`)).status === 200) await nextLoopTurn()
  await t.rejects(RetellCaller.dial(onRetell), /503/)
  for (const call of [one, two]) {
    t.match(await call.say('Still there?'), { text: 'I am sorry, can you say that again?', outcome: 'completed' })
    await call.hangUp()
  }
  t.equal(await app.exit, 0)
})

// The app that README's Usage is, listening on any free port.
const usage = compileSnippet('README.md', snippetsOf('README.md').find(({ code }) => /You said:/.test(code))!)

/** Runs a program that listens, and has a call on it whose program was told to end. */
async function callWhileClosing (app: Program, signal: () => void): Promise<{ call: RetellCaller, url: string }> {
  const [, http] = await app.says(/listening at (http:\/\/127\.0\.0\.1:\d+)/)
  const url = `${http!.replace('http', 'ws')}/llm-websocket`
  const call = await RetellCaller.dial(url)
  signal()
  while ((await fetch(`${http}/ready`)).status === 200) await nextLoopTurn()
  return { call, url }
}

const USAGE_ENV = { RETELL_ALLOWLIST: '127.0.0.1', DRAIN_TIMEOUT_MS: '60000', READINESS_PATH: '/ready' }

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`on ${signal} the app of README's Usage takes no new calls, lets live ones go on, and ends when they have`, async t => {
    const app = runNode(t, [usage], USAGE_ENV)
    const { call, url } = await callWhileClosing(app, () => app.kill(signal))
    await t.rejects(RetellCaller.dial(url), /503/)
    t.match(await call.say('Still there?'), { text: 'You said: Still there?. ', outcome: 'completed' })
    await call.hangUp()
    t.equal(await app.exit, 0)
  })
}

// In a PID namespace of its own, as in a container, whose first process the kernel sends no signal without a handler.
const NAMESPACE = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child']
const noNamespace = spawnSync(NAMESPACE[0]!, [...NAMESPACE.slice(1), 'true']).status !== 0 && 'no PID namespaces'

t.test('as the first process of a container the app of README\'s Usage drains likewise', { skip: noNamespace }, async t => {
  const tellPid = 'data:text/javascript,import { readlinkSync } from "node:fs"; console.log(process.pid, "is", readlinkSync("/proc/self"))'
  const app = runNode(t, ['--import', tellPid, usage], USAGE_ENV, { within: NAMESPACE })
  const [, pid] = await app.says(/^1 is (\d+)$/m)
  const { call } = await callWhileClosing(app, () => process.kill(Number(pid), 'SIGTERM'))
  t.match(await call.say('Still there?'), { outcome: 'completed' })
  await call.hangUp()
  t.equal(await app.exit, 0)
})

t.test('a second SIGTERM ends the app of README\'s Usage at once', async t => {
  const app = runNode(t, [usage], USAGE_ENV)
  const { call } = await callWhileClosing(app, () => app.kill('SIGTERM'))
  t.match(await call.say('Still there?'), { outcome: 'completed' })
  app.kill('SIGTERM')
  t.equal(await app.exit, 'SIGTERM')
})

t.test('what is left at the drain timeout is dropped by Retell\'s rules and by Millis\', and a dead peer holds nothing up', async t => {
  const app = runNode(t, args, { PORT: '0', DRAIN_TIMEOUT_MS: '300' })
  const { onRetell, onMillis } = await urlsOf(app)
  const [one, two, dead] = await Promise.all([dialUrl(t, `${onRetell}/call_1`), dialUrl(t, onMillis), dialUrl(t, onMillis)])
  dead.socket.pause()
  app.kill('SIGTERM')
  t.equal((await one.closed).code, 1006)
  t.equal((await two.closed).code, 1001)
  t.equal(await app.exit, 0)
})

t.test('a server that was killed is dialled again elsewhere, and the call goes on there without a greeting', async t => {
  const [first, second] = [runNode(t, args, { PORT: '0' }), runNode(t, args, { PORT: '0' })]
  const here = await dialUrl(t, `${(await urlsOf(first)).onRetell}/call_1`)
  here.send(retell.details({ start_timestamp: Date.now() - 60_000 }))
  await here.response(0)
  first.kill('SIGKILL')
  t.equal((await here.closed).code, 1006)

  const there = await dialUrl(t, `${(await urlsOf(second)).onRetell}/call_1`)
  there.send(retell.details({ call_status: 'ongoing', start_timestamp: Date.now() - 60_000 }))
  there.send(retell.request(1, 'Still there?'))
  const [config, greeting, ...answer] = await there.response(1)
  t.match([config, greeting], [{ response_type: 'config' }, { response_id: 0, content: '', content_complete: true }])
  t.equal(answer.map(frame => frame['content']).join(''), 'I am sorry, can you say that again?')
})

// A provider as a process of its own, which is killed in the middle of an answer.
const PROVIDER = `
import { WebSocket } from 'ws'
const socket = new WebSocket(process.env.URL)
socket.on('open', () => process.env.FRAMES.split('\\n').forEach(frame => socket.send(frame)))
socket.on('message', frame => console.log(String(frame)))
`

t.test('a provider that is killed aborts the turn, and finds its call again when it is back', async t => {
  const aborted = deferred<string>()
  const { app } = await build(t, async function * (turn) {
    if (turn.call.state['answers'] === undefined && turn.reason === 'response') {
      turn.call.state['answers'] = 1
      yield 'One '
      turn.signal.addEventListener('abort', () => aborted.resolve(turn.signal.reason.reason))
      await aborted.promise
    }
    yield `${turn.reason} ${turn.call.state['answers'] ?? 0}`
  }, { reconnectGraceMs: 60_000 })
  const url = `${(await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')}/llm-websocket/call_1`
  const frames = [retell.details(), retell.request(1, 'Hi')].map(frame => JSON.stringify(frame)).join('\n')

  const provider = runNode(t, ['--input-type=module', '--eval', PROVIDER], { URL: url, FRAMES: frames })
  await provider.says(/"content":"One "/)
  provider.kill('SIGKILL')
  t.equal(await aborted.promise, 'disconnected')
  t.equal(app.calls.size, 1)

  const again = await dialUrl(t, url)
  again.send(retell.request(1, 'Hi'))
  t.match(await again.response(1), [
    { response_type: 'config' },
    { response_id: 0, content: '', content_complete: true },
    { response_id: 1, content: 'response 1', content_complete: false },
    { response_id: 1, content: '', content_complete: true }
  ])
})
