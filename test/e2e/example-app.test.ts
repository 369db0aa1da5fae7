import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { dialUrl, millis, retell } from '../helpers/caller.js'
import { runNode } from '../helpers/process.js'

// What `npm start` runs when everything is built.
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
const [node, ...args] = scripts.start.split(' ')

function start (t: Test, env: Record<string, string> = {}) {
  t.equal(node, 'node')
  return runNode(t, args, { PORT: '0', ...env })
}

t.test('npm start prints both URLs, and takes a call on each, with no key and no service', async t => {
  const app = start(t)
  const [, retellUrl] = await app.says(/^Retell .*(ws:\S+)$/m)
  const [, millisUrl] = await app.says(/^Millis .*(ws:\S+)$/m)

  const onRetell = await dialUrl(t, `${retellUrl}/call_1`)
  onRetell.send(retell.details())
  t.strictSame((await onRetell.response(0)).slice(1), [
    { response_type: 'response', response_id: 0, content: 'How may I help you?', content_complete: true }
  ])
  onRetell.send(retell.request(1, 'A table for two'))
  t.strictSame(await onRetell.response(1), [
    { response_type: 'response', response_id: 1, content: 'I am sorry, can you say that again?', content_complete: true }
  ])

  const onMillis = await dialUrl(t, millisUrl!)
  onMillis.send(millis.start(0))
  t.strictSame(await onMillis.stream(0), [
    { type: 'stream_response', data: { stream_id: 0, content: 'How may I help you?', flush: true, end_of_stream: true } }
  ])
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
