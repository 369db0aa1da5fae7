/**
 * A page to call the app from, without a phone: `await app.register(playground)`.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { closingOf } from '../closing.js'
import { PlaygroundError } from '../errors.js'
import { provideWebsocket } from '../websocket.js'
import { isFromHere, isOwnPage } from './admission.js'
import { PlaygroundSession, type PlaygroundHost, type Routes } from './session.js'

export { isFromHere } from './admission.js'

/** Options of {@link playground}; `prefix` moves the page, as of any plugin. */
export interface PlaygroundOptions extends Partial<Routes> {
  /** Path of Retell's route, with its secret where it has one. Default `/llm-websocket`. */
  retellPath?: string
  /** Path of Millis' route, likewise. Default `/millis`. */
  millisPath?: string
  /**
   * Serves everybody who can reach the server, and not this machine alone. Calls that are placed from the page pass the
   * allowlists: whoever can open it talks to your agent.
   */
  allowRemote?: boolean
}

// Compiled, and the same whether this file is or not.
const PAGE = fileURLToPath(new URL('../../dist/playground/page/', import.meta.url))

// Nothing leaves the machine, and nothing comes from elsewhere.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"

/**
 * Serves the playground at `/`. Calls are placed within the process, from 127.0.0.1 or, where that is not on the allowlist,
 * from Retell's own address, so that they need no network.
 *
 * Requests fail with VOICE_AGENT_ERR_PLAYGROUND, unless they come from this machine or `allowRemote` is set, and where
 * another page would open the socket.
 */
const playground: FastifyPluginAsync<PlaygroundOptions> = async function playground (scope: FastifyInstance, options: PlaygroundOptions) {
  const { retellPath = '/llm-websocket', millisPath = '/millis', allowRemote = false } = options
  const page = (await readFile(`${PAGE}index.html`, 'utf8')).replace('<base href="/">', `<base href="${scope.prefix.replace(/\/$/, '')}/">`)

  const host: PlaygroundHost = {
    // Whoever asks is served by one that is ready.
    target: { server: scope.server, ready: async () => {} },
    retellPath,
    millisPath,
    admit: callId => { if (scope.hasDecorator('admitCall')) scope.admitCall(callId) }
  }

  scope.addHook('onRequest', async function refuseStrangers (request) {
    if (!(allowRemote || isFromHere(request)) || !isOwnPage(request)) throw new PlaygroundError()
  })
  const sessions = new Set<PlaygroundSession>()
  // Its callers are nobody that the app would have to wait for.
  closingOf(scope).add(async () => { await Promise.all(Array.from(sessions, session => session.close())) })
  await provideWebsocket(scope, scope)
  scope.get('/', (_request, reply) => reply.headers({ 'content-security-policy': POLICY, 'referrer-policy': 'no-referrer' }).type('text/html').send(page))
  await scope.register(fastifyStatic, { root: PAGE, prefix: '/playground/', wildcard: false, decorateReply: false, index: false, globIgnore: ['index.html', 'wire.*', '**/*.map'] })
  scope.get('/playground/call', { websocket: true }, socket => {
    const session = new PlaygroundSession(host, message => socket.send(JSON.stringify(message)))
    sessions.add(session)
    socket.on('message', data => void session.receive(String(data))) // eslint-disable-line no-void
    socket.on('close', () => {
      sessions.delete(session)
      void session.close() // eslint-disable-line no-void
    })
  })
}

export default playground
