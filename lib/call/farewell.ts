// Speech takes some 65 ms a character; the rest is for a slow voice and the way there and back.
const MARGIN_MS = 3_000
const MS_PER_CHARACTER = 100

/** What is still to be done in a call that we ended. One thing at a time; cancelled when the call goes on after all. */
export class Farewell {
  #waiting: { readonly id: string | number | undefined, readonly act: () => void, readonly timer: NodeJS.Timeout } | undefined

  /**
   * Acts once the audio of turn `id` was played, or as many characters must have been: the event that says so may never
   * come. Replaces what waited before.
   */
  afterPlayback (id: string | number, characters: number, act: () => void): void {
    this.#wait(MARGIN_MS + MS_PER_CHARACTER * characters, act, id)
  }

  /** Acts after so many ms. Replaces what waited before. */
  after (ms: number, act: () => void): void {
    this.#wait(ms, act)
  }

  /** The provider played the audio of this turn to its end. */
  played (id: string | number): void {
    if (this.#waiting?.id === id) this.#act()
  }

  /** Does what waits for playback at once. */
  hurry (): void {
    if (this.#waiting?.id !== undefined) this.#act()
  }

  /** What waits is never done. */
  cancel (): void {
    clearTimeout(this.#waiting?.timer)
    this.#waiting = undefined
  }

  #wait (ms: number, act: () => void, id?: string | number): void {
    this.cancel()
    this.#waiting = { id, act, timer: setTimeout(() => this.#act(), ms) }
  }

  #act (): void {
    const act = this.#waiting?.act
    this.cancel()
    act?.()
  }
}
