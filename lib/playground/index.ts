/**
 * A page to call the app from, without a phone, and one that shows calls as they happen: `await app.register(playground)`, for
 * developers alone.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { logRefusals } from '../admission/refusals.js'
import { closingOf } from '../http/shutdown.js'
import { ConfigError, PlaygroundError, ViewersError } from '../contract/errors.js'
import { logSerializers } from '../http/request-log.js'
import { provideWebsocket } from '../http/websocket.js'
import { isOwnPage } from './admission.js'
import { LiveCalls } from './live-calls.js'
import { pageFolder, servePageFiles } from './page-files.js'
import { callerProviders, type CallerProviderName } from '../testing/providers.js'
import { PlaygroundSession, type PlaygroundHost } from './session.js'
import { whyOff } from './switch.js'
import { createTokenGuard, urlWithToken } from './token.js'
import { EventStreamClients } from './event-stream-clients.js'

/**
 * Where the app takes the calls of each provider, with the route's secret where it has one: one option each, `…Path`. Default the
 * provider's own path.
 */
export type PlaygroundPaths = { [Name in CallerProviderName as `${Name}Path`]?: string }

/** Options of {@link playground}; `prefix` moves its pages, as of any plugin. */
export interface PlaygroundOptions extends PlaygroundPaths {
  /**
   * True serves it, whatever the environment says. Default: where `PLAYGROUND` is `true` in the environment and `NODE_ENV` is `development` or `test`, or is not set and
   * standard output is a terminal.
   */
  enabled?: boolean
  /**
   * What the URL of the page holds as `?token=`, of letters, digits and `. _ ~ -`. Default: 128 random bits, made anew at each start;
   * only then the URL is printed to standard output once the app listens.
   */
  token?: string
  /**
   * Admits other machines, tunnels and proxies, and any `Host`, with the token all the same. Calls that are placed from the page pass the
   * allowlists: everyone who can open it talks to your agent. Default `false`: only requests that may come from this machine.
   */
  allowRemote?: boolean
}

// One radio button a provider, the first being checked.
function choices (): string {
  return callerProviders.map(({ name, label, hasReminders }, index) =>
    `<label><input type="radio" name="provider" value="${name}"${hasReminders ? ' data-reminders' : ''}${index === 0 ? ' checked' : ''}>` +
    `<span>${label}</span></label>`).join('\n        ')
}

const TOKEN_BYTES = 16

// The page loads nothing from elsewhere, and sends nothing elsewhere.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
const PAGE_HEADERS = { 'content-security-policy': POLICY, 'content-type': 'text/html; charset=utf-8' }

const EVENTS_HEADERS = { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' }

/**
 * Serves the playground at `/`, and at `/calls` a page of all calls of this process, of which it knows those that begin from
 * now on. Calls are placed within the process, from 127.0.0.1 or, where that is not on the allowlist, from the provider's own
 * address, so that they need no network. Serves nothing where it is off, see {@link PlaygroundOptions.enabled}: the log says why.
 *
 * Requests fail with VOICE_AGENT_ERR_PLAYGROUND unless they hold the token, or the cookie that it was traded for; and where they come
 * from another machine or another page. The app does not become ready with VOICE_AGENT_ERR_CONFIG where the token cannot be one, or where
 * a bundle of the app leaves the pages behind.
 */
export const playground: FastifyPluginAsync<PlaygroundOptions> = async function playground (scope, options) {
  const { token = randomBytes(TOKEN_BYTES).toString('hex') } = options
  if (!/^[\w.~-]+$/.test(token)) throw new ConfigError('option token must be letters, digits and any of . _ ~ -')
  const why = whyOff(options.enabled, process)
  if (why !== undefined) return scope.log.info(`the playground is off: ${why}`)

  // Keep the URL, which holds the token, out of the log.
  await scope.register(async inner => await pages(inner, options, token), { logSerializers })
  if (options.token !== undefined) return
  scope.addHook('onListen', async function printUrl () {
    // Not through the logger, whose lines may be stored and forwarded.
    process.stdout.write(`\nPlayground  ${originOf(scope)}${urlWithToken(baseOf(scope), token)}\n`)
  })
}

async function pages (scope: FastifyInstance, options: PlaygroundOptions, token: string): Promise<void> {
  const { allowRemote = false } = options
  const base = baseOf(scope)
  const folder = pageFolder(import.meta.url)
  const pageOf = async (file: string): Promise<string> => (await readFile(folder + file, 'utf8'))
    .replace('<base href="/">', `<base href="${base}/">`).replace('<!-- providers -->', choices())
  const [callPage, liveCallsPage] = await Promise.all([pageOf('index.html'), pageOf('calls.html')])

  const host: PlaygroundHost = {
    // The app serves this request, so it is ready.
    target: { server: scope.server, ready: async () => {} },
    pathOf: ({ name, path }) => options[`${name}Path`] ?? path,
    admit: async callId => { if (scope.hasDecorator('admitCall')) await scope.admitCall(callId) }
  }

  logRefusals(scope)
  scope.addHook('onRequest', createTokenGuard({ token, allowRemote, base }))
  const sessions = new Set<PlaygroundSession>()
  // The app does not drain the playground's own calls.
  closingOf(scope).add(async () => { await Promise.all(Array.from(sessions, session => session.close())) })
  await provideWebsocket(scope, scope)
  scope.get('/', (_request, reply) => reply.headers(PAGE_HEADERS).send(callPage))
  await servePageFiles(scope, folder)
  scope.get('/playground/call', { websocket: true }, socket => {
    const session = new PlaygroundSession(host, message => socket.send(JSON.stringify(message)))
    sessions.add(session)
    socket.on('message', data => void session.receive(String(data))) // eslint-disable-line no-void
    socket.on('close', () => {
      sessions.delete(session)
      void session.close() // eslint-disable-line no-void
    })
  })

  const clients = new EventStreamClients()
  const liveCalls = new LiveCalls(event => clients.tell(event), scope.log)
  // Calls are drained by now, and clients have seen it. End their streams, for which the server would wait.
  scope.addHook('preClose', async () => {
    liveCalls.close()
    clients.close()
  })
  scope.get('/calls', (_request, reply) => reply.headers(PAGE_HEADERS).send(liveCallsPage))
  // A window that another page opens here would use up a client's slot.
  const refuseOthers = async (request: FastifyRequest): Promise<void> => { if (!isOwnPage(request)) throw new PlaygroundError() }
  // A HEAD request would never end.
  scope.get('/calls/events', { exposeHeadRoute: false, onRequest: refuseOthers }, (_request, reply) => {
    if (clients.isFull) throw new ViewersError()
    return reply.headers(EVENTS_HEADERS).send(clients.add(liveCalls.snapshot()))
  })
}

// The root scope has the prefix `/`.
function baseOf ({ prefix }: FastifyInstance): string {
  return prefix.replace(/\/$/, '')
}

// Browsers cannot connect to the wildcard address.
function originOf ({ listeningOrigin }: FastifyInstance): string {
  return listeningOrigin.replace(/\/\/(0\.0\.0\.0|\[::\])(?=:)/, '//localhost')
}

export default playground
