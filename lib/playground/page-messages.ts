/**
 * Messages between the page and its server, as JSON over a WebSocket. Types only, since the page imports this file.
 */

/** One turn so far. Times are in ms from the turn's request. */
export interface TurnState {
  /** Counts from 0. */
  readonly index: number
  /** The provider's id. */
  readonly id: string | number
  readonly reason: 'greeting' | 'response' | 'reminder' | 'interjection'
  /** The time of the request, since the call began. */
  readonly askedMs: number
  readonly text: string
  readonly outcome: 'streaming' | 'completed' | 'superseded' | 'interrupted' | 'lost'
  /** The end of each word's speech; empty without a pace. */
  readonly wordsMs: readonly number[]
  /** The part that the caller heard, once the turn is over. */
  readonly heard?: string
  readonly firstTokenMs?: number
  readonly firstSentenceMs?: number
  readonly durationMs?: number
}

/** To the page. `atMs` is the time since the call began. */
export type ToPage =
  | { readonly type: 'placed', readonly id: string, readonly atMs: number }
  /** A turn begins or ends. */
  | { readonly type: 'turn', readonly turn: TurnState, readonly atMs: number }
  /** More words of a turn, with their times. */
  | ({ readonly type: 'words', readonly index: number, readonly atMs: number } &
    Pick<TurnState, 'text' | 'wordsMs' | 'firstTokenMs' | 'firstSentenceMs'>)
  | { readonly type: 'frame', readonly from: 'provider' | 'server', readonly frame: unknown, readonly atMs: number }
  | { readonly type: 'finding', readonly code: string, readonly message: string, readonly atMs: number }
  | { readonly type: 'dialled-again' }
  /** A command failed. */
  | { readonly type: 'refused', readonly message: string }
  | { readonly type: 'ended', readonly by: 'caller' | 'agent' | 'fault', readonly reason: string, readonly destination?: string }

/** From the page, about the one call of its connection. */
export type FromPage =
  | { readonly type: 'place', readonly provider: string, readonly wordsPerMinute?: number }
  | { readonly type: 'say', readonly text: string }
  /** Requests a reminder, as after a silence. */
  | { readonly type: 'remind' }
  | { readonly type: 'drop' }
  | { readonly type: 'hang-up' }
