import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Frame } from './caller.js'

/** What a server does with a frame. Objects are sent as JSON, the rest as it is. */
export type Behaviour = (frame: Frame, send: (...frames: Array<object | string | Buffer>) => void, socket: WebSocket) => void

/** A server of the test's own, right or wrong. Resolves with its URL. */
export async function startServer (t: Test, opened: Behaviour, read: Behaviour): Promise<string> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => {
    server.close()
    for (const client of server.clients) client.terminate()
  })
  server.on('connection', socket => {
    const send = (...frames: Array<object | string | Buffer>): void => {
      for (const frame of frames) socket.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
    }
    opened({}, send, socket)
    socket.on('message', data => read(JSON.parse(String(data)) as Frame, send, socket))
  })
  await once(server, 'listening')
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
}
