import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

const HANDSHAKE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
}

/** Asks for an upgrade over a real socket, and resolves with the answer: 101, or a refusal and its body. */
export function upgrade (t: Test, url: string, headers: Record<string, string> = {}): Promise<{ status: number, body?: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers: { ...HANDSHAKE, ...headers }, agent: false })
    t.teardown(() => asked.destroy())
    asked.on('error', reject)
    asked.on('upgrade', (_response, socket) => {
      t.teardown(() => socket.destroy())
      resolve({ status: 101 })
    })
    asked.on('response', response => {
      text(response).then(body => resolve({ status: response.statusCode ?? 0, body }), reject)
    })
    asked.end()
  })
}

/** Asks for an upgrade, and keeps the connection whatever the answer is. Resolves with the status line. */
export async function upgradeAndStay (t: Test, url: string): Promise<{ status: string, socket: Socket }> {
  const { hostname, port, pathname } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  const headers = Object.entries({ host: hostname, ...HANDSHAKE }).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`GET ${pathname} HTTP/1.1\r\n${headers.join('')}\r\n`)
  const [answer] = await once(socket, 'data')
  return { status: String(answer).split('\r\n')[0]!, socket }
}
