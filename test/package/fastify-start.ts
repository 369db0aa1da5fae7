/**
 * An app that `fastify start` runs drains its calls on SIGTERM with the flag that docs/health.md names, and without it does not.
 *
 * Installs fastify-cli, and is part of `npm run test:package`, not of `npm test`.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { RetellCaller } from '../../lib/testing/index.js'

const directory = mkdtempSync(join(tmpdir(), 'fastify-start-'))
t.teardown(() => rmSync(directory, { recursive: true }))

writeFileSync(join(directory, 'package.json'), '{ "private": true, "type": "module" }')
// fastify-cli wants two parameters.
writeFileSync(join(directory, 'app.js'), `import voiceAgentPlugin from 'fastify-voice-agent'

export default async function app (fastify, options) {
  fastify.decorate('agent', ({ transcript }) => \`You said: \${transcript.at(-1)?.content}\`)
  await fastify.register(voiceAgentPlugin)
}
`)
const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
execFileSync('npm', ['install', ...quietly, 'fastify-cli@8'], { cwd: directory, stdio: 'inherit' })
mkdirSync(join(directory, 'node_modules'), { recursive: true })
symlinkSync(process.cwd(), join(directory, 'node_modules/fastify-voice-agent'))

/** `fastify start`, with a call on it. */
async function start (t: Test, flags: string[]) {
  const listening = ['--port', '0', '--address', '127.0.0.1', '--log-level', 'info']
  const child = spawn(process.execPath, ['node_modules/fastify-cli/cli.js', 'start', ...listening, ...flags, 'app.js'], {
    cwd: directory,
    env: { PATH: process.env['PATH'], RETELL_ALLOWLIST: '127.0.0.1', DRAIN_TIMEOUT_MS: '60000', READINESS_PATH: '/ready' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exit = once(child, 'close').then(([code, signal]) => code ?? signal)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  let output = ''
  let port: string | undefined
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += String(chunk)
    port = /listening at http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1]
    if (port !== undefined) break
  }
  child.stdout.resume()
  return { child, exit, http: `http://127.0.0.1:${port}`, call: await RetellCaller.dial(`ws://127.0.0.1:${port}/llm-websocket`) }
}

t.test('with --close-grace-delay a live call goes on', async t => {
  const [, delay] = /--close-grace-delay (\d+)/.exec(readFileSync('docs/health.md', 'utf8'))!
  const { child, exit, http, call } = await start(t, ['--close-grace-delay', delay!])
  child.kill('SIGTERM')
  while ((await fetch(`${http}/ready`)).status === 200);
  t.match(await call.say('Still there?'), { text: 'You said: Still there?', outcome: 'completed' })
  await call.hangUp()
  t.equal(await exit, 0)
})

t.test('without it the call is cut off', async t => {
  const { child, exit, call } = await start(t, [])
  child.kill('SIGTERM')
  t.equal(await exit, 1)
  t.match(await call.ended, { by: 'fault' })
})
