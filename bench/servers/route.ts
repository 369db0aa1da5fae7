/**
 * Fastify with a bare `@fastify/websocket` route, logging at info: what a call costs before anything is done for it. It
 * greets and answers keep-alives; to everything else it says nothing.
 */
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { logging } from '../../example-app/logging.js'
import { announce } from '../../test/helpers/announce.js'
import { serveMillis, serveRetell } from './by-hand.js'
import { answerProbes } from './probe.js'

// With the one line that Fastify has for each request.
const { logger } = logging('/dev/null')
const app = Fastify({ logger: logger! })
const saysNothing = async (): Promise<void> => {}
await app.register(websocket)
app.get('/llm-websocket/:call_id', { websocket: true }, socket => serveRetell(socket, saysNothing))
app.get('/millis', { websocket: true }, socket => serveMillis(socket, saysNothing))
await app.listen({ port: 0, host: '127.0.0.1' })
answerProbes()
announce(app.server.address())
