import { context, ROOT_CONTEXT } from '@opentelemetry/api'

/** How often connections are looked after, in ms. */
export const PULSE_MS = 5_000

/** What wants to be looked after. */
export interface Pulsing {
  pulse (): void
}

/** One timer for any number of connections. It runs while there are any, and keeps no process alive. */
export class Pulse {
  readonly #pulsing = new Set<Pulsing>()
  #timer: NodeJS.Timeout | undefined

  add (pulsing: Pulsing): void {
    this.#pulsing.add(pulsing)
    // It is nobody's: what one call is traced by is not to follow the others.
    this.#timer ??= context.with(ROOT_CONTEXT, () => setInterval(() => this.#pulsing.forEach(each => each.pulse()), PULSE_MS).unref())
  }

  remove (pulsing: Pulsing): void {
    this.#pulsing.delete(pulsing)
    if (this.#pulsing.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
