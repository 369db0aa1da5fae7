/**
 * Checks ahead of ws whether ws accepts a handshake: work for a call before its upgrade must not happen for a handshake that ws
 * answers with 400.
 */
import type { IncomingMessage } from 'node:http'

// 16 bytes in base64.
const KEY = /^[+/0-9A-Za-z]{22}==$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** True for a handshake that ws accepts. HEAD requests reach the same routes and cannot upgrade. */
export function isHandshake ({ method, headers }: Pick<IncomingMessage, 'method' | 'headers'>): boolean {
  const version = Number(headers['sec-websocket-version'])
  return method === 'GET' && KEY.test(headers['sec-websocket-key'] ?? '') && (version === 13 || version === 8) &&
    areTokens(headers['sec-websocket-protocol'])
}

function areTokens (list: string | undefined): boolean {
  const tokens = list?.split(',').map(token => token.replace(/^[ \t]+|[ \t]+$/g, ''))
  return tokens === undefined || (tokens.every(token => TOKEN.test(token)) && new Set(tokens).size === tokens.length)
}
