/**
 * What the callers of one measurement saw.
 */

/** Counts over some stretch of time. */
export interface Counts {
  /** Tokens received. */
  tokens: number
  /** Replies received to the end and found right. */
  replies: number
  /** Replies of a model that failed on demand, received to the end of the fallback and found right. */
  fallbacks: number
  /** Requests that a newer one replaced before their reply was complete. */
  superseded: number
  /** Frames of a superseded turn that came before the server can be shown to have read the newer request. Unavoidable, but wasted. */
  lateFrames: number
  /** Keep-alives answered. */
  keepalives: number
  /** Times a call was dialled again and went on. */
  redials: number
  /** Frames sent that mean nothing. */
  malformed: number
  /** Updates of the transcript that the server has read. */
  updates: number
  /** What the server added to the wait for each first token, in ms: the whole wait less the model's own share. */
  addedMs: number[]
  /** From the open socket of a new call to the first frame of its greeting, in ms. */
  greetingMs: number[]
  /** How long each keep-alive waited for its answer, in ms. */
  keepaliveMs: number[]
}

/** Shared by all callers of a scenario. */
export class Tally {
  counts = noCounts()

  /** @returns what was counted since the last take, and starts anew */
  take (): Counts {
    const taken = this.counts
    this.counts = noCounts()
    return taken
  }
}

function noCounts (): Counts {
  return { tokens: 0, replies: 0, fallbacks: 0, superseded: 0, lateFrames: 0, keepalives: 0, redials: 0, malformed: 0, updates: 0, addedMs: [], greetingMs: [], keepaliveMs: [] }
}
