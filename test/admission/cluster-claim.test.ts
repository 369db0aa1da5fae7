import type { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { clusterAnswerOf, ClusterClaims } from '../../lib/admission/cluster-claim.js'
import type { CallKey, Claim, Cluster } from '../../lib/cluster/cluster.js'

const claim = { status: 'new', previousNode: undefined, fields: {}, isAdmitted: false } as unknown as Claim
const cluster = { claim: async () => claim, mayTake: async () => true } as unknown as Cluster

const HANDSHAKE = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }

/** An upgrade for a call, and what the hook makes of it once the other nodes were asked. */
async function upgrade (isGone: boolean) {
  const declined: CallKey[] = []
  const claims = new ClusterClaims(cluster, key => { declined.push(key) })
  const socket = new Duplex({ read () {}, write (_chunk, _encoding, done) { done() } })
  const request = { ws: true, raw: { socket, method: 'GET', headers: HANDSHAKE } as unknown as IncomingMessage, params: { call_id: 'call_1' }, url: '/llm-websocket/call_1' } as unknown as FastifyRequest
  const error = await new Promise<Error | undefined>(resolve => {
    const hook = claims.hook('retell', true, false) as (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void
    hook(request, {} as FastifyReply, resolve)
    if (isGone) socket.destroy()
  })
  return { claims, socket, request, error, declined }
}

t.test('a client that disconnects while other nodes are asked is rejected, and its claim is declined', async t => {
  const { claims, error, declined } = await upgrade(true)
  t.match(error, { code: 'VOICE_AGENT_ERR_CLUSTER' })
  t.strictSame(declined, [{ provider: 'retell', id: 'call_1' }])
  t.equal(claims.pending, 0)
})

t.test('a connected client passes, and its claim is declined only if the socket closes before a call takes it', async t => {
  for (const isTaken of [false, true]) {
    const { socket, request, error, declined } = await upgrade(false)
    t.equal(error, undefined)
    t.match(clusterAnswerOf(request), { claim, mayTake: true, isTaken: false })
    clusterAnswerOf(request)!.isTaken = isTaken
    const closed = new Promise(resolve => socket.once('close', resolve))
    socket.destroy()
    await closed
    t.equal(declined.length, isTaken ? 0 : 1)
  }
})
