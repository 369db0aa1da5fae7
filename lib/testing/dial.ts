import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import type { DialOptions } from './dial-options.js'
import { connectLoopback } from './loopback.js'
import { obstacle, refusal } from './dial-failure.js'
import { DialError, type DialledApp, type DialTarget } from './target.js'

/**
 * Opens a socket.
 * @param listen receives the socket before any event can fire
 * @throws DialError when the server refuses, or cannot be reached
 */
export async function openSocket (target: DialTarget, dial: DialOptions, listen: (socket: WebSocket) => void): Promise<WebSocket> {
  const { path, address, route, headers, timeoutMs } = dial
  const options = { headers, perMessageDeflate: false }
  const socket = typeof target === 'string'
    ? new WebSocket(target.replace(/^http/, 'ws').replace(/\/$/, '') + path, options)
    : new WebSocket(`ws://localhost${path}`, { ...options, createConnection: await connectionTo(target, address) })
  listen(socket)
  const refused = new Promise<never>((_resolve, reject) => {
    socket.once('unexpected-response', (request, { statusCode }: IncomingMessage) => {
      request.destroy()
      reject(refusal(statusCode!, typeof target === 'string', route))
    })
    socket.on('error', error => reject(obstacle(error)))
  })
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DialError(`the server does not answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    await Promise.race([once(socket, 'open'), refused, late])
  } catch (error) {
    socket.terminate()
    throw error
  } finally {
    clearTimeout(timer)
  }
  return socket
}

async function connectionTo (app: DialledApp, address: string) {
  await app.ready()
  return () => {
    const { client, server } = connectLoopback(address)
    app.server.emit('connection', server)
    return client as never
  }
}
