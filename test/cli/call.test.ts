import { once } from 'node:events'
import { spawn } from 'node:child_process'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { endCall, transferCall, type Turn } from '../../lib/index.js'
import { setEnv } from '../helpers/env.js'
import { startProgram } from '../helpers/program.js'
import { startServer } from '../helpers/scripted-server.js'

setEnv(t)

/** A server with both routes. Resolves with its address. */
async function serve (t: Test): Promise<string> {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', async function * (turn: Turn) {
    if (turn.reason !== 'response') return yield `This is the ${turn.reason}.`
    const said = turn.transcript.at(-1)?.content ?? ''
    if (said === 'bye') return yield endCall({ say: 'Goodbye!' })
    if (said === 'desk') return yield transferCall('+14155550111', { say: 'One moment.' })
    yield 'You said '
    if (said === 'hold') await once(turn.signal, 'abort')
    yield `${said}.`
  })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, retell: { allowlist: '127.0.0.1' }, millis: { allowlist: '127.0.0.1' } })
  return (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
}

async function piped (args: string[], ...lines: string[]) {
  const program = startProgram(args)
  program.type(...lines)
  program.end()
  return { code: await program.exit, output: program.output().replace(/\d+ ms/g, 'N ms') }
}

t.test('a call through a pipe is said line by line, and heard to the end', async t => {
  const address = await serve(t)
  t.same(await piped(['call', `${address}/llm-websocket`], 'Tuesday', '', '/silence', '/hangup', 'never said'), {
    code: 0,
    output: [
      'This is the greeting.', 'first token N ms, first sentence N ms, completed N ms', '> > You said Tuesday.', 'first token N ms, first sentence N ms, completed N ms',
      '> > > This is the reminder.', 'first token N ms, first sentence N ms, completed N ms', '> > you hung up', ''
    ].join('\n')
  })
})

t.test('Millis is called where the URL says so, or the caller', async t => {
  const address = await serve(t)
  const { code, output } = await piped(['call', `${address}/millis`], 'Tuesday', '/silence', '/drop', 'desk')
  t.equal(code, 0)
  t.match(output, /You said Tuesday\.[^]*Millis has no reminders[^]*dropped, dialling again[^]*One moment\.[^]*ended by the agent: call_transfer to \+14155550111/)
  t.match((await piped(['call', '--provider', 'millis', `${address}/millis`])).output, /This is the greeting\./)
})

t.test('what the agent says unasked is heard, while the caller is silent and while it speaks', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', async function * ({ reason, transcript, call, signal }: Turn) {
    if (reason === 'greeting') return yield 'Welcome.'
    yield 'You said '
    // In the middle of an answer, or behind it.
    const isOver = once(signal, 'abort')
    if (transcript.at(-1)?.content === 'now') call.interject('We close in a minute.').catch(t.error)
    if (transcript.at(-1)?.content === 'now') return await isOver
    yield `${transcript.at(-1)?.content}.`
  })
  await app.register(voiceAgentPlugin, {
    drainTimeoutMs: 0,
    retell: { allowlist: '127.0.0.1' },
    onTurnEnd: ({ call, transcript }) => { if (transcript.at(-1)?.content === 'later') call.interject('Are you still there?').catch(t.error) }
  })
  const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
  const program = startProgram(['call', `${url}/llm-websocket`], { isTTY: true, env: { NO_COLOR: '1' } })
  await program.says('Welcome.')
  program.type('now')
  await program.says(/You said [^]*the agent speaks unasked:\nWe close in a minute\.\n/)
  program.type('later')
  await program.says('later.')
  await program.says(/\nthe agent speaks unasked:\nAre you still there\?\n/)
  program.press('\x03')
  t.equal(await program.exit, 0)
})

t.test('an agent may hang up', async t => {
  const { code, output } = await piped(['call', `${await serve(t)}/llm-websocket`], 'bye', 'never said')
  t.equal(code, 0)
  t.match(output, /Goodbye!\n[^]*ended by the agent: agent_hangup\n$/)
})

t.test('at a terminal one may talk over the agent, in colours unless they are not wanted', async t => {
  const address = await serve(t)
  for (const [env, cyan] of [[{}, '\x1b[36m'], [{ NO_COLOR: '1' }, '']] as const) {
    const program = startProgram(['call', `${address}/llm-websocket`], { isTTY: true, env })
    await program.says(`${cyan}This is the greeting.`)
    program.type('hold')
    await program.says('You said ')
    program.type('no')
    await program.says('interrupted')
    await program.says(/no\./)
    program.type('hold', '/interrupt never mind')
    await program.says('interrupted')
    await program.says(/never mind\./)
    program.type('/frames', 'Hi')
    await program.says(/> \{"interaction_type":"response_required"/)
    program.type('/frames', '/dance')
    await program.says('there is no /dance')
    program.press('\x03')
    t.equal(await program.exit, 0)
    t.match(program.output(), /you hung up/)
  }
})

t.test('nobody is silent while the agent speaks', async t => {
  const program = startProgram(['call', `${await serve(t)}/llm-websocket`], { isTTY: true })
  await program.says('This is the greeting.')
  program.type('hold')
  await program.says('You said')
  program.type('/silence')
  await program.says('the agent is not silent')
  program.press('\x03')
  t.equal(await program.exit, 0)
})

t.test('a server that refuses says why', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0 })
  const address = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
  const { code, output } = await piped(['call', `${address}/llm-websocket`])
  t.equal(code, 1)
  t.match(output, /^the server refused the call with 403: .*RETELL_ALLOWLIST/)
})

t.test('what a server gets wrong is told, and how it ended the call', async t => {
  const url = await startServer(t, (_frame, send) => send({ response_type: 'response', response_id: 0, content: 'Hello.', content_complete: true }), (frame, send, socket) => {
    if (frame['response_id'] !== 1) return
    send({ response_type: 'response', response_id: 1, content: null, content_complete: true })
    socket.close(1011)
  })
  const { code, output } = await piped(['call', url], 'Hi', 'Hi?')
  t.equal(code, 1)
  t.match(output, /malformed: response\/content: Expected string; the provider drops the frame\nclosed: closed with 1011: the call ends\n[^]*ended by a fault: error_llm_websocket_runtime\n$/)
})

t.test('a server that never greets is no reason to crash', async t => {
  const url = await startServer(t, (_frame, _send, socket) => { socket.close(1000) }, () => {})
  const { code, output } = await piped(['call', url], 'Hi')
  t.equal(code, 0)
  t.match(output, /ended by the agent: agent_hangup/)
})

t.test('a call that ends while it is to be talked over is over', async t => {
  const url = await startServer(t, (_frame, send, socket) => {
    send({ response_type: 'response', response_id: 0, content: 'Hello.', content_complete: true })
    // Behind the request.
    socket.on('ping', () => { socket.close(1000) })
  }, () => {})
  const program = startProgram(['call', url], { isTTY: true })
  await program.says('Hello.')
  program.type('Hi', '/interrupt wait')
  t.equal(await program.exit, 0)
  t.match(program.output(), /the call is over: agent_hangup/)
})

t.test('a server that cannot be dialled again is gone', async t => {
  for (const provider of ['retell', 'millis']) {
    const [opened, hello] = provider === 'retell'
      ? [{ response_type: 'response', response_id: 0, content: 'Hello.', content_complete: true }, {}]
      : [{}, { type: 'stream_response', data: { stream_id: 4, content: 'Hello.', end_of_stream: true } }]
    let isFirst = true
    const url = await startServer(t, (_frame, send, socket) => {
      if (!isFirst) return socket.terminate()
      isFirst = false
      send(opened)
    }, (frame, send) => { if (frame['type'] === 'start_call') send(hello) })
    t.match(await piped(['call', '--provider', provider, url], '/drop', '/drop'), { code: 1, output: /ended by a fault/ })
  }
})

t.test('the command line explains itself', async t => {
  for (const [args, code] of [[[], 2], [['dance'], 2], [['--help'], 0], [['help'], 0], [['call', '--help'], 0], [['call'], 2], [['call', 'localhost:3000'], 2], [['call', 'nowhere'], 2], [['call', 'ws://localhost', 'ws://localhost'], 2], [['call', '--provider', 'vapi', 'ws://localhost'], 2], [['call', '--loud', 'ws://localhost'], 2]] as const) {
    const { code: exit, output } = await piped([...args])
    t.equal(exit, code, args.join(' '))
    t.match(output, /fastify-voice-agent call URL/)
  }
})

t.test('the binary runs in a pseudo-terminal', async t => {
  const address = await serve(t)
  const child = spawn('script', ['-qefc', `node dist/cli/main.js call ${address}/llm-websocket`, '/dev/null'], { env: { ...process.env, TERM: 'xterm', NO_COLOR: '', FORCE_COLOR: '' } })
  t.teardown(() => child.kill())
  let output = ''
  child.stdout.on('data', data => { output += String(data) })
  const says = async (text: string): Promise<void> => {
    while (!output.includes(text)) await once(child.stdout, 'data')
  }
  await says('This is the greeting.')
  child.stdin.write('Tuesday\r')
  await says('Tuesday.')
  child.stdin.write('\x03')
  await says('you hung up')
  child.stdin.end()
  const [code] = await once(child, 'close')
  t.equal(code, 0)
  t.match(output, '\x1b[36m')
})
