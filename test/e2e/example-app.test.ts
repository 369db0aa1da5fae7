import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { dialUrl, millis, retell, type Frame } from '../helpers/caller.js'
import { startModelServer, STALL, toolCallChunk, type ModelRequest, type Script } from '../helpers/model-server.js'
import { runNode, type Program } from '../helpers/process.js'

// What `npm start` runs when everything is built.
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
const [node, ...args] = scripts.start.split(' ')

function start (t: Test, env: Record<string, string> = {}) {
  t.equal(node, 'node')
  return runNode(t, args, { PORT: '0', ...env })
}

const PROVIDERS = {
  Retell: {
    path: '/call_1',
    begin: retell.details(),
    request: retell.request,
    ends: (frame: Frame, id: number) => frame['response_id'] === id && frame['content_complete'] === true,
    words: (frame: Frame, id: number): string => frame['response_id'] === id ? frame['content'] : ''
  },
  Millis: {
    path: '',
    begin: millis.start(0),
    request: millis.request,
    ends: (frame: Frame, id: number) => frame['data']?.stream_id === id && frame['data'].end_of_stream === true,
    words: (frame: Frame, id: number): string => frame['data']?.stream_id === id ? frame['data'].content : ''
  }
}

/** A call in which what the agent said is reported as it was said. */
async function ring (t: Test, app: Program, provider: keyof typeof PROVIDERS) {
  const { path, begin, request, ends, words } = PROVIDERS[provider]
  const [, url] = await app.says(new RegExp(`^${provider} .*(ws:\\S+)$`, 'm'))
  const caller = await dialUrl(t, `${url}${path}`)
  const conversation: string[] = []
  let id = 0

  async function hear (): Promise<string> {
    const frames = await caller.until(frame => ends(frame, id))
    const said = frames.map(frame => words(frame, id)).join('')
    conversation.push(said)
    return said
  }
  const call = {
    caller,
    get id () { return id },
    hear,
    /** Says something that is not waited for to be answered. */
    ask (said: string) {
      conversation.push(said)
      call.askAgain()
    },
    /** The provider asks for an answer to the same words. */
    askAgain: () => caller.send(request(++id, ...conversation)),
    say (said: string) {
      call.ask(said)
      return hear()
    },
    /** Reads until the agent begins to say this. */
    begins: (said: string) => caller.until(frame => words(frame, id).startsWith(said)),
    /** The names of the tools that the provider was told of. */
    tools: () => caller.frames.flatMap(frame => frame['response_type'] === 'tool_call_invocation' ? [frame['name']] : [])
  }
  caller.send(begin)
  t.equal(await hear(), 'How may I help you?')
  return call
}

t.test('npm start prints both URLs, and takes a call on each, with no key and no service', async t => {
  const app = start(t)
  const [, retellUrl] = await app.says(/^Retell .*(ws:\S+)$/m)
  const [, millisUrl] = await app.says(/^Millis .*(ws:\S+)$/m)

  const onRetell = await dialUrl(t, `${retellUrl}/call_1`)
  onRetell.send(retell.details())
  t.strictSame((await onRetell.response(0)).slice(1), [
    { response_type: 'response', response_id: 0, content: 'How may I help you?', content_complete: false },
    { response_type: 'response', response_id: 0, content: '', content_complete: true }
  ])
  onRetell.send(retell.request(1, 'A table for two'))
  t.strictSame(await onRetell.response(1), [
    { response_type: 'response', response_id: 1, content: 'I am sorry, can you say that again?', content_complete: false },
    { response_type: 'response', response_id: 1, content: '', content_complete: true }
  ])

  const onMillis = await dialUrl(t, millisUrl!)
  onMillis.send(millis.start(0))
  t.strictSame(await onMillis.stream(0), [
    { type: 'stream_response', data: { stream_id: 0, content: 'How may I help you?', end_of_stream: false } },
    { type: 'stream_response', data: { stream_id: 0, content: '', end_of_stream: true } }
  ])
})

for (const provider of ['Retell', 'Millis'] as const) {
  t.test(`an appointment is made on ${provider}, once, though the provider asks twice, and the goodbye ends the call`, async t => {
    const app = start(t)
    const call = await ring(t, app, provider)
    t.equal(await call.say('I need an appointment'), 'Which day would you like to come?')
    t.equal(await call.say('Tuesday, please'), 'On Tuesday I have 9 am or 2 pm. Shall I book 9 am?')

    call.ask('Two PM would be better')
    await call.begins('One moment, I am writing that down.')
    call.askAgain()
    t.equal(await call.hear(), 'Tuesday at 2 pm is booked. Is there anything else?')
    t.equal(await call.say('What else is there on Tuesday?'), 'On Tuesday I have 9 am. Shall I book 9 am?')

    t.equal(await call.say('No, thanks'), 'Thank you for calling. Goodbye!')
    if (provider === 'Retell') {
      t.strictSame(call.caller.frames.at(-1), {
        response_type: 'response',
        response_id: call.id,
        content: 'Thank you for calling. Goodbye!',
        content_complete: true,
        no_interruption_allowed: true,
        end_call: true
      })
      t.strictSame(call.tools(), ['find_slot', 'book_slot', 'find_slot', 'end_call'])
    } else {
      call.caller.send(millis.played(call.id))
      t.strictSame(await call.caller.next(), { type: 'end_call', data: { stream_id: call.id } })
    }
    t.notMatch(app.output(), /"level":[456]0/)
  })
}

t.test('a time that another caller has taken is not booked, and the caller is told', async t => {
  const app = start(t)
  const [one, two] = [await ring(t, app, 'Retell'), await ring(t, app, 'Millis')]
  for (const call of [one, two]) t.equal(await call.say('Wednesday'), 'On Wednesday I have 4 pm. Shall I book 4 pm?')
  t.equal(await one.say('Yes'), 'One moment, I am writing that down. Wednesday at 4 pm is booked. Is there anything else?')
  t.equal(await two.say('Yes'), 'One moment, I am writing that down. I am sorry, Wednesday at 4 pm is not free. Which day would you like to come?')
  t.equal(await two.say('Only on Wednesday'), 'Wednesday is fully booked. Which day would you like to come?')
})

/** The app with a model of its own, and what that is asked. */
async function startWithModel (t: Test, env: Record<string, string> = {}) {
  const model = await startModelServer()
  t.teardown(() => model.close())
  return { model, app: start(t, { OPENAI_BASE_URL: model.url, ...env }) }
}

function calls (name: string, args: object): Script {
  return { steps: [toolCallChunk({ index: 0, id: `${name}_1`, type: 'function', function: { name, arguments: JSON.stringify(args) } })], finishReason: 'tool_calls' }
}

function lastOf ({ body }: ModelRequest) {
  return body.messages.at(-1)
}

t.test('with a model in the environment the built-in agent offers it the three tools', async t => {
  const { model, app } = await startWithModel(t)
  const call = await ring(t, app, 'Retell')
  t.equal(await call.say('Hi'), 'You said: Hi')
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

  model.next(calls('book_slot', booking), STALL)
  call.ask('Tuesday at two')
  while (model.requests.length < 2) await once(model.events, 'request')
  t.match(lastOf(model.requests[1]!), { role: 'tool', content: 'Booked: Tuesday at 2 pm.' })

  model.next(calls('book_slot', booking), ['It is booked.'])
  call.askAgain()
  t.equal(await call.hear(), 'Let me book that. It is booked.')
  t.ok(model.requests[1]!.cancelled)
  t.match(lastOf(model.requests[3]!), { role: 'tool', content: 'Booked: Tuesday at 2 pm.' })

  model.next(calls('find_slot', { day: 'Tuesday' }), ['Nine is left.'])
  t.equal(await call.say('What is left?'), 'Nine is left.')
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
