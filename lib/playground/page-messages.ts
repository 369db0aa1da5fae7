/**
 * What the page and its server tell each other, as JSON over a WebSocket. Types alone, which the page has too.
 */

/** One turn, as far as it has come. Times are in ms; those that have a turn begin with its request. */
export interface TurnState {
  /** Counts from 0. */
  readonly index: number
  /** The provider's. */
  readonly id: string | number
  readonly reason: 'greeting' | 'response' | 'reminder' | 'interjection'
  /** When it was asked for, since the call began. */
  readonly askedMs: number
  readonly text: string
  readonly outcome: 'streaming' | 'completed' | 'superseded' | 'interrupted' | 'lost'
  /** When each word is spoken to its end; none where they are spoken as fast as they come. */
  readonly wordsMs: readonly number[]
  /** What the caller heard of it, once it is over. */
  readonly heard?: string
  readonly firstTokenMs?: number
  readonly firstSentenceMs?: number
  readonly durationMs?: number
}

/** To the page. `atMs` is the time since the call began. */
export type ToPage =
  | { readonly type: 'placed', readonly id: string, readonly atMs: number }
  /** A turn begins, or comes to an end. */
  | { readonly type: 'turn', readonly turn: TurnState, readonly atMs: number }
  /** More of its words, and when those are spoken. */
  | ({ readonly type: 'words', readonly index: number, readonly atMs: number } & Pick<TurnState, 'text' | 'wordsMs' | 'firstTokenMs' | 'firstSentenceMs'>)
  | { readonly type: 'frame', readonly from: 'provider' | 'server', readonly frame: unknown, readonly atMs: number }
  | { readonly type: 'finding', readonly code: string, readonly message: string, readonly atMs: number }
  | { readonly type: 'dialled-again' }
  /** What was wanted cannot be had. */
  | { readonly type: 'refused', readonly message: string }
  | { readonly type: 'ended', readonly by: 'caller' | 'agent' | 'fault', readonly reason: string, readonly destination?: string }

/** From the page. The one call of its connection. */
export type FromPage =
  | { readonly type: 'place', readonly provider: string, readonly wordsPerMinute?: number }
  | { readonly type: 'say', readonly text: string }
  /** Silence has lasted until the agent is asked to go on. */
  | { readonly type: 'remind' }
  | { readonly type: 'drop' }
  | { readonly type: 'hang-up' }
