import type { CallRecord } from '../telemetry/report.js'
import type { CallCeiling } from '../telemetry/refusals.js'
import type { CallLimits } from './limits.js'
import { PULSE_MS } from './pulse.js'
import type { CallFigures } from './snapshot.js'

// A network that was stuck delivers all at once.
const BURST_S = 10

/** What of a call's figures is counted. */
type Counts = Omit<CallFigures, 'isGreeted' | 'lastId' | 'leaving'>

/**
 * What is counted of one call, over all its connections and on all nodes. What its limits bound returns the ceiling that
 * is reached by it.
 */
export class Tally {
  readonly #limits: CallLimits
  #startedAt = Date.now()
  #since = performance.now()
  #frames = 0
  #bytes = 0
  #tokens = 0
  #turns = 0
  #completedTurns = 0
  #controls = 0
  #reconnects = 0
  #malformed = 0

  constructor (limits: CallLimits) {
    this.#limits = limits
  }

  /** When the call's first socket opened, in ms since 1970. */
  get startedAt (): number {
    return this.#startedAt
  }

  /** The same by `performance.now()`. */
  get since (): number {
    return this.#since
  }

  get turns (): number {
    return this.#turns
  }

  get completedTurns (): number {
    return this.#completedTurns
  }

  get reconnects (): number {
    return this.#reconnects
  }

  /** What another node needs to count on. */
  get figures (): Counts {
    return {
      startedAt: this.#startedAt,
      turns: this.#turns,
      completedTurns: this.#completedTurns,
      controls: this.#controls,
      reconnects: this.#reconnects,
      malformedFrames: this.#malformed,
      bytes: this.#bytes,
      tokens: this.#tokens
    }
  }

  /** What is told of the call when it is over. */
  get result (): Pick<CallRecord, 'durationMs' | 'turns' | 'reconnects' | 'malformedFrames'> {
    return { durationMs: Math.round(this.#durationMs), turns: this.#turns, reconnects: this.#reconnects, malformedFrames: this.#malformed }
  }

  get #durationMs (): number {
    return performance.now() - this.#since
  }

  /** Adds what was counted on other nodes. Coming from there was a reconnect. */
  inherit (figures: Counts): void {
    this.#startedAt = Math.min(this.#startedAt, figures.startedAt)
    this.#since = Math.min(this.#since, performance.now() - (Date.now() - figures.startedAt))
    this.#bytes += figures.bytes
    this.#tokens += figures.tokens
    this.#turns += figures.turns
    this.#completedTurns += figures.completedTurns
    this.#controls += figures.controls
    this.#reconnects += figures.reconnects + 1
    this.#malformed += figures.malformedFrames
  }

  /** A frame came. */
  received (bytes: number): CallCeiling | undefined {
    this.#bytes += bytes
    if (this.#bytes > this.#limits.maxBytesPerCall) return 'maxBytesPerCall'
    return ++this.#frames > BURST_S * this.#limits.maxFramesPerSecond ? 'maxFramesPerSecond' : undefined
  }

  /** A model was asked, or answered. */
  spent (tokens: number): CallCeiling | undefined {
    this.#tokens += tokens
    return this.#tokens > this.#limits.maxTokensPerCall ? 'maxTokensPerCall' : undefined
  }

  /** A turn was asked for. */
  asked (): CallCeiling | undefined {
    return ++this.#turns > this.#limits.maxTurnsPerCall ? 'maxTurnsPerCall' : undefined
  }

  /** Called every {@link PULSE_MS}. */
  pulse (): CallCeiling | undefined {
    this.#frames = Math.max(0, this.#frames - this.#limits.maxFramesPerSecond * PULSE_MS / 1000)
    return this.#durationMs > this.#limits.maxCallDurationMs ? 'maxCallDurationMs' : undefined
  }

  /** A turn came to its end. */
  completed (): void {
    this.#completedTurns++
  }

  /** Something is said or done from outside a turn. @returns its number */
  controlled (): number {
    return ++this.#controls
  }

  /** The provider dialled again. */
  redialled (): void {
    this.#reconnects++
  }

  /** A frame could not be read. @returns how many there have been */
  malformed (): number {
    return ++this.#malformed
  }
}
