/**
 * How many calls there may be: in all, from one address, not yet started, and how many may come in a second.
 */
import type { Ceiling } from '../telemetry/refusals.js'

/** Calls, and for the last one upgrades per second. Infinity is no ceiling. */
export type CeilingSettings = Readonly<Record<Ceiling, number>>

/** What there is besides the sockets that are being opened. */
export interface CallCount {
  /** Calls, those included that wait for their provider to dial again. */
  readonly all: number
  /** Calls whose provider has not introduced them. Counted when asked for. */
  readonly unstarted: number
}

/** One socket's place among the calls: taken before its upgrade, left when the socket is closed. */
export interface Seat {
  readonly address: string
  /** Is it not counted among the calls yet? */
  isPending: boolean
}

/** Judges new sockets. Nobody waits in a queue: a provider asks again, or elsewhere. */
export class Ceilings {
  readonly #settings: CeilingSettings
  readonly #calls: CallCount
  readonly #byAddress = new Map<string, number>()
  #pending = 0
  /** Upgrades that may come at this moment: as many as a second may have, and as time goes by more. */
  #allowance: number
  #allowedAt = performance.now()

  constructor (settings: CeilingSettings, calls: CallCount) {
    this.#settings = settings
    this.#calls = calls
    this.#allowance = settings.maxUpgradesPerSecond
  }

  /** Which ceiling keeps another call from this address out? Asked once per upgrade. */
  judge (address: string): Ceiling | undefined {
    const { maxCalls, maxCallsPerAddress, maxUnstartedCalls } = this.#settings
    const all = this.#calls.all + this.#pending
    if (all >= maxCalls) return 'maxCalls'
    if ((this.#byAddress.get(address) ?? 0) >= maxCallsPerAddress) return 'maxCallsPerAddress'
    if (all >= maxUnstartedCalls && this.#calls.unstarted + this.#pending >= maxUnstartedCalls) return 'maxUnstartedCalls'
    // What others refuse is cheap, and must not use up what calls have.
    return this.#isAllowed() ? undefined : 'maxUpgradesPerSecond'
  }

  sit (address: string): Seat {
    this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1)
    this.#pending++
    return { address, isPending: true }
  }

  /** The upgrade is done, and the socket counted among the calls. */
  start (seat: Seat): void {
    if (!seat.isPending) return
    seat.isPending = false
    this.#pending--
  }

  leave (seat: Seat): void {
    this.start(seat)
    const others = this.#byAddress.get(seat.address)! - 1
    if (others > 0) this.#byAddress.set(seat.address, others)
    else this.#byAddress.delete(seat.address)
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
