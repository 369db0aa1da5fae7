import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import t, { type Test } from 'tap'

/** A program that logs a first line, and, once it is told to, does `then`. Nobody reads its log before `read()`, unless at once. */
function start (t: Test, then: string, { file = '', isRead = true } = {}) {
  const code = `
    import Fastify from 'fastify'
    import { logging } from './.build/example-app/logging.js'
    const { log } = Fastify(logging(${file === '' ? '' : JSON.stringify(file)}))
    setInterval(() => {}, 60_000)
    const say = (from, to, more) => { for (let n = from; n <= to; n++) log.info(more, 'line ' + n) }
    log.info('first')
    process.stdin.once('data', () => { ${then} })
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    env: { PATH: process.env['PATH'] },
    stdio: ['pipe', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { errors += text })
  const read = (): void => { child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text }) }
  if (isRead) read()
  return {
    child,
    read,
    exit: once(child, 'close').then(([code, signal]) => code ?? signal),
    async hears (words: string) {
      while (!output.includes(words)) await once(child.stdout, 'data')
    },
    async reaches (words: string) {
      while (!errors.includes(words)) await once(child.stderr, 'data')
    },
    messages: () => output.trim().split('\n').map(line => (JSON.parse(line) as { msg: string }).msg),
    go: () => { child.stdin.end('now') }
  }
}

function lines (to: number): string[] {
  return ['first', ...Array.from({ length: to }, (_, n) => `line ${n + 1}`)]
}

for (const count of [1, 1_000]) {
  t.test(`of ${count} lines none is lost when the process exits`, async t => {
    const { child, exit, messages, go } = start(t, `say(1, ${count}); process.exit(3)`)
    await once(child.stdout, 'data')
    t.strictSame(messages(), ['first'], 'a line is not kept for long')
    go()
    t.equal(await exit, 3)
    t.strictSame(messages(), lines(count))
  })
}

t.test('a process whose last lines nobody reads exits all the same', async t => {
  const { child, exit, go } = start(t, "say(1, 1_000, { much: 'x'.repeat(1_000) }); process.exit(3)")
  await once(child.stdout, 'data')
  child.stdout.pause()
  go()
  t.equal((await once(child, 'exit'))[0], 3)
  child.stdout.resume()
  await exit
})

t.test('a process whose reader is gone exits all the same', async t => {
  const { child, exit, go } = start(t, 'say(1, 1_000); process.exit(3)')
  await once(child.stdout, 'data')
  child.stdout.destroy()
  await once(child.stdout, 'close')
  go()
  t.equal(await exit, 3)
})

t.test('who reads late holds up nobody, and reads all in order', async t => {
  const { child, read, hears, reaches, exit, messages, go } = start(t, `
    say(1, 1_000, { much: 'x'.repeat(1_000) })
    setTimeout(() => {
      process.stderr.write('not held up')
      setTimeout(() => say(1_001, 1_010), 1)
    }, 1)
    process.once('SIGTERM', () => process.exit(3))
  `, { isRead: false })
  go()
  await reaches('not held up')
  read()
  await hears('line 1010')
  child.kill()
  t.equal(await exit, 3)
  t.strictSame(messages(), lines(1_010))
})

t.test('who reads nothing is kept 8 MiB, and told how much more there was', async t => {
  const { child, read, hears, reaches, exit, messages, go } = start(t, `
    say(1, 1_000, { much: 'x'.repeat(20_000) })
    process.stderr.write('all said')
    setInterval(() => log.info('on'), 10)
    process.once('SIGTERM', () => process.exit(3))
  `, { isRead: false })
  go()
  await reaches('all said')
  read()
  const told = 'log lines were dropped: nobody read them'
  await hears(told)
  child.kill()
  t.equal(await exit, 3)
  const heard = messages()
  const kept = heard.indexOf(told) - 1
  t.ok(kept > 400 && kept < 500, `${kept} lines of 20 kB`)
  t.strictSame(heard.slice(0, kept + 1), lines(kept))
  t.strictSame([...new Set(heard.slice(kept + 2))], ['on'])
})

t.test('who reads only when the process exits is told of it, too', async t => {
  const { read, reaches, exit, messages, go } = start(t, "say(1, 1_000, { much: 'x'.repeat(20_000) }); process.stderr.write('all said'); process.exit(3)", { isRead: false })
  go()
  await reaches('all said')
  read()
  t.equal(await exit, 3)
  const heard = messages()
  t.strictSame(heard, [...lines(heard.length - 2), 'log lines were dropped: nobody read them'])
})

t.test('a disk that is full ends nothing', { skip: !existsSync('/dev/full') && 'no /dev/full' }, async t => {
  const { reaches, exit, go } = start(t, `
    say(1, 1_000)
    setTimeout(() => { process.stderr.write('lives on'); process.exit(3) }, 1)
  `, { file: '/dev/full' })
  go()
  await reaches('lives on')
  t.equal(await exit, 3)
})

t.test('a fatal line is written at once, and what is said while the process exits', async t => {
  const { exit, messages, go } = start(t, `
    say(1, 1)
    process.once('exit', () => { say(3, 3); process.kill(process.pid, 'SIGKILL') })
    say(2, 2)
    process.exit(3)
  `)
  go()
  t.equal(await exit, 'SIGKILL')
  t.strictSame(messages(), lines(3))

  const fatal = start(t, "log.fatal('line 1'); process.kill(process.pid, 'SIGKILL')")
  fatal.go()
  t.equal(await fatal.exit, 'SIGKILL')
  t.strictSame(fatal.messages(), lines(1))
})
