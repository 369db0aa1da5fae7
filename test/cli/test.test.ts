import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import Fastify from 'fastify'
import voiceAgentPlugin, { type Turn } from '../../lib/index.js'
import { deferred } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'
import { startProgram } from '../helpers/program.js'

setEnv(t)

const retell = (address: string): string => `${address}/llm-websocket`

/** A server with both routes, that repeats what was said. Resolves with its address. */
async function serve (t: Test, asked: (turn: Turn) => void | Promise<void> = () => {}): Promise<string> {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorate('agent', async (turn: Turn) => {
    await asked(turn)
    return turn.reason === 'greeting' ? 'Hello.' : `You said ${turn.transcript.at(-1)?.content}.`
  })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, retell: { allowlist: '127.0.0.1' }, millis: { allowlist: '127.0.0.1' } })
  return (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
}

async function write (t: Test, files: Record<string, string>): Promise<string[]> {
  const directory = t.testdir(files)
  return Object.keys(files).map(name => join(directory, name))
}

const right = 'name: "<Right> & proper"\nsteps: [{ say: Tuesday, expect: { said: Tuesday } }]'
const wrong = 'steps: [{ say: Tuesday, expect: { said: Friday } }, { say: "\\u0001 Hi", expect: { said: "\\"Bye\\"" } }]'

function plain (output: string): string {
  return output.replace(/ +\d+ ms/g, ' N ms').replace(/ +(?=first|call)/g, ' ')
}

async function play (args: string[], options?: Parameters<typeof startProgram>[1]) {
  const program = startProgram(['test', ...args], options)
  return { code: await program.exit, output: program.output() }
}

t.test('scenarios that pass are listed', async t => {
  const [one, two] = await write(t, { 'one.yaml': right, 'two.yaml': 'name: Over Millis\nprovider: millis\nsteps: [say: Hi]' })
  const address = await serve(t)
  const { code, output } = await play([one!, '--url', retell(address)])
  t.equal(code, 0)
  t.equal(plain(output), '      scenario          provider first token first sentence call\npass  <Right> & proper  retell N ms N ms N ms\n\n1 passed, 0 failed\n')
  t.match(await play([two!, '--url', `${address}/millis`]), { code: 0, output: /pass {2}Over Millis {2}millis/ })
})

t.test('one that fails fails all, and says where', async t => {
  const files = await write(t, { 'right.yaml': right, 'wrong.yaml': wrong })
  const { code, output } = await play([...files, '--url', retell(await serve(t))])
  t.equal(code, 1)
  t.match(output, /pass {2}<Right> & proper[^]*FAIL {2}.*wrong\.yaml[^]*\n {2}step 1 \(say "Tuesday"\): expected "Friday" to be said, and heard "You said Tuesday\."\n {2}step 2[^]*\n1 passed, 1 failed\n$/)
})

t.test('a server that is not there fails all', async t => {
  const files = await write(t, { 'right.yaml': right })
  t.match(await play([...files, '--url', 'ws://127.0.0.1:1']), { code: 1, output: /FAIL {2}<Right> & proper {2}retell +- +- +\d+ ms[^]*the server cannot be reached: ECONNREFUSED/ })
})

t.test('a terminal sees how far it is, and colours', async t => {
  const files = await write(t, { 'right.yaml': right, 'wrong.yaml': wrong })
  const { output } = await play([...files, '--url', retell(await serve(t)), '--concurrency', '1'], { isTTY: true })
  // eslint-disable-next-line no-control-regex
  t.match(output, /\r\x1b\[K0 of 2 calls\r\x1b\[K1 of 2 calls, 0 failed\r\x1b\[K2 of 2 calls, 1 failed\r\x1b\[K/)
  // eslint-disable-next-line no-control-regex
  t.match(output, /\x1b\[32mpass[^]*\x1b\[31mFAIL/)
})

t.test('as many calls are placed at a time as it is told to', async t => {
  const gate = deferred()
  let live = 0
  let most = 0
  const address = await serve(t, async ({ reason }) => {
    if (reason === 'greeting') return
    most = Math.max(most, ++live)
    if (live === 3) gate.resolve()
    await gate.promise
    live--
  })
  const files = await write(t, Object.fromEntries(Array.from({ length: 7 }, (_, index) => [`${index}.yaml`, right])))
  t.match(await play([...files, '--url', retell(address), '--concurrency', '3']), { code: 0, output: /7 passed, 0 failed/ })
  t.equal(most, 3)
})

t.test('programs read JSON, and build servers JUnit\'s XML', async t => {
  const files = await write(t, { 'right.yaml': right, 'wrong.yaml': wrong })
  const junit = join(t.testdirName, 'report.xml')
  const { code, output } = await play([...files, '--url', retell(await serve(t)), '--json', '--junit', junit])
  t.equal(code, 1)
  t.match(JSON.parse(output), [
    { file: files[0], name: '<Right> & proper', provider: 'retell', failures: [], findings: [], transcript: [{ content: 'Hello.' }, { content: 'Tuesday' }, { content: 'You said Tuesday.' }] },
    { file: files[1], name: files[1], failures: [{ at: 'step 1 (say "Tuesday")' }, {}] }
  ])
  t.equal((await readFile(junit, 'utf8')).replace(/time="\d+\.\d{3}"/g, 'time="N"').replaceAll(t.testdirName, ''), `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="fastify-voice-agent" tests="2" failures="1" errors="0" skipped="0">
    <testcase name="&#60;Right&#62; &#38; proper" classname="retell" file="/right.yaml" time="N"/>
    <testcase name="/wrong.yaml" classname="retell" file="/wrong.yaml" time="N">
      <failure message="step 1 (say &#34;Tuesday&#34;): expected &#34;Friday&#34; to be said, and heard &#34;You said Tuesday.&#34;">step 1 (say &#34;Tuesday&#34;): expected &#34;Friday&#34; to be said, and heard &#34;You said Tuesday.&#34;
step 2 (say &#34;\\u0001 Hi&#34;): expected &#34;\\&#34;Bye\\&#34;&#34; to be said, and heard &#34;You said \\u0001 Hi.&#34;</failure>
    </testcase>
  </testsuite>
</testsuites>
`)
})

t.test('a report that cannot be written is told before anybody is called', async t => {
  const files = await write(t, { 'right.yaml': right })
  const address = await serve(t, () => { t.fail('somebody was called') })
  t.match(await play([...files, '--url', retell(address), '--junit', '/nowhere/report.xml']), { code: 2, output: /^ENOENT: [^\n]*\n$/ })
})

t.test('what a server says moves no cursor', async t => {
  const files = await write(t, { 'odd.yaml': 'name: "A \\e[31m\\nname"\nsteps: [{ say: "\\x9b31m", expect: { said: Hi } }]' })
  const { output } = await play([...files, '--url', retell(await serve(t))])
  t.match(output, 'FAIL  A \\u001b[31m\\nname')
  t.notMatch(output, /(?!\n)\p{Cc}/u)
})

t.test('a reader who has seen enough is no fault', async t => {
  const files = await write(t, { 'right.yaml': right })
  const child = spawn('sh', ['-c', `node dist/cli/main.js test ${files[0]} --url ws://127.0.0.1:1 --json | true`], { stdio: ['ignore', 'inherit', 'pipe'] })
  let errors = ''
  child.stderr.on('data', data => { errors += String(data) })
  await once(child, 'close')
  t.equal(errors, '')
})

t.test('what is wrong with a scenario is told before anybody is called', async t => {
  const files = await write(t, { 'right.yaml': right, 'odd.yaml': 'steps: [shout]' })
  const address = await serve(t, () => { t.fail('somebody was called') })
  t.same(await play([...files, '--url', retell(address)]), { code: 2, output: `${files[1]}:1: /steps/0 must be one of say, interrupt, silence, wait, drop, hang-up\n` })
  t.match(await play(['nowhere.yaml', '--url', retell(address)]), { code: 2, output: /^ENOENT: [^\n]*nowhere\.yaml'\n$/ })
})

t.test('it explains itself', async t => {
  for (const args of [[], ['a.yaml'], ['a.yaml', '--url', 'here'], ['--url', 'ws://localhost'], ['a.yaml', '--url', 'ws://localhost', '--concurrency', '0'], ['a.yaml', '--url', 'ws://localhost', '--provider', 'vapi'], ['a.yaml', '--loud']]) {
    t.match(await play(args), { code: 2, output: /^[^\n]+\n\nfastify-voice-agent test FILE/ }, args.join(' '))
  }
  t.match(await play(['--help']), { code: 0, output: /fastify-voice-agent test FILE/ })
})

t.test('the binary shows how far it is in a pseudo-terminal', async t => {
  const [file] = await write(t, { 'right.yaml': right })
  const child = spawn('script', ['-qefc', `node dist/cli/main.js test ${file} --url ${retell(await serve(t))}`, '/dev/null'], { env: { ...process.env, TERM: 'xterm', NO_COLOR: '', FORCE_COLOR: '' } })
  let output = ''
  child.stdout.on('data', data => { output += String(data) })
  const [code] = await once(child, 'close')
  t.equal(code, 0)
  t.match(output, '0 of 1 calls')
  t.match(output, '\x1b[32mpass')
  t.match(output, '1 passed, 0 failed')
})

t.test('the binary plays the scenarios of the example app', async t => {
  const { createApp } = await import('../../example-app/app.js')
  process.env['RETELL_ALLOWLIST'] = process.env['MILLIS_ALLOWLIST'] = '127.0.0.1'
  const app = createApp()
  t.teardown(() => app.close())
  const address = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
  for (const path of ['llm-websocket', 'millis']) {
    const child = spawn('sh', ['-c', `node dist/cli/main.js test example-app/scenarios/*.yaml --url ${address}/${path}`], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', data => { output += String(data) })
    const [code] = await once(child, 'close')
    t.equal(code, 0, output)
    t.match(output, / passed, 0 failed\n$/)
  }
})
