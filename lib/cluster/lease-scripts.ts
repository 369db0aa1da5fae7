/**
 * The scripts that a lease runs on its record, and their replies.
 */
import type { CallKey, Claim, Fields, Lease } from './cluster.js'
import type { LeaseHolder } from './lease-holder.js'

/** What a claim says of itself. */
export interface ClaimRequest {
  /** Identifies the claim: a repeated request gets the same reply. */
  readonly token: string
  /** By the node's clock. */
  readonly claimedAt: number
  /** True if the first request failed or its record was lost. */
  readonly isLate: boolean
  /** When the call began, in ms since 1970. */
  readonly startedAt: number
}

/** What a write holds. */
export interface WriteRequest {
  readonly token: string
  readonly epoch: number
  readonly sequence: number
  /** True if this node releases the call with this write. */
  readonly isLeft: boolean
  /** The reply holds all reports if there are more than these. */
  readonly reportsKnown: string
  readonly saves: Fields
  readonly reports: Fields
}

/** See the script's `claim`: a claim that came too late gets the first element only. */
export type ClaimReply = [
  isHeld: number, epoch?: string, previous?: string, startedAt?: string, isAdmitted?: number, reports?: string, ...fields: string[]
]

/** See the script's `write`. */
export type WriteReply = [state: number, reports?: string, reported?: string[]]

/** Claims a call. Rejects where Redis failed. */
export function runClaim (
  holder: LeaseHolder,
  key: CallKey,
  { token, claimedAt, isLate, startedAt }: ClaimRequest
): Promise<ClaimReply> {
  const { node, channels, recordTtlMs, promptMs } = holder
  const args = [
    node, token, holder.redisTime(claimedAt), isLate ? 1 : 0, promptMs, recordTtlMs, startedAt, channels, key.provider, key.id
  ]
  return holder.evaluate('claim', 'claim', [holder.record(key), holder.admitted(key)], args) as Promise<ClaimReply>
}

/** Writes to a record. Rejects where Redis failed. */
export function runWrite (
  holder: LeaseHolder,
  key: CallKey,
  { token, epoch, sequence, isLeft, reportsKnown, saves, reports }: WriteRequest
): Promise<WriteReply> {
  const args = [
    token, epoch, sequence, holder.recordTtlMs, isLeft ? 1 : 0, reportsKnown, holder.channels, key.provider, key.id,
    Object.keys(saves).length, ...Object.entries(saves).flat(), ...Object.entries(reports).flat()
  ]
  return holder.evaluate('save', 'write', [holder.record(key)], args) as Promise<WriteReply>
}

/** Deletes the record of a call that has ended. Rejects where Redis failed. */
export function runFinish (holder: LeaseHolder, key: CallKey, token: string): Promise<unknown> {
  return holder.evaluate('end', 'finish', [holder.record(key), holder.admitted(key)], [token])
}

/** The claim that a reply describes. `isBelated` is left out where it is false. */
export function claimOf ([, , previous, , isAdmitted, , ...fields]: ClaimReply, isBelated: boolean, lease: Lease): Claim {
  return {
    status: previous === '' ? 'new' : 'resumed',
    previousNode: previous === '' ? undefined : previous,
    fields: fieldsOf(fields),
    isAdmitted: isAdmitted === 1,
    ...(isBelated && { isBelated }),
    lease
  }
}

/** The fields of a record, which Redis returns as a flat list of names and values. */
export function fieldsOf (pairs: readonly string[]): Fields {
  const fields: Record<string, string> = {}
  for (let i = 0; i < pairs.length; i += 2) fields[pairs[i]!] = pairs[i + 1]!
  return fields
}
