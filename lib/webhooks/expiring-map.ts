/**
 * A map whose entries expire, bounded in size. It has no timers: each access drops expired entries.
 */
export class ExpiringMap<T> {
  readonly #ms: number
  readonly #max: number
  // In order of expiry, since all entries have the same lifetime.
  readonly #entries = new Map<string, { readonly value: T, readonly until: number }>()

  /**
   * @param ms lifetime of an entry
   * @param max how many entries are kept; the oldest is dropped first
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

  /** Adds a value, unless the key has one. Returns true if it was added. */
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
