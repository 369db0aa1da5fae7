/**
 * Requests to a call's URL without an upgrade: from browsers and monitors, or from providers behind a proxy that drops the headers
 * of an upgrade.
 */
import type { onRequestHookHandler } from 'fastify'
import { UpgradeRequiredError } from '../contract/errors.js'

// RFC 9110, 15.5.22 and 7.8. The connection closes, as the client cannot use it.
const HEADERS = { upgrade: 'websocket', connection: 'Upgrade, close' }

/**
 * Makes the `onRequest` hook that runs after the guard, which refuses strangers first. The first such request is logged.
 *
 * The hook refuses with VOICE_AGENT_ERR_UPGRADE_REQUIRED.
 * @param path the route's path, for the log: URLs hold ids and secrets
 */
export function createUpgradeCheck (path: string): onRequestHookHandler {
  let isLogged = false
  return function requireUpgrade (request, reply, done) {
    // A HEAD cannot be upgraded, whatever its headers say.
    if (request.ws && request.method === 'GET') return done()
    if (!isLogged) {
      isLogged = true
      request.log.warn(`${path} accepts WebSocket connections only, and a request without an upgrade came: from a browser or a monitor, ` +
        'or from the provider through a proxy that does not forward the headers Upgrade and Connection. Logged once')
    }
    // Node refuses to send these headers over HTTP/2.
    if (request.raw.httpVersionMajor === 1) reply.headers(HEADERS)
    done(new UpgradeRequiredError())
  }
}
