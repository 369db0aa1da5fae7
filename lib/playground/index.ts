/**
 * A page to call the app from, without a phone, and one that shows calls as they happen: `await app.register(playground)`.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { closingOf } from '../closing.js'
import { PlaygroundError, ViewersError } from '../errors.js'
import { provideWebsocket } from '../websocket.js'
import { isFromHere, isOwnPage } from './admission.js'
import { Board } from './board.js'
import { PlaygroundSession, type PlaygroundHost, type Routes } from './session.js'
import { Viewers } from './viewers.js'

export { isFromHere } from './admission.js'

/** Options of {@link playground}; `prefix` moves its pages, as of any plugin. */
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
const PAGE_HEADERS = { 'content-security-policy': POLICY, 'referrer-policy': 'no-referrer', 'content-type': 'text/html; charset=utf-8' }

const EVENTS_HEADERS = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }

/**
 * Serves the playground at `/`, and at `/calls` a page of all calls of this process, of which it knows those that begin from
 * now on. Calls are placed within the process, from 127.0.0.1 or, where that is not on the allowlist, from Retell's own
 * address, so that they need no network.
 *
 * Requests fail with VOICE_AGENT_ERR_PLAYGROUND, unless they come from this machine or `allowRemote` is set, and where
 * another page would open the socket.
 */
const playground: FastifyPluginAsync<PlaygroundOptions> = async function playground (scope: FastifyInstance, options: PlaygroundOptions) {
  const { retellPath = '/llm-websocket', millisPath = '/millis', allowRemote = false } = options
  const pageOf = async (file: string): Promise<string> => (await readFile(PAGE + file, 'utf8')).replace('<base href="/">', `<base href="${scope.prefix.replace(/\/$/, '')}/">`)
  const [callPage, boardPage] = await Promise.all([pageOf('index.html'), pageOf('calls.html')])

  const host: PlaygroundHost = {
    // Whoever asks is served by one that is ready.
    target: { server: scope.server, ready: async () => {} },
    retellPath,
    millisPath,
    admit: async callId => { if (scope.hasDecorator('admitCall')) await scope.admitCall(callId) }
  }

  scope.addHook('onRequest', async function refuseStrangers (request) {
    if (!(allowRemote || isFromHere(request)) || !isOwnPage(request)) throw new PlaygroundError()
  })
  const sessions = new Set<PlaygroundSession>()
  // Its callers are nobody that the app would have to wait for.
  closingOf(scope).add(async () => { await Promise.all(Array.from(sessions, session => session.close())) })
  await provideWebsocket(scope, scope)
  scope.get('/', (_request, reply) => reply.headers(PAGE_HEADERS).send(callPage))
  await scope.register(fastifyStatic, { root: PAGE, prefix: '/playground/', wildcard: false, decorateReply: false, index: false, globIgnore: ['*.html', 'wire.*', '**/*.map'] })
  scope.get('/playground/call', { websocket: true }, socket => {
    const session = new PlaygroundSession(host, message => socket.send(JSON.stringify(message)))
    sessions.add(session)
    socket.on('message', data => void session.receive(String(data))) // eslint-disable-line no-void
    socket.on('close', () => {
      sessions.delete(session)
      void session.close() // eslint-disable-line no-void
    })
  })

  const viewers = new Viewers()
  const board = new Board(event => viewers.tell(event), scope.log)
  // Calls have been drained by then, and who looks has seen it; the server is about to wait for its connections.
  scope.addHook('preClose', async () => {
    board.close()
    viewers.close()
  })
  scope.get('/calls', (_request, reply) => reply.headers(PAGE_HEADERS).send(boardPage))
  // HEAD would look at it for ever.
  scope.get('/calls/events', { exposeHeadRoute: false }, (_request, reply) => {
    if (viewers.isFull) throw new ViewersError()
    return reply.headers(EVENTS_HEADERS).send(viewers.add(board.snapshot()))
  })
}

export default playground
