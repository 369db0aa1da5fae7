/**
 * The hook between the guard and the admission hook where there are other nodes. It asks them before the upgrade, so that no
 * frame of a call waits for their answer.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Provider } from '../contract/agent.js'
import type { CallKey, Claim, Cluster } from '../cluster/cluster.js'
import { ClusterError } from '../contract/errors.js'
import { upgradingSocket } from '../http/websocket.js'
import { readDialledUrl } from './guard.js'
import { isHandshake } from './handshake.js'

/** The other nodes' answer about an upgrade. */
export interface ClusterAnswer {
  /** The claim of the call, where the URL has its id. It is declined unless {@link ClusterAnswer.isTaken} is set. */
  readonly claim: Claim | undefined
  /** True if the cluster's limit allows another call. */
  readonly mayTake: boolean
  /** Set when a call has taken the claim over. */
  isTaken: boolean
}

const answers = new WeakMap<IncomingMessage, ClusterAnswer>()

/** The other nodes' answer about a request; undefined where there are none. */
export function clusterAnswerOf ({ raw }: FastifyRequest): ClusterAnswer | undefined {
  return answers.get(raw)
}

/** True if the call began, on any node, before this claim. */
export function isExistingCall (claim: Claim | undefined): boolean {
  return claim?.status === 'resumed' && claim.fields['call'] !== undefined
}

/** Claims the calls of one registration before their upgrades. */
export class ClusterClaims {
  readonly #cluster: Cluster
  readonly #decline: (key: CallKey, claim: Claim) => void
  /** How many upgrades wait for the other nodes' answer. */
  pending = 0

  /** @param decline gives back a claim that no call has taken */
  constructor (cluster: Cluster, decline: (key: CallKey, claim: Claim) => void) {
    this.#cluster = cluster
    this.#decline = decline
  }

  /** Makes the `onRequest` hook of one route. It rejects only if the client disconnected meanwhile. */
  hook (provider: Provider, needsCallId: boolean, hasSecret: boolean): onRequestHookHandler {
    return (request, _reply, done) => {
      // A claim cuts the call's socket on the node that has it, so that only real handshakes may claim.
      if (!isHandshake(request.raw)) return done()
      const { callId } = needsCallId ? readDialledUrl(request, hasSecret) : { callId: undefined }
      if (needsCallId && callId === undefined) return done()
      void this.#ask(request, callId === undefined ? undefined : { provider, id: callId }).then(done) // eslint-disable-line no-void
    }
  }

  // Neither promise rejects.
  async #ask ({ raw }: FastifyRequest, key: CallKey | undefined): Promise<Error | undefined> {
    const replies = Promise.all([this.#cluster.mayTake(), key && this.#cluster.claim(key)])
    // Counted after asking: other upgrades count this one, and it does not count itself.
    this.pending++
    const [mayTake, claim] = await replies
    // The admission hook runs in the same tick, and counts it by its slot.
    this.pending--
    const entry: ClusterAnswer = { claim, mayTake, isTaken: false }
    answers.set(raw, entry)
    const leave = (): void => {
      if (!entry.isTaken && key !== undefined) this.#decline(key, claim!)
    }
    const socket = upgradingSocket(raw)
    if (!socket.destroyed) {
      socket.once('close', leave)
      return undefined
    }
    leave()
    return new ClusterError('The socket was closed while other nodes were asked')
  }
}
