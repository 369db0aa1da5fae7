/**
 * An app with an SDK of OpenTelemetry, which hears of a call and its turn.
 */
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import Fastify from 'fastify'
import voiceAgentPlugin from 'fastify-voice-agent'
import { RetellCaller } from 'fastify-voice-agent/testing'

const exporter = new InMemorySpanExporter()
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()

const app = Fastify()
app.decorate('agent', () => 'Hello.')
await app.register(voiceAgentPlugin, { retell: { allowlist: '*' } })
const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
const call = await RetellCaller.dial(`${url}/llm-websocket`)
await call.hangUp()
await app.close()
console.log(exporter.getFinishedSpans().map(({ name, instrumentationScope }) => `${name} of ${instrumentationScope.name}`).join(', '))
