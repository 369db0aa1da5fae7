import { createServer } from 'node:http'
import { createSecureServer } from 'node:http2'
import { once } from 'node:events'
import type { TlsOptions } from 'node:tls'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import voiceAgentPlugin, { type VoiceAgentOptions } from '../../lib/index.js'
import playground from '../../lib/playground/index.js'
import { AT_ONCE } from '../helpers/app.js'
import { setEnv } from '../helpers/env.js'

const OPEN = { ...AT_ONCE, retell: { allowlist: '*' } } satisfies VoiceAgentOptions

// TLS without a certificate: both sides know the key.
const PSK_KEY = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const PSK = { ciphers: 'PSK', maxVersion: 'TLSv1.2' as const, pskCallback: () => PSK_KEY } satisfies TlsOptions

const UNREACHABLE = {
  code: 'VOICE_AGENT_ERR_CONFIG',
  message: 'Fastify({ http2: true }): no call can come in, since a WebSocket begins as a request of HTTP/1.1. ' +
    'Leave http2 out, or allow both: Fastify({ http2: true, https: { key, cert, allowHTTP1: true } })'
}

setEnv(t)

type Options = Parameters<typeof Fastify>[0]

function create (t: Test, options: object) {
  const app = Fastify(options as Options)
  t.teardown(() => app.close())
  return app
}

for (const [what, options] of Object.entries({
  'HTTP/2 without TLS': { http2: true },
  'HTTP/2 over TLS': { http2: true, https: PSK },
  'HTTP/2 over TLS where HTTP/1.1 is switched off': { http2: true, https: { ...PSK, allowHTTP1: false } }
})) {
  t.test(`${what} stops the start: no client could reach a call`, async t => {
    await t.rejects(async () => { await create(t, options).register(voiceAgentPlugin, OPEN) }, UNREACHABLE)
  })
}

t.test('the playground does not start either', async t => {
  await t.rejects(async () => { await create(t, { http2: true }).register(playground, { enabled: true }) }, UNREACHABLE)
})

for (const [what, options] of Object.entries({
  'HTTP/2 over TLS that allows HTTP/1.1': { http2: true, https: { ...PSK, allowHTTP1: true } },
  'a server of the app\'s own making that speaks both': { http2: true, serverFactory: (handler: never) => createSecureServer({ ...PSK, allowHTTP1: true }, handler) },
  'a server of the app\'s own making that speaks HTTP/1.1': { http2: true, serverFactory: (handler: never) => createServer(handler) }
})) {
  t.test(`${what} takes calls`, async t => {
    const app = create(t, options)
    await app.register(voiceAgentPlugin, OPEN)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as { port: number }
    const scheme = /both|TLS/.test(what) ? 'wss' : 'ws'
    const socket = new WebSocket(`${scheme}://127.0.0.1:${port}/llm-websocket/call_1`, {
      ...PSK,
      pskCallback: () => ({ psk: PSK_KEY, identity: 'x' }),
      checkServerIdentity: () => undefined
    } as object)
    t.teardown(() => socket.terminate())
    const [frame] = await once(socket, 'message')
    t.match(JSON.parse(String(frame)), { response_type: 'config' })
  })
}
