/**
 * The hook that stands between guard and turnstile where there are other nodes. They are asked before the upgrade, so
 * that no frame of a call waits for them.
 */
import type { IncomingMessage } from 'node:http'
import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import type { Provider } from '../contract/agent.js'
import type { CallKey, Claim, Cluster } from '../cluster/cluster.js'
import { ClusterError } from '../contract/errors.js'
import { upgradingSocket } from '../http/websocket.js'
import { readDialledUrl } from './guard.js'
import { isHandshake } from './handshake.js'

/** What the other nodes said of an upgrade. */
export interface ClusterAnswer {
  /** The call that it belongs to, where the URL says which it is. It is declined, unless somebody takes it. */
  readonly claim: Claim | undefined
  /** Is there place for another call on all nodes together? */
  readonly mayTake: boolean
  isTaken: boolean
}

const answers = new WeakMap<IncomingMessage, ClusterAnswer>()

/** What the other nodes said of a request; undefined where there are none. */
export function clusterAnswerOf ({ raw }: FastifyRequest): ClusterAnswer | undefined {
  return answers.get(raw)
}

/** Did a call go on elsewhere, or here, before this claim? One that never began did not. */
export function isExistingCall (claim: Claim | undefined): boolean {
  return claim?.status === 'resumed' && claim.fields['call'] !== undefined
}

/** Asks the other nodes for the calls of one registration. */
export class ClusterClaims {
  readonly #cluster: Cluster
  readonly #decline: (key: CallKey, claim: Claim) => void
  /** Upgrades for which they are being asked. */
  pending = 0

  /** @param decline told of a claim for which nobody came */
  constructor (cluster: Cluster, decline: (key: CallKey, claim: Claim) => void) {
    this.#cluster = cluster
    this.#decline = decline
  }

  /** Makes the `onRequest` hook of one route. It refuses nobody but who is gone by then. */
  hook (provider: Provider, needsCallId: boolean, hasSecret: boolean): onRequestHookHandler {
    return (request, _reply, done) => {
      // To claim a call cuts its socket on the node that has it.
      if (!isHandshake(request.raw)) return done()
      const { callId } = needsCallId ? readDialledUrl(request, hasSecret) : { callId: undefined }
      if (needsCallId && callId === undefined) return done()
      void this.#ask(request, callId === undefined ? undefined : { provider, id: callId }).then(done) // eslint-disable-line no-void
    }
  }

  // Neither of them rejects.
  async #ask ({ raw }: FastifyRequest, key: CallKey | undefined): Promise<Error | undefined> {
    const replies = Promise.all([this.#cluster.mayTake(), key && this.#cluster.claim(key)])
    // Others that ask meanwhile are to count it, and it is not to count itself.
    this.pending++
    const [mayTake, claim] = await replies
    // It is judged before anything else happens, and counted by its slot.
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
