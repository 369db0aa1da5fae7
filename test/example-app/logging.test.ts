import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'

/** A program that logs a first line, and, once it is told to, some more before it exits at once. */
function start (t: Test, lines: number) {
  const code = `
    import Fastify from 'fastify'
    import { logging } from './example-app/logging.ts'
    const app = Fastify(logging())
    app.log.info('first')
    process.stdin.once('data', () => {
      for (let n = 1; n <= ${lines}; n++) app.log.info('line ' + n)
      process.exit(3)
    })
  `
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', code], {
    env: { PATH: process.env['PATH'], _TAPJS_PROCESSINFO_COVERAGE_: '0' },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  return {
    child,
    exit: once(child, 'close').then(([code, signal]) => code ?? signal),
    messages: () => output.trim().split('\n').map(line => (JSON.parse(line) as { msg: string }).msg),
    end: () => { child.stdin.end('now') }
  }
}

for (const lines of [1, 1_000]) {
  t.test(`of ${lines} lines none is lost when the process exits`, async t => {
    const { child, exit, messages, end } = start(t, lines)
    await once(child.stdout, 'data')
    t.strictSame(messages(), ['first'], 'a line is not kept for long')
    end()
    t.equal(await exit, 3)
    t.strictSame(messages(), ['first', ...Array.from({ length: lines }, (_, n) => `line ${n + 1}`)])
  })
}

t.test('a process whose reader is gone exits all the same', async t => {
  const { child, exit, end } = start(t, 1)
  await once(child.stdout, 'data')
  child.stdout.destroy()
  await once(child.stdout, 'close')
  end()
  t.equal(await exit, 3)
})
