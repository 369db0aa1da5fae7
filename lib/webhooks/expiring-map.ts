/**
 * What came lately, by a key: bounded in time and in number. Without timers: what is too old goes when something is looked for.
 */
export class ExpiringMap<T> {
  readonly #ms: number
  readonly #max: number
  // The oldest first, as all of them live equally long.
  readonly #entries = new Map<string, { readonly value: T, readonly until: number }>()

  /**
   * @param ms how long something is known
   * @param max how many are known; the oldest goes first
   */
  constructor (ms: number, max: number) {
    this.#ms = ms
    this.#max = max
  }

  get size (): number {
    return this.#entries.size
  }

  get (key: string): T | undefined {
    this.#forget()
    return this.#entries.get(key)?.value
  }

  /** Keeps a value, unless one is known by this key. Returns whether it was news. */
  add (key: string, value: T): boolean {
    this.#forget()
    if (this.#entries.has(key)) return false
    this.#entries.set(key, { value, until: performance.now() + this.#ms })
    if (this.#entries.size > this.#max) this.#entries.delete(this.#entries.keys().next().value!)
    return true
  }

  #forget (): void {
    const now = performance.now()
    for (const [key, { until }] of this.#entries) {
      if (until > now) return
      this.#entries.delete(key)
    }
  }
}
