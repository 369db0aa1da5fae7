import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { WebSocket } from 'ws'
import { connectLoopback } from './loopback.js'
import { DialError, REFUSALS, type DialTarget } from './target.js'

/** How to reach a server. */
export interface DialOptions {
  readonly path: string
  /** Where the call seems to come from; of an app only. */
  readonly address: string
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Opens a socket.
 * @param listen is given it before anything can have come
 * @throws DialError when the server refuses, or cannot be reached
 */
export async function openSocket (target: DialTarget, { path, address, headers }: DialOptions, listen: (socket: WebSocket) => void): Promise<WebSocket> {
  const options = { headers, perMessageDeflate: false }
  const socket = typeof target === 'string'
    ? new WebSocket(target.replace(/^http/, 'ws').replace(/\/$/, '') + path, options)
    : new WebSocket(`ws://app${path}`, { ...options, createConnection: await connectionTo(target, address) })
  listen(socket)
  const refused = new Promise<never>((_resolve, reject) => {
    socket.once('unexpected-response', (request, { statusCode }: IncomingMessage) => {
      request.destroy()
      const why = REFUSALS[statusCode!]
      reject(new DialError(`the server refused the call with ${statusCode}${why === undefined ? '' : `: ${why}`}`, statusCode))
    })
    socket.on('error', (error: Error & { code?: string }) => {
      reject(new DialError(`the server cannot be reached: ${error.code ?? error.message}`, undefined, error))
    })
  })
  await Promise.race([once(socket, 'open'), refused])
  return socket
}

async function connectionTo (app: FastifyInstance, address: string) {
  await app.ready()
  return () => {
    const { client, server } = connectLoopback(address)
    app.server.emit('connection', server)
    return client as never
  }
}
