/**
 * Which call a provider's new connection belongs to.
 */
import type { FastifyBaseLogger } from 'fastify'
import type { CallKey, Claim } from '../cluster/cluster.js'
import { LiveCall, type CallHost } from './call.js'
import type { Connection } from './connection.js'
import type { CallRegistry } from './registry.js'

/**
 * Takes a provider's new connection: it carries on the call that it belongs to, or begins one.
 * @param id of the call, where the URL says it
 * @param claim what the other nodes know of it, where there are any and the URL says which it is
 */
export function answer (host: CallHost, id: string | undefined, connection: Connection, log: FastifyBaseLogger, claim?: Claim): void {
  const known = id === undefined ? undefined : host.calls.find(connection.codec.provider, id)
  if (known?.claimed(claim) === true) return known.resume(connection)
  new LiveCall(host, id, connection, log, claim).open()
}

/** Nobody came with whom the call could go on, for which it was claimed: it is left, or stays where it is on this node. */
export function decline (calls: CallRegistry<LiveCall>, { provider, id }: CallKey, claim: Claim): void {
  if (calls.find(provider, id)?.claimed(claim) !== true) claim.lease.leave()
}
