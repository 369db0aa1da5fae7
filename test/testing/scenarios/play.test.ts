import { once } from 'node:events'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, pressDigits, toolCall, toolResult, transferCall, type Turn } from '../../../lib/index.js'
import { playScenario, readScenario } from '../../../lib/testing/index.js'
import { setEnv } from '../../helpers/env.js'
import { startServer } from '../../helpers/scripted-server.js'

setEnv(t)

async function createApp (t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', async function * (turn: Turn) {
    const said = turn.transcript.at(-1)?.content
    if (turn.reason === 'greeting') return yield 'How may I help you?'
    if (turn.reason === 'reminder') return yield 'Are you there?'
    switch (said) {
      case 'bye': return yield endCall({ say: 'Goodbye!' })
      case 'desk': return yield transferCall('+14155550111', { say: 'One moment.' })
      case 'menu': return yield pressDigits('12#')
      case 'mute': return
      case 'throw': throw new Error('broken')
      case 'book':
        yield toolCall(`tc_${turn.id}`, 'book', {})
        yield toolResult(`tc_${turn.id}`, 'done')
        return yield 'Booked.'
      case 'later':
        setImmediate(() => { turn.call.interject('This just came in.').catch(() => {}) })
        return yield 'I will.'
      case 'long':
        yield 'One two three '
        await once(turn.signal, 'abort')
        return
    }
    yield `You said ${said}. `
    yield 'Anything else?'
  })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, millis: { allowlist: '127.0.0.1' } })
  return app
}

async function play (t: Test, yaml: string, options?: Parameters<typeof playScenario>[2]) {
  const result = await playScenario(await createApp(t), readScenario(yaml), options)
  return { ...result, texts: result.failures.map(({ at, message }) => `${at}: ${message}`) }
}

const passes: Record<string, string> = {
  'a conversation': `
greeting: { said: how may i  HELP }
steps:
  - { say: Tuesday, expect: { said: [You said Tuesday, /else.$/], not-said: Friday, first-token-ms: 5000, first-sentence-ms: 5000 } }
expect: { said: Anything else, not-said: [Friday, /goodbye/i], ended-by: caller }`,
  'a caller who interrupts by words': `
steps: [say: long, { interrupt: Friday, after: 2 words, expect: { said: Friday } }]`,
  'a caller who interrupts at once': `
steps: [say: long, interrupt: Friday]`,
  'a caller who interrupts by time': `
words-per-minute: 600
steps: [say: long, { interrupt: Friday, after: 50 ms, expect: { said: Friday } }]`,
  'a caller who talks over the greeting': `
words-per-minute: 600
steps: [{ interrupt: Friday, expect: { said: Friday } }]`,
  'a line that breaks in the middle of a reply': `
steps: [say: long, { drop: true, after: 2 words, expect: { said: One two } }]`,
  'a caller who speaks first': `
greeting: false
steps: [say: Tuesday]`,
  'a line that breaks': `
steps: [say: Tuesday, drop, { say: Friday, expect: { said: Friday } }, wait: 1, hang-up]`,
  'an agent who hangs up': `
steps: [say: bye]
expect: { ended-by: agent, said: Goodbye }`,
  'an agent who transfers': `
steps: [say: desk]
expect: { ended-by: agent, transferred-to: '+14155550111' }`
}

for (const provider of ['retell', 'millis'] as const) {
  for (const [name, yaml] of Object.entries(passes)) {
    t.test(`${provider}: ${name} passes`, async t => {
      t.strictSame((await play(t, yaml, { provider })).texts, [])
    })
  }
}

t.test('Retell reminds, is told of tools, and has keys to press', async t => {
  const result = await play(t, `
name: All of it
steps:
  - silence: true
    expect: { said: Are you there }
  - say: book
    expect: { tools: { book: 1 } }
  - say: menu
expect: { tools: { book: 1, cancel: 0 }, digits: '12#' }`)
  t.strictSame(result.texts, [])
  t.match(result, { name: 'All of it', provider: 'retell', findings: [], firstTokenMs: Number, firstSentenceMs: Number, durationMs: Number })
  t.strictSame(result.transcript.map(({ content }) => content), ['How may I help you?', 'Are you there?', 'book', 'Booked.', 'menu'])
})

t.test('everything that is not as expected is told, with its place', async t => {
  t.strictSame((await play(t, `
timeout-ms: 1000
greeting: { said: Good morning }
steps:
  - { say: Tuesday, expect: { said: [/friday/i, you], not-said: tuesday, tools: { book: 2 }, first-token-ms: 0, first-sentence-ms: 0 } }
  - { say: mute, expect: { said: Hello, first-token-ms: 100 } }
expect: { ended-by: agent, transferred-to: '+1', digits: '1', tools: { book: 1 } }`)).texts.map(text => text.replace(/after \d+ ms/, 'after N ms')), [
    'the greeting: expected "Good morning" to be said, and heard "How may I help you?"',
    'step 1 (say "Tuesday"): expected /friday/i to be said, and heard "You said Tuesday. Anything else?"',
    'step 1 (say "Tuesday"): expected "tuesday" not to be said, and heard "You said Tuesday. Anything else?"',
    'step 1 (say "Tuesday"): expected book to be called 2 times, and it was called 0 times',
    'step 1 (say "Tuesday"): expected the first word within 0 ms, and it came after N ms',
    'step 1 (say "Tuesday"): expected the end of the first sentence within 0 ms, and it came after N ms',
    'step 2 (say "mute"): expected "Hello" to be said, and heard nothing',
    'step 2 (say "mute"): expected the first word within 100 ms, and it never came',
    'the call: expected book to be called 1 times, and it was called 0 times',
    'the call: the call was ended by the caller: user_hangup',
    'the call: expected a transfer to +1, and it went nowhere',
    'the call: expected the digits 1, and none were pressed'
  ])
  t.strictSame((await play(t, 'steps: [say: desk, say: Hi]\nexpect: { transferred-to: "+1" }')).texts, [
    'step 2 (say "Hi"): the call was over: ended by the agent, call_transfer'
  ])
  t.strictSame((await play(t, 'steps: [say: desk]\nexpect: { transferred-to: "+1", digits: "2" }')).texts, [
    'the call: expected a transfer to +1, and it went to +14155550111', 'the call: expected the digits 2, and none were pressed'
  ])
  t.strictSame((await play(t, 'steps: [say: menu]\nexpect: { digits: "2" }')).texts, ['the call: expected the digits 2, and 12# were pressed'])
  t.strictSame((await play(t, 'provider: millis\nsteps: [silence]\nexpect: { tools: { book: 0 } }', { provider: 'retell' })).texts, [
    'the call: tools cannot be expected: servers do not report them to Millis', 'step 1 (silence): Millis has no reminders'
  ])
})

for (const provider of ['retell', 'millis'] as const) {
  t.test(`${provider}: a reply without a word fails its step, unless the scenario says that it is right`, async t => {
    const texts = async (yaml: string) => (await play(t, yaml, { provider })).texts
    const SAID_NOTHING = 'the agent said nothing; where silence is right, write expect: { said: false }'
    t.strictSame(await texts('steps: [say: Hi, say: mute, say: Hi, say: mute]'), [`step 2 (say "mute"): ${SAID_NOTHING}`, `step 4 (say "mute"): ${SAID_NOTHING}`])
    t.strictSame(await texts('steps: [{ say: mute, expect: { not-said: Yes } }]'), [`step 1 (say "mute"): ${SAID_NOTHING}`])
    t.strictSame(await texts('steps: [{ say: mute, expect: { said: false } }, say: Hi]'), [])
    t.strictSame(await texts('steps: [say: mute]\nallow: [silent-reply]'), [])
    t.strictSame(await texts('steps: [{ say: Hi, expect: { said: false } }]'), ['step 1 (say "Hi"): expected nothing to be said, and heard "You said Hi. Anything else?"'])
    t.strictSame(await texts('steps: [{ say: mute, expect: { said: Yes } }]'), ['step 1 (say "mute"): expected "Yes" to be said, and heard nothing'])
    t.strictSame(await texts('greeting: { said: false }\nsteps: [say: Hi]'), ['the greeting: expected nothing to be said, and heard "How may I help you?"'])
  })
}

t.test('a reply without a word that no step hears is a finding', async t => {
  t.strictSame((await play(t, 'steps: [say: mute, { drop: true, after: 1 word }]')).texts, [
    'the protocol: silent-reply: the reply was completed without a word and without an action: the caller hears silence'
  ])
})

t.test('an interruption of nothing fails, and what the app says between turns is said', async t => {
  t.strictSame((await play(t, 'steps: [say: Tuesday, { interrupt: No, after: 50 words }, drop, interrupt: No]')).texts, [
    'step 2 (interrupt "No"): there was nothing to interrupt: the reply was over. Set words-per-minute to make it last',
    'step 4 (interrupt "No"): there was nothing to interrupt: the reply was over. Set words-per-minute to make it last'
  ])
  t.strictSame((await play(t, 'steps: [say: later, wait: 20]\nexpect: { said: This just came in, not-said: came in }')).texts, [
    'the call: expected "came in" not to be said, and heard "How may I help you?\\nI will.\\nThis just came in."'
  ])
})

t.test('an agent who takes a while to hang up is waited for', async t => {
  const server = (hangsUp: boolean) => startServer(t, () => {}, (frame, send, socket) => {
    const id = frame['data']?.stream_id
    if (frame['type'] === 'stream_request' || frame['type'] === 'start_call') send({ type: 'stream_response', data: { stream_id: id, content: 'Bye.', end_of_stream: true } })
    // Behind the ping that asks whether all was read.
    if (frame['type'] === 'playback_finished' && hangsUp) socket.once('ping', () => setImmediate(() => send({ type: 'end_call', data: { stream_id: id } })))
  })
  const scenario = readScenario('provider: millis\ntimeout-ms: 300\ngreeting: false\nsteps: [say: Bye]\nexpect: { ended-by: agent }')
  t.strictSame((await playScenario(await server(true), scenario)).failures, [])
  t.match((await playScenario(await server(false), scenario)).failures, [{ message: 'the call was ended by the caller: user_hangup' }])
})

t.test('a server that cannot be called fails the scenario', async t => {
  const { failures, transcript, firstTokenMs, name } = await playScenario('ws://127.0.0.1:1', readScenario('steps: [drop]'))
  t.strictSame(failures, [{ at: 'the call', message: 'the server cannot be reached: ECONNREFUSED: nothing listens there: is it running, at this port?' }])
  t.match({ transcript, firstTokenMs, name }, { transcript: [], firstTokenMs: undefined, name: 'unnamed' })
})

t.test('a server that gets the protocol wrong fails it, unless that is allowed', async t => {
  const speech = (id: number, content: string, complete = true) => ({ response_type: 'response', response_id: id, content, content_complete: complete })
  const url = await startServer(t, (_frame, send) => send(speech(0, 'Hello.')), (frame, send, socket) => {
    if (frame['response_id'] === 1) send(speech(7, 'Nobody asked.'), speech(1, 'Fine.'))
    if (frame['response_id'] === 2) socket.close(1011)
  })
  const texts = async (yaml: string) => (await playScenario(url, readScenario(yaml))).failures.map(({ at, message }) => `${at}: ${message}`)
  t.strictSame(await texts('steps: [say: Hi]'), ['the protocol: unasked-response: Retell never asked with this id, and drops it'])
  t.strictSame(await texts('steps: [say: Hi]\nallow: [unasked-response]'), [])
  t.strictSame(await texts('steps: [say: Hi, say: Hi?]\nallow: [unasked-response, closed]'), [
    'step 2 (say "Hi?"): the reply was lost', 'the call: the call was ended by the fault: error_llm_websocket_runtime'
  ])
  t.strictSame(await texts('steps: [say: Hi, say: Hi?]\nallow: [unasked-response, closed]\nexpect: { ended-by: fault }'), ['step 2 (say "Hi?"): the reply was lost'])
})

t.test('a server that never completes fails it in time', async t => {
  const url = await startServer(t, (_frame, send) => send({ response_type: 'response', response_id: 0, content: 'Hello', content_complete: false }), () => {})
  const { failures } = await playScenario(url, readScenario('timeout-ms: 20\nsteps: [say: Hi]'))
  t.strictSame(failures, [{ at: 'the greeting', message: 'no end after 20 ms; what had come of the reply to 0: "Hello"' }])
})
