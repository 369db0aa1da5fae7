/**
 * One node's hold of one call, as Redis knows it and as it should.
 */
import { whenLate, type Clock } from '../timing/timeout.js'
import type { CallKey, Claim, Fields, Lease, LeaseOwner } from './cluster.js'
import type { Entry } from './scripts.js'

/** What leases need of the node they belong to. */
export interface LeaseHolder {
  readonly clock: Clock
  /** By the clock, as Redis tells the time, in ms. Known once Redis has been asked. */
  redisTime (at: number): number
  /** Runs the script. Rejects where that failed, which is counted. */
  evaluate (operation: string, entry: Entry, keys: readonly string[], args: ReadonlyArray<string | number>): Promise<unknown>
  /** What a claim is told of its node: see the script. */
  readonly node: string
  readonly channels: string
  readonly recordTtlMs: number
  readonly promptMs: number
  /** Can Redis be asked, as far as this node knows? */
  readonly isOpen: boolean
  record (key: CallKey): string
  admitted (key: CallKey): string
  /** It is this node's call from now on, and began then. */
  took (lease: RedisLease): void
  /** It is not this node's call any more. */
  lost (lease: RedisLease): void
  /** Has it sent at the end of the tick. */
  isDue (lease: RedisLease): void
  /** Has it settled when Redis is back. */
  isBehind (lease: RedisLease): void
  /** Whoever has the call on this node, if anybody has. */
  holderOf (key: CallKey): RedisLease | undefined
}

type Phase = 'live' | 'fenced' | 'ended' | 'left'

/** A hold whose claim is made by {@link RedisLease.claim}. */
export class RedisLease implements Lease {
  readonly key: CallKey
  readonly #holder: LeaseHolder
  /** Tells this claim from all others: who asks twice is answered alike. */
  readonly #token: string
  /** By the clock. */
  readonly #claimedAt: number
  #startedAt = Date.now()
  #phase: Phase = 'live'
  /** The claim's place among those of its call, by Redis' clock, in µs. 0 until it is known, or where the record was lost. */
  #epoch = 0
  /** A claim that is newer than this one, of which the node was told. */
  #fencedBy = 0
  #isClaiming = false
  /** Does the owner know what the claim found? */
  #isAnswered = false
  #sequence = 0
  #saves: Record<string, string> = {}
  #reports: Record<string, string> = {}
  /** Is what was saved so far unknown to Redis? */
  #isSnapshotDue = false
  /** How many times others reported of this call. */
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

  /** Resolves with what Redis says, or after so many ms without. */
  claim (timeoutMs: number): Promise<Claim> {
    return new Promise(resolve => {
      const settle = whenLate(timeoutMs, () => this.#answer?.(this.#unanswered), this.#holder.clock)
      this.#answer = claim => {
        settle()
        this.#answer = undefined
        resolve(claim)
      }
      this.#claim(false).then(async isKnown => { if (isKnown && this.#isIncomplete) await this.#write() }) // eslint-disable-line @typescript-eslint/no-floating-promises
    })
  }

  own (owner: LeaseOwner): void {
    const untold = this.#untold
    this.#untold = []
    this.#owner = owner
    // Whoever takes it may still be in the making.
    if (untold.length > 0) queueMicrotask(() => { for (const tell of untold) tell(owner) })
    if (this.#isSnapshotDue && this.#epoch !== 0) this.#holder.isDue(this)
  }

  save (fields: Fields): void {
    if (this.#phase !== 'live') return
    // What could not be written is written as a whole.
    if (this.#isSnapshotDue || this.#epoch === 0) return
    for (const [name, value] of Object.entries(fields)) (name in this.#reports ? this.#reports : this.#saves)[name] = value
    this.#holder.isDue(this)
  }

  flush (): void {
    if (this.#phase !== 'live' || this.#epoch === 0) return
    if (this.#isSnapshotDue ? this.#holder.isOpen : this.#hasNews) this.#write() // eslint-disable-line @typescript-eslint/no-floating-promises
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

  /** A node says that it made a claim. */
  fencedBy (epoch: number): void {
    this.#fencedBy = Math.max(this.#fencedBy, epoch)
    // Until this claim has its own epoch, it is not known which is newer.
    if (this.#epoch !== 0 && this.#fencedBy > this.#epoch) this.fence()
  }

  /** Takes the place of a lease whose call is claimed anew by its own node: what that one may not have written is written. */
  succeed (older: RedisLease): void {
    older.#supersede()
    this.#isSnapshotDue = true
  }

  /** This node claims the call anew, and whoever owns it will own that claim. */
  #supersede (): void {
    this.#saves = {}
    this.#isSnapshotDue = false
    this.#release('fenced')
  }

  /** Another claim is newer. */
  fence (): void {
    if (this.#phase !== 'live') return
    this.#saves = {}
    this.#isSnapshotDue = false
    this.#tell(owner => owner.fenced())
    this.#release('fenced')
  }

  /**
   * A node that had the call before reports.
   * @param epoch which claim it reported to
   * @param number how many reports there have been
   */
  reported (epoch: number, number: number, fields: Fields): void {
    if (epoch !== this.#epoch || number <= Number(this.#reportsKnown)) return
    // Where one is missing, the next writing asks for all.
    if (number === Number(this.#reportsKnown) + 1) this.#reportsKnown = String(number)
    this.#tell(owner => owner.reported(fields))
  }

  /** Redis may have forgotten what it confirmed. */
  doubt (): void {
    if (this.#epoch !== 0) this.#isSnapshotDue = true
  }

  /** Does, or does again, what Redis does not know of. Resolves with whether all is done. Never rejects. */
  async settle (): Promise<boolean> {
    // By then the record is gone by itself.
    if (this.#holder.clock.performance.now() - this.#releasedAt > this.#holder.recordTtlMs) return true
    if (this.#phase === 'ended') return await this.#finish()
    // Nobody came for it: to claim it now would take it from who has it.
    if (this.#phase === 'left' && this.#epoch === 0 && !this.#hasNews) return true
    if (this.#epoch === 0 && this.#phase !== 'fenced' && !await this.#claim(true)) return false
    return await this.#write()
  }

  /** Has the record stay, and finds out whether it is still this node's. */
  async touch (): Promise<void> {
    if (this.#phase === 'live' && this.#epoch !== 0) await this.#write()
  }

  /** To be called at the end of a tick in which there was something to write. */
  send (): void {
    if (this.#isSnapshotDue || this.#hasNews) this.#write() // eslint-disable-line @typescript-eslint/no-floating-promises
  }

  get #hasNews (): boolean {
    return Object.keys(this.#saves).length > 0 || Object.keys(this.#reports).length > 0
  }

  /** Is there something that had to wait for the claim? */
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

  /** Resolves with whether Redis answered, be it with no. */
  async #claim (isLate: boolean): Promise<boolean> {
    if (this.#isClaiming) return false
    this.#isClaiming = true
    const { node, channels, recordTtlMs, promptMs } = this.#holder
    const { provider, id } = this.key
    try {
      const reply = await this.#holder.evaluate('claim', 'claim', [this.#holder.record(this.key), this.#holder.admitted(this.key)],
        [node, this.#token, this.#holder.redisTime(this.#claimedAt), isLate ? 1 : 0, promptMs, recordTtlMs, this.#startedAt, channels, provider, id]) as ClaimReply
      this.#isClaiming = false
      // One that was on its way when Redis was lost is answered when it is back.
      this.#claimed(reply, isLate || !this.#holder.isOpen)
      return true
    } catch {
      this.#isClaiming = false
      this.#holder.isBehind(this)
      this.#answer?.(this.#unanswered)
      return false
    }
  }

  #claimed ([isHeld, epoch, previous, startedAt, isAdmitted, reports, ...fields]: ClaimReply, isBelated: boolean): void {
    if (isHeld === 0 || Number(epoch) < this.#fencedBy) this.fence()
    else this.#epoch = Number(epoch)
    if (this.#phase === 'live') {
      this.#writtenAt = this.#holder.clock.performance.now()
      this.#reportsKnown = reports!
      this.#startedAt = Number(startedAt)
      this.#holder.took(this)
    }
    if (this.#phase !== 'live') return this.#answer?.(this.#unanswered)
    const claim: Claim = {
      status: previous === '' ? 'new' : 'resumed',
      previousNode: previous === '' ? undefined : previous,
      fields: fieldsOf(fields),
      isAdmitted: isAdmitted === 1,
      ...(isBelated && { isBelated }),
      lease: this
    }
    // A claim that is made again because its record was lost is no news.
    const isNews = !this.#isAnswered
    this.#isAnswered = true
    if (this.#answer !== undefined) return this.#answer(claim)
    // What was said while nobody answered is known here alone.
    this.#isSnapshotDue = true
    if (isNews) this.#tell(owner => owner.answered(claim))
  }

  /** Resolves with whether it is written, or not to be written. */
  async #write (): Promise<boolean> {
    // What nobody owns has nothing to say yet.
    const isWhole = this.#isSnapshotDue && this.#owner !== undefined
    const saves = isWhole ? { ...this.#owner!.snapshot() } : this.#saves
    const reports = this.#reports
    this.#saves = {}
    this.#reports = {}
    if (isWhole) this.#isSnapshotDue = false
    this.#writtenAt = this.#holder.clock.performance.now()
    const { channels, recordTtlMs } = this.#holder
    const { provider, id } = this.key
    try {
      const [state, number, news] = await this.#holder.evaluate('save', 'write', [this.#holder.record(this.key)], [
        this.#token, this.#epoch, ++this.#sequence, recordTtlMs, this.#phase === 'left' ? 1 : 0, this.#reportsKnown, channels, provider, id,
        Object.keys(saves).length, ...Object.entries(saves).flat(), ...Object.entries(reports).flat()
      ]) as WriteReply
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

  /** The record was lost. Whoever does not have the call any more has nothing to say either. */
  async #claimAgain (): Promise<boolean> {
    if (this.#phase !== 'live') return true
    this.#epoch = 0
    this.#isSnapshotDue = true
    return await this.settle()
  }

  async #finish (): Promise<boolean> {
    try {
      await this.#holder.evaluate('end', 'finish', [this.#holder.record(this.key), this.#holder.admitted(this.key)], [this.#token])
      return true
    } catch {
      this.#holder.isBehind(this)
      return false
    }
  }
}

/** See the script's `claim`: of a claim that came too late there is only the first. */
type ClaimReply = [isHeld: number, epoch?: string, previous?: string, startedAt?: string, isAdmitted?: number, reports?: string, ...fields: string[]]

/** See the script's `write`. */
type WriteReply = [state: number, reports?: string, reported?: string[]]

function fieldsOf (pairs: readonly string[]): Fields {
  const fields: Record<string, string> = {}
  for (let i = 0; i < pairs.length; i += 2) fields[pairs[i]!] = pairs[i + 1]!
  return fields
}
