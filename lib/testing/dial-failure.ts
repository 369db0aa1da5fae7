/**
 * The messages of a {@link DialError}: why a call could not be placed, and how to fix it.
 */
import type { CalledRoute } from './caller-provider.js'
import { DialError } from './target.js'

const inProcess = ({ allowlistVariable }: CalledRoute): string =>
  `With this plugin the address of the caller must be on ${allowlistVariable}, and a VOICE_AGENT_SECRET in its path`
const localTry = ({ allowlistVariable }: CalledRoute): string =>
  `To call this plugin from the same machine, start the app with ${allowlistVariable}=127.0.0.1,::1, ` +
  'as long as no proxy or tunnel leads to it. A VOICE_AGENT_SECRET goes at the end of the URL'

const REDIRECTS = 'it redirects, and providers do not follow: dial the URL where it leads'
const PROXY = 'a proxy ahead of it does not reach it: is it running?'

/** By HTTP status. The messages for 401 and 404 depend on the provider. */
const REFUSALS: Readonly<Record<number, string>> = {
  200: 'a page is at this path, and no WebSocket',
  301: REDIRECTS,
  302: REDIRECTS,
  307: REDIRECTS,
  308: REDIRECTS,
  400: 'the URL holds no call id that can be used',
  403: 'the address that the call came from is not on its allowlist, or the URL lacks its secret; its log says which',
  426: 'it accepts WebSocket connections there, and got a request without an upgrade: a proxy ahead of it does not forward the ' +
    'headers Upgrade and Connection',
  429: 'something ahead of the route limits requests, and must not count calls',
  502: PROXY,
  503: 'it is closing, full or under pressure',
  504: PROXY
}

const UNTRUSTED = 'Node does not trust its certificate: set NODE_EXTRA_CA_CERTS to the file of the certificate, or of the authority that ' +
  'signed it'
const NO_HOST = 'there is no such host'
const SILENT_HOST = 'nothing answers at this address'

/** By the error's code. */
const OBSTACLES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is it running, at this port?',
  ECONNRESET: 'it hung up without an answer: does it want wss:// instead of ws://?',
  ENOTFOUND: NO_HOST,
  EAI_AGAIN: NO_HOST,
  ETIMEDOUT: SILENT_HOST,
  EHOSTUNREACH: SILENT_HOST,
  ENETUNREACH: SILENT_HOST,
  EPROTO: 'it speaks no TLS: does it want ws:// instead of wss://?',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it speaks no TLS: does it want ws:// instead of wss://?',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it speaks no TLS: does it want ws:// instead of wss://?',
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name: dial it by that one'
}

/** The error for a handshake that the server answered with this status. @param isUrl false for an app in this process */
export function refusal (status: number, isUrl: boolean, route: CalledRoute): DialError {
  const why = reasonOf(status, route)
  const advice = status === 403 ? `. ${isUrl ? localTry(route) : inProcess(route)}` : ''
  return new DialError(`the server refused the call with ${status}${why === undefined ? '' : `: ${why}${advice}`}`, status)
}

function reasonOf (status: number, { label, path, pathVariable }: CalledRoute): string | undefined {
  if (status === 401) return `it wants credentials, which ${label} does not send`
  if (status !== 404) return REFUSALS[status]
  return `nothing is at this path; with this plugin the path is ${path}, or that of ${pathVariable}, ` +
    'behind the prefix that it was registered with'
}

/** The error for a connection that failed before an answer. */
export function obstacle (error: Error & { readonly code?: string }): DialError {
  const why = error.code === undefined ? undefined : OBSTACLES[error.code]
  const reason = error.code ?? error.message
  return new DialError(`the server cannot be reached: ${reason}${why === undefined ? '' : `: ${why}`}`, undefined, error)
}
