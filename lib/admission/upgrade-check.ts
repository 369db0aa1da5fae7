/**
 * Requests for a call's URL that ask for no WebSocket: those of browsers and monitors, and those of providers behind a proxy that
 * drops the headers of an upgrade.
 */
import type { onRequestHookHandler } from 'fastify'
import { UpgradeRequiredError } from '../contract/errors.js'

// RFC 9110, 15.5.22 and 7.8. The client has no use for the connection.
const HEADERS = { upgrade: 'websocket', connection: 'Upgrade, close' }

/**
 * Makes the `onRequest` hook that stands behind the guard, so that strangers are refused as ever. The first such request is logged.
 *
 * The hook refuses with VOICE_AGENT_ERR_UPGRADE_REQUIRED.
 * @param path the route's, for the log: URLs hold ids and secrets
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
    // HTTP/2 has no such headers, and Node refuses to send them.
    if (request.raw.httpVersionMajor === 1) reply.headers(HEADERS)
    done(new UpgradeRequiredError())
  }
}
