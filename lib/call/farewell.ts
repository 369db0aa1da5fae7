import type { LeavingAction, TurnId } from '../providers/codec.js'
import type { Connection } from './connection.js'

// Speech takes some 65 ms a character; the rest is for a slow voice and the way there and back.
const MARGIN_MS = 3_000
const MS_PER_CHARACTER = 100

// The frame that ends a call is not proven for Millis, so that it may not be understood.
const HANG_UP_TIMEOUT_MS = 10_000

/** How a call is left that we ended or transferred, and what of that is still to be done: one thing at a time. */
export class Farewell {
  #action: LeavingAction | undefined
  #waiting: { readonly id: TurnId | undefined, readonly act: () => void, readonly timer: NodeJS.Timeout } | undefined

  /** By which the call is being left; undefined where it is not, or has gone on since. */
  get action (): LeavingAction | undefined {
    return this.#action
  }

  /** It is to be left in this way once its provider is there. */
  plan (action: LeavingAction): void {
    this.#action = action
  }

  /**
   * The last words have left. What must wait until they were played follows then, or when they must have been: the event
   * that says so may never come. An end by ourselves follows where the provider knows of none.
   * @param connection over which they left; what waits is to be cancelled before another takes its place
   * @param id of the turn that they belong to
   * @param characters how many they are
   * @param afterPlayback frames
   */
  begin (action: LeavingAction, connection: Connection, id: TurnId | undefined, characters: number, afterPlayback: readonly string[]): void {
    this.#action = action
    const leave = (): void => {
      for (const frame of afterPlayback) connection.speaker.send(frame)
      if (action.action === 'end-call' && !connection.codec.hangsUp) this.#wait(HANG_UP_TIMEOUT_MS, () => connection.hangUp())
    }
    if (id === undefined || afterPlayback.length === 0) leave()
    else this.#wait(MARGIN_MS + MS_PER_CHARACTER * characters, leave, id)
  }

  /** The provider played the audio of this turn to its end. */
  played (id: TurnId): void {
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

  /** The call goes on after all. @returns whether it was being left */
  revoke (): boolean {
    const wasLeaving = this.#action !== undefined
    this.cancel()
    this.#action = undefined
    return wasLeaving
  }

  // Replaces what waited before.
  #wait (ms: number, act: () => void, id?: TurnId): void {
    this.cancel()
    this.#waiting = { id, act, timer: setTimeout(() => this.#act(), ms) }
  }

  #act (): void {
    const act = this.#waiting?.act
    this.cancel()
    act?.()
  }
}
