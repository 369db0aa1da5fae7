/**
 * What the page of live calls is told, as JSON in server-sent events. Types alone, which the page has too. There are ids,
 * reasons and figures in it: nothing that was said, no number, nothing that was attached to a call.
 */

/** A turn that is over. Times are in ms, from when the provider asked; undefined is never. */
export interface TurnFigures {
  /** The provider's, unless it is one that no provider would choose. */
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
  /** How long ago it was asked for. No clock of the server's is told: the page's may be another. */
  readonly ageMs: number
}

/** One call, live or over. */
export interface CallState {
  /** Counts from 1: the provider may give a call another id, once it says which call it is. */
  readonly key: number
  readonly id: string
  /** For people. */
  readonly provider: string
  readonly direction?: 'inbound' | 'outbound' | undefined
  /** How long it has lasted; how long it did, where it is over. */
  readonly ageMs: number
  /** How many turns began. */
  readonly turns: number
  readonly current?: LiveTurn | undefined
  /** Its last turns, the oldest first. */
  readonly last: readonly TurnFigures[]
  /** The close code of its socket, where it is over. */
  readonly code?: number
  /** The ceiling that ended it, if one did. */
  readonly limit?: string | undefined
}

/** One of the last turns of all calls. */
export interface RecentTurn extends Pick<TurnFigures, 'outcome' | 'firstTokenMs'> {
  readonly agoMs: number
}

/**
 * To the page. `live` is how many calls there are; of so many that no page could show them, most are counted and no more:
 * they have no `call`, and no `key`.
 */
export type LiveCallEvent =
  /** Whoever comes, or comes back, begins with this. */
  | { readonly type: 'snapshot', readonly live: number, readonly calls: readonly CallState[], readonly ended: readonly CallState[], readonly recent: readonly RecentTurn[] }
  | { readonly type: 'call-start', readonly live: number, readonly call?: CallState }
  | { readonly type: 'turn-start', readonly turn: LiveTurn } & Pick<CallState, 'key' | 'id' | 'direction'>
  | { readonly type: 'first-token', readonly key: number, readonly firstTokenMs: number }
  | { readonly type: 'turn-end', readonly key?: number | undefined, readonly turn: TurnFigures }
  | { readonly type: 'call-end', readonly live: number, readonly call?: CallState }
