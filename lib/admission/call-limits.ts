/**
 * How many calls there may be: in all, from one address, not yet started, and how many may come in a second.
 */
import type { Ceiling } from '../telemetry/refusals.js'
import { bareAddress } from './allowlist.js'

/** Calls, and for the last one upgrades per second. Infinity is no ceiling. */
export type AdmissionLimitSettings = Readonly<Record<Ceiling, number>>

/** One socket's place among the calls: taken before its upgrade, left when the socket is closed. */
export class CallSlot {
  readonly #limits: AdmissionLimits
  readonly address: string
  #isPending = true
  #isStarted = false

  constructor (limits: AdmissionLimits, address: string) {
    this.#limits = limits
    this.address = address
    limits.pending++
    limits.unstarted++
  }

  /** The upgrade is done, and the socket counted among the calls. */
  upgraded (): void {
    if (!this.#isPending) return
    this.#isPending = false
    this.#limits.pending--
  }

  /** The provider spoke, and its call has begun. */
  started (): void {
    if (this.#isStarted) return
    this.#isStarted = true
    this.#limits.unstarted--
  }

  release (): void {
    this.upgraded()
    this.started()
    this.#limits.released(this)
  }
}

/** Judges new sockets. Nobody waits in a queue: a provider asks again, or elsewhere. */
export class AdmissionLimits {
  /** Sockets that are being opened. For {@link CallSlot} alone. */
  pending = 0
  /** Sockets over which nobody has introduced a call. For {@link CallSlot} alone. */
  unstarted = 0
  readonly #settings: AdmissionLimitSettings
  readonly #byAddress = new Map<string, number>()
  /** Upgrades that may come at this moment: as many as a second may have, and as time goes by more. */
  #allowance: number
  #allowedAt = performance.now()

  constructor (settings: AdmissionLimitSettings) {
    this.#settings = settings
    this.#allowance = settings.maxUpgradesPerSecond
  }

  /**
   * Which ceiling keeps another call from this address out? ClusterAnswer once per upgrade.
   * @param calls how many there are besides
   */
  judge (address: string, calls: number): Ceiling | undefined {
    if (this.#areTooMany(calls)) return 'maxCalls'
    if ((this.#byAddress.get(bareAddress(address)) ?? 0) >= this.#settings.maxCallsPerAddress) return 'maxCallsPerAddress'
    if (this.#areTooManyUnstarted()) return 'maxUnstartedCalls'
    // What others refuse is cheap, and must not use up what calls have.
    return this.#isAllowed() ? undefined : 'maxUpgradesPerSecond'
  }

  /**
   * Is another call kept out from wherever it comes? May be asked as often as one likes.
   * @param calls how many there are besides
   */
  isFull (calls: number): boolean {
    return this.#areTooMany(calls) || this.#areTooManyUnstarted()
  }

  acquire (address: string): CallSlot {
    const bare = bareAddress(address)
    this.#byAddress.set(bare, (this.#byAddress.get(bare) ?? 0) + 1)
    return new CallSlot(this, bare)
  }

  /** For {@link CallSlot} alone. */
  released ({ address }: CallSlot): void {
    const others = this.#byAddress.get(address)! - 1
    if (others > 0) this.#byAddress.set(address, others)
    else this.#byAddress.delete(address)
  }

  #areTooMany (calls: number): boolean {
    return calls + this.pending >= this.#settings.maxCalls
  }

  #areTooManyUnstarted (): boolean {
    return this.unstarted >= this.#settings.maxUnstartedCalls
  }

  #isAllowed (): boolean {
    const { maxUpgradesPerSecond } = this.#settings
    const now = performance.now()
    // A test may set the clock back.
    const earned = Math.max(0, now - this.#allowedAt) / 1000 * maxUpgradesPerSecond
    this.#allowedAt = now
    this.#allowance = Math.min(maxUpgradesPerSecond, this.#allowance + earned)
    if (this.#allowance < 1) return false
    this.#allowance--
    return true
  }
}
