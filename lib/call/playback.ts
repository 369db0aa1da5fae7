// Speech takes some 65 ms a character; the rest is for a slow voice and the way there and back.
const MARGIN_MS = 3_000
const MS_PER_CHARACTER = 100

/**
 * Holds a provider's control frames back until the words before them were played. Bounded, because the event that says
 * so may never come.
 */
export class Playback {
  #waiting: { readonly id: string | number, readonly send: () => void, readonly timer: NodeJS.Timeout } | undefined

  /** Calls `send` once the audio of turn `id` was played, or as many characters must have been. Replaces what waited before. */
  wait (id: string | number, characters: number, send: () => void): void {
    this.cancel()
    const timer = setTimeout(() => this.played(id), MARGIN_MS + MS_PER_CHARACTER * characters)
    this.#waiting = { id, send, timer }
  }

  /** The provider played the audio of this turn to its end. */
  played (id: string | number): void {
    const waiting = this.#waiting
    if (waiting === undefined || waiting.id !== id) return
    this.cancel()
    waiting.send()
  }

  /** What waits is never sent. */
  cancel (): void {
    clearTimeout(this.#waiting?.timer)
    this.#waiting = undefined
  }
}
