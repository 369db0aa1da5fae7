/**
 * Words that take their time to be spoken: a word a second.
 */
import FakeTimers from '@sinonjs/fake-timers'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, type Turn } from '../../lib/index.js'
import { MillisCaller, RetellCaller, type Reply } from '../../lib/testing/index.js'
import { clockOf } from '../helpers/clock.js'
import { setEnv } from '../helpers/env.js'

setEnv(t)

for (const [provider, Caller] of [['Retell', RetellCaller], ['Millis', MillisCaller]] as const) {
  async function place (t: Test) {
    const app = Fastify()
    t.teardown(() => app.close())
    app.decorate('agent', async function * (turn: Turn) {
      const said = turn.transcript.at(-1)?.content
      if (turn.reason === 'greeting') return
      if (said === 'mute') return
      if (said === 'bye') return yield endCall({ say: 'Bye then.' })
      yield 'One two three '
      yield 'four. '
    })
    await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' } })
    const clock = FakeTimers.createClock()
    const call = await Caller.dial(app, { clock: clockOf(clock), wordsPerMinute: 60, timeoutMs: 60_000 })
    return { call, clock }
  }

  async function streamed (reply: Reply): Promise<Reply> {
    for await (const piece of reply) if (piece === '') break
    return reply
  }

  t.test(`${provider}: a reply is over once it was spoken`, async t => {
    const { call, clock } = await place(t)
    const reply = await streamed(call.ask('Hi'))
    t.match(reply, { outcome: 'completed', text: 'One two three four. ', spoken: '', isLive: false, isOver: false, heard: undefined })
    clock.tick(2_999)
    t.equal(reply.spoken, 'One two ')
    t.strictSame(call.transcript.map(({ role }) => role), ['user'])
    clock.tick(1_001)
    t.match(await reply.over(), { heard: 'One two three four. ', isOver: true })
    t.strictSame(call.transcript.map(({ role }) => role), ['user', 'agent'])
    t.equal(call.frames.some(({ frame }) => (frame as { type?: string }).type === 'playback_finished'), provider === 'Millis')
  })

  t.test(`${provider}: whoever says something meanwhile talks over it`, async t => {
    const { call, clock } = await place(t)
    const reply = await streamed(call.ask('Hi'))
    clock.tick(2_500)
    call.ask('No!')
    t.match(reply, { outcome: 'interrupted', heard: 'One two ' })
    t.strictSame(call.transcript.map(({ content }) => content), ['Hi', 'One two ', 'No!'])
    await streamed(call.reply!)
    t.strictSame(call.findings, [])
  })

  t.test(`${provider}: it is interrupted once so many words were spoken, or so much time has passed`, async t => {
    const { call, clock } = await place(t)
    for (const [options, ms, heard] of [[{ afterWords: 3 }, 3_000, 'One two three '], [{ afterMs: 1_500 }, 1_500, 'One ']] as const) {
      const reply = await streamed(call.ask('Hi'))
      const interrupted = call.askOver('No!', options)
      clock.tick(ms - 1)
      t.equal(reply.isOver, false)
      clock.tick(1)
      await streamed(await interrupted)
      t.match(reply, { outcome: 'interrupted', heard })
      clock.tick(4_000)
    }
  })

  t.test(`${provider}: an interruption that comes too late finds it heard to its end`, async t => {
    const { call, clock } = await place(t)
    const reply = await streamed(call.ask('Hi'))
    const late = call.askOver('No!', { afterMs: 10_000 })
    clock.tick(4_000)
    await late
    t.match(reply, { outcome: 'completed', heard: reply.text })
    const again = call.askOver('No!', { afterWords: 100 })
    await streamed(call.reply!)
    clock.tick(4_000)
    await again
    t.match(call.replies.at(-2), { outcome: 'completed', heard: reply.text })
  })

  t.test(`${provider}: who waits for words to talk over, and hears none, says it then`, async t => {
    const { call } = await place(t)
    const mute = call.ask('mute')
    await streamed(await call.askOver('Hello?', { afterMs: 0 }))
    t.match(mute, { outcome: 'completed', heard: '' })
  })

  // On Retell nobody can talk over them.
  if (provider === 'Millis') {
    t.test(`${provider}: an agent hangs up behind its last words, unless somebody talks over them`, async t => {
      const { call, clock } = await place(t)
      const bye = await streamed(call.ask('bye'))
      clock.tick(1_999)
      await call.settled()
      t.equal(call.end, undefined)
      call.ask('Wait!')
      t.match(bye, { outcome: 'interrupted', heard: 'Bye ' })
      await streamed(call.reply!)
      clock.tick(4_000)
      await streamed(call.ask('bye'))
      clock.tick(2_000)
      t.match(await call.ended, { by: 'agent' })
    })
  }

  t.test(`${provider}: who hangs up has heard what was spoken by then`, async t => {
    const { call, clock } = await place(t)
    const reply = await streamed(call.ask('Hi'))
    clock.tick(1_000)
    await call.hangUp()
    t.match(reply, { outcome: 'lost', heard: 'One ' })
  })
}
