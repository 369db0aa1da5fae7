/**
 * One node's lease of one call: what Redis has confirmed, and what is still to be written.
 */
import { whenLate } from '../timing/timeout.js'
import type { CallKey, Claim, Fields, Lease, LeaseOwner } from './cluster.js'
import type { LeaseHolder } from './lease-holder.js'
import { claimOf, fieldsOf, runClaim, runFinish, runWrite, type ClaimReply } from './lease-scripts.js'

type Phase = 'live' | 'fenced' | 'ended' | 'left'

/** A lease whose claim is made by {@link RedisLease.claim}. */
export class RedisLease implements Lease {
  readonly key: CallKey
  readonly #holder: LeaseHolder
  /** Identifies this claim: a repeated request gets the same reply. */
  readonly #token: string
  /** By the clock. */
  readonly #claimedAt: number
  #startedAt = Date.now()
  #phase: Phase = 'live'
  /** Orders the claims of a call, by Redis' clock, in µs. 0 until Redis replied, or after the record was lost. */
  #epoch = 0
  /** The epoch of the newest other claim that this node received a message about. */
  #fencedBy = 0
  #isClaiming = false
  /** True if the owner knows the claim's result. */
  #isAnswered = false
  #sequence = 0
  #saves: Record<string, string> = {}
  #reports: Record<string, string> = {}
  /** True if Redis needs a whole snapshot, in place of single fields. */
  #isSnapshotDue = false
  /** How many reports of other nodes about this call are known. */
  #reportsKnown = '0'
  #writtenAt = 0
  #releasedAt = Infinity
  #answer: ((claim: Claim) => void) | undefined
  #owner: LeaseOwner | undefined
  #untold: Array<(owner: LeaseOwner) => void> = []

  constructor (key: CallKey, token: string, holder: LeaseHolder) {
    this.key = key
    this.#token = token
    this.#holder = holder
    this.#claimedAt = holder.clock.performance.now()
  }

  /** When the call began, in ms since 1970. */
  get startedAt (): number {
    return this.#startedAt
  }

  /** When it was last written, by the clock. */
  get writtenAt (): number {
    return this.#writtenAt
  }

  /** Resolves with the claim, `unanswered` if Redis does not reply in time. */
  claim (timeoutMs: number): Promise<Claim> {
    return new Promise(resolve => {
      const settle = whenLate(timeoutMs, () => this.#answer?.(this.#unanswered), this.#holder.clock)
      this.#answer = claim => {
        settle()
        this.#answer = undefined
        resolve(claim)
      }
      // eslint-disable-next-line @typescript-eslint/no-floating-promises
      this.#claim(false).then(async isKnown => { if (isKnown && this.#isIncomplete) await this.#write() })
    })
  }

  own (owner: LeaseOwner): void {
    const untold = this.#untold
    this.#untold = []
    this.#owner = owner
    // The owner's constructor may still be running.
    if (untold.length > 0) queueMicrotask(() => { for (const tell of untold) tell(owner) })
    if (this.#isSnapshotDue && this.#epoch !== 0) this.#holder.isDue(this)
  }

  save (fields: Fields): void {
    if (this.#phase !== 'live') return
    // A snapshot is due, which will hold these fields.
    if (this.#isSnapshotDue || this.#epoch === 0) return
    for (const [name, value] of Object.entries(fields)) (name in this.#reports ? this.#reports : this.#saves)[name] = value
    this.#holder.isDue(this)
  }

  flush (): void {
    if (this.#phase !== 'live' || this.#epoch === 0) return
    // eslint-disable-next-line @typescript-eslint/no-floating-promises
    if (this.#isSnapshotDue ? this.#holder.isOpen : this.#hasNews) this.#write()
  }

  report (fields: Fields): void {
    const holder = this.#holder.holderOf(this.key)
    if (holder !== undefined && holder !== this) holder.#tell(owner => owner.reported(fields))
    Object.assign(this.#reports, fields)
    for (const name of Object.keys(fields)) delete this.#saves[name]
    if (this.#phase === 'live' && this.#epoch === 0) return
    this.#holder.isDue(this)
  }

  end (): void {
    if (this.#phase !== 'live') return
    this.#release('ended')
    this.#saves = {}
    this.settle() // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  leave (): void {
    if (this.#phase !== 'live') return
    if (this.#isSnapshotDue || this.#epoch === 0) this.#saves = { ...this.#owner?.snapshot() }
    this.#isSnapshotDue = false
    this.#release('left')
    this.settle() // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  /** Another node announced a claim with this epoch. */
  fencedBy (epoch: number): void {
    this.#fencedBy = Math.max(this.#fencedBy, epoch)
    // Without an epoch of its own this lease cannot tell which claim is newer.
    if (this.#epoch !== 0 && this.#fencedBy > this.#epoch) this.fence()
  }

  /** Replaces an older lease of the same node, and writes what that one may not have written. */
  succeed (older: RedisLease): void {
    older.#supersede()
    this.#isSnapshotDue = true
  }

  /** A newer lease of this node takes over the owner, so the owner is not fenced. */
  #supersede (): void {
    this.#saves = {}
    this.#isSnapshotDue = false
    this.#release('fenced')
  }

  /** Another claim is newer: releases this lease. */
  fence (): void {
    if (this.#phase !== 'live') return
    this.#saves = {}
    this.#isSnapshotDue = false
    this.#tell(owner => owner.fenced())
    this.#release('fenced')
  }

  /**
   * Passes on what a previous node of the call reported.
   * @param epoch the claim that the report is addressed to
   * @param number how many reports there are, this one included
   */
  reported (epoch: number, number: number, fields: Fields): void {
    if (epoch !== this.#epoch || number <= Number(this.#reportsKnown)) return
    // If one is missing, the next write asks for all reports.
    if (number === Number(this.#reportsKnown) + 1) this.#reportsKnown = String(number)
    this.#tell(owner => owner.reported(fields))
  }

  /** Redis may have lost confirmed data: schedules a snapshot. */
  doubt (): void {
    if (this.#epoch !== 0) this.#isSnapshotDue = true
  }

  /** Sends, or sends again, what Redis has not confirmed. Resolves with true if nothing is left. Never rejects. */
  async settle (): Promise<boolean> {
    // The record has expired.
    if (this.#holder.clock.performance.now() - this.#releasedAt > this.#holder.recordTtlMs) return true
    if (this.#phase === 'ended') return await this.#finish()
    // The call was released before we claimed it; claiming now would steal it.
    if (this.#phase === 'left' && this.#epoch === 0 && !this.#hasNews) return true
    if (this.#epoch === 0 && this.#phase !== 'fenced' && !await this.#claim(true)) return false
    return await this.#write()
  }

  /** Extends the record's life, and checks that this node still holds it. */
  async touch (): Promise<void> {
    if (this.#phase === 'live' && this.#epoch !== 0) await this.#write()
  }

  /** Writes what is pending. Called at the end of the tick. */
  send (): void {
    if (this.#isSnapshotDue || this.#hasNews) this.#write() // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  get #hasNews (): boolean {
    return Object.keys(this.#saves).length > 0 || Object.keys(this.#reports).length > 0
  }

  /** True if something waited for the claim's reply. */
  get #isIncomplete (): boolean {
    return (this.#isSnapshotDue && this.#owner !== undefined) || this.#phase === 'left' || this.#hasNews
  }

  get #unanswered (): Claim {
    return { status: 'unanswered', previousNode: undefined, fields: {}, isAdmitted: false, lease: this }
  }

  #release (phase: Phase): void {
    this.#phase = phase
    this.#owner = undefined
    this.#releasedAt = this.#holder.clock.performance.now()
    this.#holder.lost(this)
  }

  #tell (tell: (owner: LeaseOwner) => void): void {
    if (this.#owner === undefined) this.#untold.push(tell)
    else tell(this.#owner)
  }

  /** Resolves with true if Redis replied, also where it refused the claim. */
  async #claim (isLate: boolean): Promise<boolean> {
    if (this.#isClaiming) return false
    this.#isClaiming = true
    const claim = { token: this.#token, claimedAt: this.#claimedAt, isLate, startedAt: this.#startedAt }
    try {
      const reply = await runClaim(this.#holder, this.key, claim)
      this.#isClaiming = false
      // A command in flight when the connection broke gets its reply after the reconnect.
      this.#claimed(reply, isLate || !this.#holder.isOpen)
      return true
    } catch {
      this.#isClaiming = false
      this.#holder.isBehind(this)
      this.#answer?.(this.#unanswered)
      return false
    }
  }

  #claimed (reply: ClaimReply, isBelated: boolean): void {
    const [isHeld, epoch, , startedAt, , reports] = reply
    if (isHeld === 0 || Number(epoch) < this.#fencedBy) this.fence()
    else this.#epoch = Number(epoch)
    if (this.#phase === 'live') {
      this.#writtenAt = this.#holder.clock.performance.now()
      this.#reportsKnown = reports!
      this.#startedAt = Number(startedAt)
      this.#holder.took(this)
    }
    if (this.#phase !== 'live') return this.#answer?.(this.#unanswered)
    const claim = claimOf(reply, isBelated, this)
    // After a lost record the claim is repeated; its owner already knows the first result.
    const isNews = !this.#isAnswered
    this.#isAnswered = true
    if (this.#answer !== undefined) return this.#answer(claim)
    // Only this node knows what was saved before the reply.
    this.#isSnapshotDue = true
    if (isNews) this.#tell(owner => owner.answered(claim))
  }

  /** Resolves with true if the write succeeded or is no longer needed. */
  async #write (): Promise<boolean> {
    // A lease without an owner has no snapshot yet.
    const isWhole = this.#isSnapshotDue && this.#owner !== undefined
    const saves = isWhole ? { ...this.#owner!.snapshot() } : this.#saves
    const reports = this.#reports
    this.#saves = {}
    this.#reports = {}
    if (isWhole) this.#isSnapshotDue = false
    this.#writtenAt = this.#holder.clock.performance.now()
    const written = { epoch: this.#epoch, sequence: ++this.#sequence, isLeft: this.#phase === 'left', reportsKnown: this.#reportsKnown }
    try {
      const [state, number, news] = await runWrite(this.#holder, this.key, { token: this.#token, ...written, saves, reports })
      if (state === 0) this.fence()
      if (state === -1) return await this.#claimAgain()
      if (number !== undefined) this.#toldOf(number, fieldsOf(news!))
      return true
    } catch {
      this.#reports = { ...reports, ...this.#reports }
      if (this.#phase === 'left') this.#saves = { ...saves, ...this.#saves }
      this.#isSnapshotDue = this.#phase === 'live'
      this.#holder.isBehind(this)
      return false
    }
  }

  #toldOf (number: string, fields: Fields): void {
    if (this.#phase !== 'live') return
    this.#reportsKnown = number
    this.#tell(owner => owner.reported(fields))
  }

  /** The record was lost. Only a live lease claims again. */
  async #claimAgain (): Promise<boolean> {
    if (this.#phase !== 'live') return true
    this.#epoch = 0
    this.#isSnapshotDue = true
    return await this.settle()
  }

  async #finish (): Promise<boolean> {
    try {
      await runFinish(this.#holder, this.key, this.#token)
      return true
    } catch {
      this.#holder.isBehind(this)
      return false
    }
  }
}
