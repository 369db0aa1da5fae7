/**
 * Events for the page of live calls, as JSON in server-sent events. Types only, since the page imports this file. Events hold ids,
 * reasons and figures; never speech, phone numbers or metadata of a call.
 */

/** A turn that is over. Times are in ms from the provider's request; undefined if the event never happened. */
export interface TurnFigures {
  /** The provider's id, unless it is implausible. */
  readonly id?: string | number | undefined
  readonly reason: 'greeting' | 'response' | 'reminder'
  readonly outcome: 'completed' | 'error' | 'deadline' | 'superseded' | 'interrupted' | 'interjected' | 'ended' | 'disconnected' | 'hang-up'
  readonly firstTokenMs?: number | undefined
  readonly fillerMs?: number | undefined
  readonly firstSentenceMs?: number | undefined
  readonly durationMs: number
  /** How many tools were called. */
  readonly tools: number
}

/** A turn that is not over. */
export interface LiveTurn extends Pick<TurnFigures, 'id' | 'reason' | 'firstTokenMs'> {
  /** The time since its request. A duration, since the page's clock may differ from the server's. */
  readonly ageMs: number
}

/** One call, live or over. */
export interface CallState {
  /** Counts from 1. Stable, while the provider may change the call's id. */
  readonly key: number
  readonly id: string
  /** The provider's label. */
  readonly provider: string
  readonly direction?: 'inbound' | 'outbound' | undefined
  /** The duration so far, or in total for an ended call. */
  readonly ageMs: number
  /** How many turns began. */
  readonly turns: number
  readonly current?: LiveTurn | undefined
  /** Its last turns, the oldest first. */
  readonly last: readonly TurnFigures[]
  /** The close code of an ended call's socket. */
  readonly code?: number
  /** The limit that ended the call, if one did. */
  readonly limit?: string | undefined
}

/** One of the last turns of all calls. */
export interface RecentTurn extends Pick<TurnFigures, 'outcome' | 'firstTokenMs'> {
  readonly agoMs: number
}

/**
 * To the page. `live` is the number of live calls. Calls beyond the number that a page can show are only counted: they have no
 * `call` and no `key`.
 */
export type LiveCallEvent =
  /** The first event of each connection. */
  | {
    readonly type: 'snapshot',
    readonly live: number,
    readonly calls: readonly CallState[],
    readonly ended: readonly CallState[]
    readonly recent: readonly RecentTurn[]
  }
  | { readonly type: 'call-start', readonly live: number, readonly call?: CallState }
  | { readonly type: 'turn-start', readonly turn: LiveTurn } & Pick<CallState, 'key' | 'id' | 'direction'>
  | { readonly type: 'first-token', readonly key: number, readonly firstTokenMs: number }
  | { readonly type: 'turn-end', readonly key?: number | undefined, readonly turn: TurnFigures }
  | { readonly type: 'call-end', readonly live: number, readonly call?: CallState }
