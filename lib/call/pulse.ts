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
    this.#timer ??= setInterval(() => this.#pulsing.forEach(each => each.pulse()), PULSE_MS).unref()
  }

  remove (pulsing: Pulsing): void {
    this.#pulsing.delete(pulsing)
    if (this.#pulsing.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
