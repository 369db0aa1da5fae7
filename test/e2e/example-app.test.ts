import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { callTools, MillisCaller, RetellCaller, STALL, startScriptedModel, type ModelRequest } from '../../lib/testing/index.js'
import { dialUrl } from '../helpers/caller.js'
import { argumentsOf, compiledArgumentsOf } from '../helpers/example-app.js'
import { runNode, type Program } from '../helpers/process.js'

const args = compiledArgumentsOf('start')

function start (t: Test, env: Record<string, string> = {}) {
  return runNode(t, args, { PORT: '0', ...env })
}

/** Places a call to the URL that the app has printed for a provider. */
async function ring (t: Test, app: Program, provider: 'Retell' | 'Millis') {
  const [, url] = await app.says(new RegExp(`^${provider} .*(ws:\\S+)$`, 'm'))
  const call = provider === 'Retell' ? await RetellCaller.dial(url!) : await MillisCaller.dial(url!)
  t.teardown(() => { if (call.end === undefined) void call.hangUp() }) // eslint-disable-line no-void
  t.equal(call.reply!.text, 'How may I help you?')
  return call
}

async function hear (call: RetellCaller | MillisCaller, said: string): Promise<string> {
  return (await call.say(said)).text
}

t.test('npm start prints both URLs, and takes a call on each, with no key and no service', async t => {
  const app = runNode(t, argumentsOf('start'), { PORT: '0' })
  for (const provider of ['Retell', 'Millis'] as const) {
    const call = await ring(t, app, provider)
    t.equal(await hear(call, 'A table for two'), 'I am sorry, can you say that again?')
    await call.hangUp()
    t.strictSame(call.findings, [])
  }
})

t.test('in a terminal a call reads line by line: one at its start, one at its end, one a turn', async t => {
  const app = runNode(t, args, { PORT: '0', NO_COLOR: '1' }, { isTTY: true })
  const call = await ring(t, app, 'Retell')
  await hear(call, 'Monday')
  await call.hangUp()
  await app.says(/call ended/)
  const lines = app.output().split('\r\n').filter(line => /\bcall_|incoming/.test(line) && !/^Retell /.test(line))
  t.strictSame(lines.map(line => line.replace(/^\S+ INFO: /, '').replace(/call_\w+/, '<id>').replace(/\{.*\}$/, '{}')), [
    'retell <id> call started', 'retell <id> turn ended {}', 'retell <id> turn ended {}', 'retell <id> call ended {}'
  ])
})

t.test('elsewhere it reads in JSON, to the last line before the process ends', async t => {
  const app = start(t, { DRAIN_TIMEOUT_MS: '0' })
  const call = await ring(t, app, 'Retell')
  await hear(call, 'Monday')
  app.kill('SIGTERM')
  t.equal(await app.exit, 0)
  const lines = app.output().split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line) as { msg: string, callId?: string })
  t.strictSame(lines.filter(({ callId }) => callId !== undefined).map(({ msg }) => msg), ['call started', 'turn ended', 'turn ended', 'call ended'])
})

for (const provider of ['Retell', 'Millis'] as const) {
  t.test(`an appointment is made on ${provider}, once, though the provider asks twice, and the goodbye ends the call`, async t => {
    const app = start(t)
    const call = await ring(t, app, provider)
    t.equal(await hear(call, 'I need an appointment'), 'Which day would you like to come?')
    t.equal(await hear(call, 'Tuesday, please'), 'On Tuesday I have 9 am or 2 pm. Shall I book 9 am?')

    call.ask('Two PM would be better')
    t.match(await call.interrupt('please', { afterWords: 7 }), { text: 'Tuesday at 2 pm is booked. Is there anything else?' })
    t.equal(call.transcript.at(-3)!.content.trim(), 'One moment, I am writing that down.')
    t.equal(await hear(call, 'What else is there on Tuesday?'), 'On Tuesday I have 9 am. Shall I book 9 am?')

    t.equal(await hear(call, 'No, thanks'), 'Thank you for calling. Goodbye!')
    t.match(await call.ended, { by: 'agent' })
    if (provider === 'Retell') t.strictSame(call.tools.map(({ name }) => name), ['find_slot', 'book_slot', 'find_slot', 'end_call'])
    t.strictSame(call.findings, [])
    t.notMatch(app.output(), /"level":[456]0/)
  })
}

t.test('a time that another caller has taken is not booked, and the caller is told', async t => {
  const app = start(t)
  const [one, two] = [await ring(t, app, 'Retell'), await ring(t, app, 'Millis')]
  for (const call of [one, two]) t.equal(await hear(call, 'Wednesday'), 'On Wednesday I have 4 pm. Shall I book 4 pm?')
  t.equal(await hear(one, 'Yes'), 'One moment, I am writing that down. Wednesday at 4 pm is booked. Is there anything else?')
  t.equal(await hear(two, 'Yes'), 'One moment, I am writing that down. I am sorry, Wednesday at 4 pm is not free. Which day would you like to come?')
  t.equal(await hear(two, 'Only on Wednesday'), 'Wednesday is fully booked. Which day would you like to come?')
})

/** The app with a model of its own, and what that is asked. */
async function startWithModel (t: Test, env: Record<string, string> = {}) {
  const model = await startScriptedModel()
  t.teardown(() => model.close())
  return { model, app: start(t, { OPENAI_BASE_URL: model.url, ...env }) }
}

function lastOf ({ body }: ModelRequest) {
  return body.messages.at(-1)
}

t.test('with a model in the environment the built-in agent offers it the three tools', async t => {
  const { model, app } = await startWithModel(t)
  const call = await ring(t, app, 'Retell')
  t.equal(await hear(call, 'Hi'), 'You said: Hi')
  const [{ body }] = model.requests as [ModelRequest]
  const { tools, messages } = body as typeof body & { tools: Array<{ function: { name: string, parameters: object } }> }
  t.strictSame(tools.map(tool => tool.function.name), ['find_slot', 'book_slot', 'end_call'])
  t.match(tools[0]!.function.parameters, { properties: { day: { type: 'string', enum: ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday'] } }, required: ['day'] })
  t.match(tools[1]!.function.parameters, { required: ['message', 'day', 'time'] })
  t.match(messages[0], { role: 'system', content: /^You make appointments on the phone\./ })
})

for (const [what, instructions, first] of [
  ['AGENT_INSTRUCTIONS take the place of the app\'s own', 'Speak Latin.', { role: 'system', content: 'Speak Latin.' }],
  ['empty AGENT_INSTRUCTIONS send none', '', { role: 'user' }]
] as const) {
  t.test(what, async t => {
    const { model, app } = await startWithModel(t, { AGENT_INSTRUCTIONS: instructions })
    const call = await ring(t, app, 'Retell')
    await call.say('Hi')
    t.match(model.requests[0]!.body.messages[0], first)
  })
}

t.test('a model that books again, because its turn was superseded before it heard of it, has booked once', async t => {
  const { model, app } = await startWithModel(t)
  const call = await ring(t, app, 'Retell')
  const booking = { message: 'Let me book that.', day: 'Tuesday', time: '2 pm' }

  model.next(callTools({ name: 'book_slot', arguments: booking }), STALL)
  call.ask('Tuesday at two')
  while (model.requests.length < 2) await once(model.events, 'request')
  t.match(lastOf(model.requests[1]!), { role: 'tool', content: 'Booked: Tuesday at 2 pm.' })

  model.next(callTools({ name: 'book_slot', arguments: booking }), ['It is booked.'])
  t.equal(await hear(call, 'o\'clock'), 'Let me book that. It is booked.')
  t.ok(model.requests[1]!.cancelled)
  t.match(lastOf(model.requests[3]!), { role: 'tool', content: 'Booked: Tuesday at 2 pm.' })

  model.next(callTools({ name: 'find_slot', arguments: { day: 'Tuesday' } }), ['Nine is left.'])
  t.equal(await hear(call, 'What is left?'), 'Nine is left.')
  t.match(lastOf(model.requests[5]!), { role: 'tool', content: '["9 am"]' })
})

t.test('a port that is taken is said, and ends the process with a failure', async t => {
  const first = start(t)
  const [, port] = await first.says(/listening at http:\/\/127\.0\.0\.1:(\d+)/)
  const second = start(t, { PORT: port! })
  t.equal(await second.exit, 1)
  t.match(second.output(), /EADDRINUSE/)
})

t.test("the README's command for a tunnel admits Retell's address with the secret, and nobody else", async t => {
  const line = readFileSync('README.md', 'utf8').match(/^TRUSTED_PROXIES.*npm start$/m)?.[0] ?? ''
  const env = Object.fromEntries(Array.from(line.matchAll(/([A-Z_]+)=(\$\(.*?\)|\S*)/g), ([, name, value]) =>
    [name, value!.startsWith('$(') ? 's3cret' : value!]))
  const app = start(t, env)
  const [, url] = await app.says(/^Retell .*(ws:\S+)\/<VOICE_AGENT_SECRET>$/m)
  const from = (address: string) => ({ 'x-forwarded-for': address })
  await dialUrl(t, `${url}/s3cret/call_1`, from('100.20.5.228'))
  await t.rejects(dialUrl(t, `${url}/s3cret/call_1`, from('203.0.113.9')), /403/)
  await t.rejects(dialUrl(t, `${url}/s3cret/call_1`, from('100.20.5.228, 203.0.113.9')), /403/)
  await t.rejects(dialUrl(t, `${url}/guess/call_1`, from('100.20.5.228')), /403/)
  await t.rejects(dialUrl(t, `${url}/s3cret/call_1`), /403/)
  t.notMatch(app.output(), /s3cret/)
})
