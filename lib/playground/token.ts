/**
 * Who may use the playground: people who open it by the URL that holds its token. An address proves nothing, since a proxy on this
 * machine has that of the developer.
 */
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { secretCheck } from '../admission/secret.js'
import { PlaygroundError } from '../contract/errors.js'
import { isNavigation, isOwnPage, mayBeFromHere } from './admission.js'

const PARAMETER = 'token'

// Also of refusals. Pages of others cannot show ours in a frame, and no URL is passed on.
const HEADERS = { 'cache-control': 'no-store', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' }

/** What requests are judged by. */
export interface TokenSettings {
  readonly token: string
  /** Are requests from other machines, or through proxies, admitted? */
  readonly allowRemote: boolean
  /** What all paths begin with. */
  readonly base: string
}

/**
 * Makes the `onRequest` hook of all routes. A request whose URL holds the token is redirected to the URL without it, with a cookie
 * that admits what follows. The hook refuses with VOICE_AGENT_ERR_PLAYGROUND.
 */
export function createTokenGuard ({ token, allowRemote, base }: TokenSettings): onRequestAsyncHookHandler {
  const knowsToken = secretCheck([token])!
  return async function admitDeveloper (request, reply) {
    reply.headers(HEADERS)
    if (!(allowRemote || mayBeFromHere(request)) || !(isOwnPage(request) || isNavigation(request))) throw new PlaygroundError()
    // Cookies are the same for all ports of a host.
    const name = `voice_agent_playground_${request.raw.socket.localPort ?? 0}`
    if (knowsToken(tokenOf(request))) {
      reply.header('set-cookie', `${name}=${token}; HttpOnly; SameSite=Strict; Path=${base === '' ? '/' : base}`)
      const url = request.routeOptions.url!
      if (isOwnPage(request)) return await reply.redirect(url, 303)
      // A link on a page of another site, such as a terminal in the browser: a redirect would count as that page's, and lack the cookie.
      return await reply.type('text/html').header('refresh', `0;url=${url}`).send('')
    }
    if (!cookiesOf(request, name).some(knowsToken)) throw new PlaygroundError()
  }
}

/** Where the page is, with the token. */
export function urlWithToken (base: string, token: string): string {
  return `${base}/?${PARAMETER}=${token}`
}

// The app may read queries in another way.
function tokenOf ({ url }: FastifyRequest): string | undefined {
  const query = url.indexOf('?')
  return query === -1 ? undefined : new URLSearchParams(url.slice(query)).get(PARAMETER) ?? undefined
}

function cookiesOf ({ headers: { cookie = '' } }: FastifyRequest, name: string): string[] {
  return cookie.split(';').map(pair => pair.trim()).filter(pair => pair.startsWith(`${name}=`)).map(pair => pair.slice(name.length + 1))
}
