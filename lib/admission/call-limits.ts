/**
 * Limits on calls: in all, from one address, not yet started; and on upgrades per second.
 */
import type { Ceiling } from '../telemetry/refusals.js'
import { bareAddress } from './allowlist.js'

/** Numbers of calls, and for `maxUpgradesPerSecond` of upgrades. Infinity is no limit. */
export type AdmissionLimitSettings = Readonly<Record<Ceiling, number>>

/** One socket's slot among the calls: acquired before its upgrade, released when the socket closes. */
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

  /** The upgrade is done: the socket counts among the calls from now on. */
  upgraded (): void {
    if (!this.#isPending) return
    this.#isPending = false
    this.#limits.pending--
  }

  /** The provider's first frame has started the call. */
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

/** Checks new sockets against the limits. There is no queue: a provider retries, here or on another node. */
export class AdmissionLimits {
  /** Sockets whose upgrade is under way. Only {@link CallSlot} writes it. */
  pending = 0
  /** Sockets on which no call has started. Only {@link CallSlot} writes it. */
  unstarted = 0
  readonly #settings: AdmissionLimitSettings
  readonly #byAddress = new Map<string, number>()
  /** A token bucket: upgrades that are allowed now. Refilled with time, up to one second's worth. */
  #allowance: number
  #allowedAt = performance.now()

  constructor (settings: AdmissionLimitSettings) {
    this.#settings = settings
    this.#allowance = settings.maxUpgradesPerSecond
  }

  /**
   * Returns the limit that refuses another call from this address. To be called once per upgrade, as it takes from the rate.
   * @param calls how many calls there are, sockets under upgrade not included
   */
  judge (address: string, calls: number): Ceiling | undefined {
    if (this.#areTooMany(calls)) return 'maxCalls'
    if ((this.#byAddress.get(bareAddress(address)) ?? 0) >= this.#settings.maxCallsPerAddress) return 'maxCallsPerAddress'
    if (this.#areTooManyUnstarted()) return 'maxUnstartedCalls'
    // Last, so that upgrades that other limits refuse take nothing from the rate.
    return this.#isAllowed() ? undefined : 'maxUpgradesPerSecond'
  }

  /**
   * True if a call from any address would be refused. Changes nothing.
   * @param calls how many calls there are, sockets under upgrade not included
   */
  isFull (calls: number): boolean {
    return this.#areTooMany(calls) || this.#areTooManyUnstarted()
  }

  /** Takes a slot. The caller releases it when the socket closes. */
  acquire (address: string): CallSlot {
    const bare = bareAddress(address)
    this.#byAddress.set(bare, (this.#byAddress.get(bare) ?? 0) + 1)
    return new CallSlot(this, bare)
  }

  /** Only {@link CallSlot} calls this. */
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
    // The clock of a test may go backwards.
    const earned = Math.max(0, now - this.#allowedAt) / 1000 * maxUpgradesPerSecond
    this.#allowedAt = now
    this.#allowance = Math.min(maxUpgradesPerSecond, this.#allowance + earned)
    if (this.#allowance < 1) return false
    this.#allowance--
    return true
  }
}
