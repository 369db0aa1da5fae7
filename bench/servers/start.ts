/**
 * `node start.mjs fastify` or `node start.mjs plugin`: an app that tells on stderr what its process took until it listens, and exits. It is
 * copied to where the published package is installed. The two differ in the plugin and its agent only.
 */
import { writeSync } from 'node:fs'
import Fastify from 'fastify'

/** What a process took until its app listens, Node's own start included. */
export interface StartReport {
  readonly cpuMs: number
  readonly wallMs: number
  readonly rssBytes: number
}

const app = Fastify({ logger: true })
if (process.argv[2] === 'plugin') {
  const { default: voiceAgentPlugin } = await import('fastify-voice-agent')
  app.decorate('agent', async function * () { yield 'Hello.' })
  await app.register(voiceAgentPlugin)
}
await app.listen({ port: 0, host: '127.0.0.1' })

const { user, system } = process.cpuUsage()
const report: StartReport = { cpuMs: (user + system) / 1_000, wallMs: performance.now(), rssBytes: process.memoryUsage.rss() }
writeSync(process.stderr.fd, JSON.stringify(report))
process.exit()
