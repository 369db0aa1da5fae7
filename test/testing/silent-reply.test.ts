import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, filler, toolCall, toolResult, transferCall, type Agent, type Turn } from '../../lib/index.js'
import { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
import { setEnv } from '../helpers/env.js'
import { startServer } from '../helpers/scripted-server.js'

setEnv(t)

const SILENT = { code: 'silent-reply', message: 'the reply was completed without a word and without an action: the caller hears silence' }

async function createApp (t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', async function * (turn: Turn) {
    if (turn.reason !== 'response') return
    switch (turn.transcript.at(-1)?.content) {
      case 'mute': return
      case 'blank': return yield ' '
      case 'book':
        yield toolCall(`tc_${turn.id}`, 'book', {})
        return yield toolResult(`tc_${turn.id}`, 'done')
      case 'cover': return yield filler('One moment.')
      case 'bye': return yield endCall()
      case 'desk': return yield transferCall('+14155550111')
      case 'push': return await turn.call.interject('This just came in.')
    }
    yield 'Yes.'
  } as Agent)
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' } })
  return app
}

for (const Caller of [RetellCaller, MillisCaller]) {
  t.test(`${Caller.name}: a reply without a word and without an action is a finding as soon as it was heard`, async t => {
    const call = await Caller.dial(await createApp(t))
    t.strictSame(call.findings, [], 'a greeting may be silent')
    for (const [index, said] of ['mute', 'blank', 'book'].entries()) {
      t.match(await call.say(said), { outcome: 'completed' }, said)
      t.match(call.findings, Array(index + 1).fill(SILENT), said)
    }
    await call.say('cover')
    await call.say('Hi')
    t.equal(call.findings.length, 3)
    await call.hangUp()
  })

  t.test(`${Caller.name}: an action without words is none`, async t => {
    for (const said of ['bye', 'desk']) {
      const call = await Caller.dial(await createApp(t))
      call.ask(said)
      t.match(await call.ended, { by: 'agent' })
      t.strictSame(call.findings, [], said)
    }
  })

  t.test(`${Caller.name}: where the caller spoke again it still is one`, async t => {
    const call = await Caller.dial(await createApp(t))
    await call.ask('mute').over()
    await call.say('Hi')
    t.match(call.findings, [SILENT])
    await call.hangUp()
  })
}

t.test('silence is none where the app says something outside the turn', async t => {
  const call = await RetellCaller.dial(await createApp(t))
  await call.say('push')
  await call.settled()
  t.equal(call.reply?.text, 'This just came in.')
  t.strictSame(call.findings, [])
  await call.hangUp()
})

t.test('reminders may be silent', async t => {
  const call = await RetellCaller.dial(await createApp(t))
  t.match(await call.silence(), { text: '', outcome: 'completed' })
  t.strictSame(call.findings, [])
  await call.hangUp()
})

t.test('what becomes of a reply is not known where the line breaks behind it', async t => {
  const speech = (id: number, content: string) => ({ response_type: 'response', response_id: id, content, content_complete: true })
  const url = await startServer(t, (_frame, send) => send(speech(0, 'Hello.')), (frame, send, socket) => {
    if (frame['response_id'] !== 1) return
    send(speech(1, ''))
    socket.terminate()
  })
  const call = await RetellCaller.dial(url)
  await call.say('Hi')
  t.notOk(call.findings.some(({ code }) => code === 'silent-reply'))
  await call.hangUp()
})
