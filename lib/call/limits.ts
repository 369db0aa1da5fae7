/**
 * The ceilings of one call: what it may cost before it is ended with a goodbye.
 */
import type { Call } from '../agent.js'
import { findLine } from '../line.js'
import type { CallCeiling } from '../telemetry/refusals.js'
import { PULSE_MS } from './pulse.js'

/** What is said before a call that reached a ceiling is ended: a line, or a function that finds one. `''` is silence. */
export type Goodbye = string | ((call: Call, limit: CallCeiling) => string)

/** Infinity is no ceiling. */
export interface CallLimits extends Readonly<Record<CallCeiling, number>> {
  /** Never throws. */
  goodbye (call: Call, limit: CallCeiling): string
}

// A network that was stuck delivers all at once.
const BURST_S = 10

const GOODBYE = 'I am sorry, we have to end our call here. Goodbye.'

/** Makes a function that always has a line, also where the app's own function fails. */
export function createGoodbye (goodbye: Goodbye = GOODBYE): CallLimits['goodbye'] {
  if (typeof goodbye === 'string') return () => goodbye
  return (call, limit) => findLine(call.log, 'goodbye', () => goodbye(call, limit)) ?? GOODBYE
}

/** What a call has used up of its limits. Each method returns the ceiling that is reached by what it is told. */
export class Usage {
  readonly #limits: CallLimits
  /** When the call's first socket opened, by `performance.now()`. */
  #since = performance.now()
  #frames = 0
  #bytes = 0
  #tokens = 0
  #turns = 0

  constructor (limits: CallLimits) {
    this.#limits = limits
  }

  get since (): number {
    return this.#since
  }

  get bytes (): number {
    return this.#bytes
  }

  get tokens (): number {
    return this.#tokens
  }

  /** Since the call began, in ms. */
  get durationMs (): number {
    return performance.now() - this.#since
  }

  /** Adds what was used up on other nodes. */
  inherit ({ startedAt, bytes, tokens, turns }: Readonly<Record<'startedAt' | 'bytes' | 'tokens' | 'turns', number>>): void {
    this.#since = Math.min(this.#since, performance.now() - (Date.now() - startedAt))
    this.#bytes += bytes
    this.#tokens += tokens
    this.#turns += turns
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

  get turns (): number {
    return this.#turns
  }

  /** Called every {@link PULSE_MS}. */
  pulse (): CallCeiling | undefined {
    this.#frames = Math.max(0, this.#frames - this.#limits.maxFramesPerSecond * PULSE_MS / 1000)
    return this.durationMs > this.#limits.maxCallDurationMs ? 'maxCallDurationMs' : undefined
  }
}
