import { execFileSync, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import voiceAgentPlugin, { endCall } from '../../lib/index.js'
import { setEnv } from '../helpers/env.js'
import { runNode } from '../helpers/process.js'

setEnv(t)

const skip = spawnSync('openssl', ['version']).error === undefined ? false : 'openssl is not installed'

t.test('a server with a certificate of its own is called once NODE_EXTRA_CA_CERTS names it, as the command line says', { skip }, async t => {
  const directory = t.testdir()
  const [keyFile, certFile] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-keyout', keyFile, '-out', certFile, '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'
  ], { stdio: 'ignore' })
  const app = Fastify({ https: { key: await readFile(keyFile), cert: await readFile(certFile) } })
  t.teardown(() => app.close())
  app.decorate('agent', async function * () { yield endCall({ say: 'Goodbye.' }) })
  await app.register(voiceAgentPlugin, { drainTimeoutMs: 0, retell: { allowlist: '127.0.0.1' } })
  const url = `${(await app.listen({ port: 0, host: '127.0.0.1' })).replace('https', 'wss')}/llm-websocket`

  const refused = runNode(t, ['dist/cli/main.js', 'call', url])
  t.equal(await refused.exit, 1)
  t.equal(refused.output(), 'the server cannot be reached: DEPTH_ZERO_SELF_SIGNED_CERT: Node does not trust its certificate: set NODE_EXTRA_CA_CERTS to the file of the certificate, or of the authority that signed it\n')
  const trusted = runNode(t, ['dist/cli/main.js', 'call', url], { NODE_EXTRA_CA_CERTS: certFile })
  t.equal(await trusted.exit, 0)
  t.match(trusted.output(), /^Goodbye\.\n/)
})
