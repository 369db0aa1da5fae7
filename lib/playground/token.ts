/**
 * Admits people who open the playground by the URL with its token. An address proves nothing: a local proxy has the developer's
 * address.
 */
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import { secretCheck } from '../admission/secret.js'
import { PlaygroundError } from '../contract/errors.js'
import { isNavigation, isOwnPage, mayBeFromHere } from './admission.js'

const PARAMETER = 'token'

// Of all replies, also refusals. Other sites cannot frame the page, and no request passes the URL on.
const HEADERS = { 'cache-control': 'no-store', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' }

/** Settings of the guard. */
export interface TokenSettings {
  readonly token: string
  /** True admits requests from other machines and through proxies. */
  readonly allowRemote: boolean
  /** The prefix of all paths. */
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
    // All ports of a host share cookies.
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

/** The page's path and query with the token. */
export function urlWithToken (base: string, token: string): string {
  return `${base}/?${PARAMETER}=${token}`
}

// The app's own query parser may differ.
function tokenOf ({ url }: FastifyRequest): string | undefined {
  const query = url.indexOf('?')
  return query === -1 ? undefined : new URLSearchParams(url.slice(query)).get(PARAMETER) ?? undefined
}

function cookiesOf ({ headers: { cookie = '' } }: FastifyRequest, name: string): string[] {
  return cookie.split(';').map(pair => pair.trim()).filter(pair => pair.startsWith(`${name}=`)).map(pair => pair.slice(name.length + 1))
}
