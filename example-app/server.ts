/**
 * `npm start`: listens on HOST and PORT, says which URLs to paste into the dashboards, and closes on SIGTERM and SIGINT.
 */
import closeWithGrace from 'close-with-grace'
import { ConfigError } from 'fastify-voice-agent'
import playground from 'fastify-voice-agent/playground'
import { createApp } from './app.js'
import { logging } from './logging.js'
import { startTelemetry } from './telemetry.js'

const { HOST, PORT, RETELL_PATH = '/llm-websocket', MILLIS_PATH = '/millis', VOICE_AGENT_SECRET, DRAIN_TIMEOUT_MS, METRICS_TOKEN } = process.env

const telemetry = startTelemetry()
const app = createApp(logging())

// A page on / to call the agent from, for developers: see example-app/development.env. It prints its URL itself, since that holds a token.
const inPath = VOICE_AGENT_SECRET === undefined ? '' : `/${VOICE_AGENT_SECRET}`
app.register(playground, { retellPath: RETELL_PATH + inPath, millisPath: MILLIS_PATH + inPath })

app.register(telemetry.plugin)

// Live calls may go on for DRAIN_TIMEOUT_MS and a last answer, and then traces are sent; a second signal ends the process at once.
closeWithGrace({ logger: app.log, delay: Number(DRAIN_TIMEOUT_MS || 5_000) + 12_000 }, async ({ err }) => {
  if (err) app.log.error({ err }, 'closing after an error')
  await app.close()
  await telemetry.stop().catch((err: unknown) => app.log.warn({ err }, 'traces were not exported'))
})

try {
  const port = Number(PORT || 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new ConfigError('PORT must be a whole number, 0 to 65535')
  const url = await app.listen({ host: HOST || '127.0.0.1', port }).catch(withoutAddress)
  const address = url.replace(/^http/, 'ws')
  const secret = VOICE_AGENT_SECRET === undefined ? '' : '/<VOICE_AGENT_SECRET>'
  console.log(`
Retell  Custom LLM WebSocket URL  ${address}${RETELL_PATH}${secret}
Millis  Custom LLM WebSocket URL  ${address}${MILLIS_PATH}${secret}
${METRICS_TOKEN ? `Metrics, with METRICS_TOKEN        ${url}/metrics\n` : ''}
Providers reach this machine through a tunnel: see "Trying it with real calls" in README.md.
`)
} catch (err) {
  app.log.error({ err }, 'the server did not start')
  await app.close()
  process.exit(1)
}

// What the system says repeats the value of HOST, where a secret may have been pasted by mistake.
function withoutAddress (error: NodeJS.ErrnoException): never {
  throw error.syscall === undefined ? error : new ConfigError(`HOST and PORT: cannot listen there (${error.code})`)
}
