import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { WebSocketServer, type WebSocket } from 'ws'
import type { MillisCaller, RetellCaller } from '../../lib/testing/index.js'
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

type Sent = Array<object | string | Buffer>

/** Calls a server of which the answer to the first request is the test's, and all others are right. */
export type CallWrong = (t: Test, wrong: Behaviour) => Promise<RetellCaller | MillisCaller>

/** Tests that a caller finds out what is wrong with these answers, which end in `Yes.`. */
export function findsOut (t: Test, wrongs: Record<string, { readonly frames: Sent, readonly codes: readonly string[] }>, callWrong: CallWrong): void {
  for (const [name, { frames, codes }] of Object.entries(wrongs)) {
    t.test(`a server that sends ${name} is found out`, async t => {
      const call = await callWrong(t, (_frame, send) => send(...frames))
      t.match(await call.say('Yes?'), { text: /Yes\.$/, outcome: 'completed' })
      t.match(await call.say('Still there?'), { text: 'Fine.' })
      t.strictSame(call.findings.map(({ code }) => code), codes)
    })
  }
}

/** Tests that a caller tells words of a reply that was given up from those that crossed with the newer request. */
export function findsOutStale (t: Test, speech: (words: string, isLast?: boolean) => object, callWrong: CallWrong): void {
  t.test('a server that goes on with a reply that was given up is found out, and what crossed is not', async t => {
    const call = await callWrong(t, (_frame, send, socket) => {
      send(speech('One ', false))
      setImmediate(() => send(speech('two ', false)))
      // Each request has a ping behind it, which is answered by then.
      let pings = 0
      socket.on('ping', () => { if (++pings === 2) send(speech('three.')) })
    })
    await call.ask('One?').words(1)
    await call.interrupt('Two?')
    await call.say('Three?')
    t.match(call.findings, [{ code: 'stale-response', frame: speech('three.') }])
  })
}
