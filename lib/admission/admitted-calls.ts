/**
 * Call ids that the app expects, from a provider's REST API.
 */
import { ActionError } from '../contract/errors.js'
import { isCallId } from './call-url.js'

/** Providers drop a registered call that was not used within 5 min; a phone rings for less time. */
const TTL_MS = 300_000

/** Within the range of timers, and longer than any provider waits. */
const MAX_TTL_MS = 86_400_000

/** Options of `app.admitCall`. */
export interface AdmitCallOptions {
  /** How long the provider may take to connect, in ms, at most a day. Default 300,000. */
  ttlMs?: number
}

/** The ids, each with a timer. The owner calls {@link AdmittedCalls.clear} when done. */
export class AdmittedCalls {
  readonly #expiring = new Map<string, NodeJS.Timeout>()
  /** Sends an id to the other nodes, where there are any. Resolves with true if they have it. */
  share = async (_callId: string, _ttlMs: number): Promise<boolean> => true

  /** As {@link AdmittedCalls.admit}, on all nodes. Throws synchronously; the promise never rejects. */
  expect (callId: string, options?: AdmitCallOptions): Promise<boolean> {
    return this.share(callId, this.admit(callId, options))
  }

  /**
   * @returns how long the id is admitted, in ms
   * @throws VOICE_AGENT_ERR_ACTION when the id is malformed, or the time is out of range
   */
  admit (callId: string, { ttlMs = TTL_MS }: AdmitCallOptions = {}): number {
    if (typeof callId !== 'string' || !isCallId(callId)) throw new ActionError('admitCall: callId is no call id')
    if (!Number.isFinite(ttlMs) || ttlMs <= 0 || ttlMs > MAX_TTL_MS) {
      throw new ActionError(`admitCall: ttlMs is a number above 0, at most ${MAX_TTL_MS}`)
    }
    this.delete(callId)
    this.#expiring.set(callId, setTimeout(() => { this.delete(callId) }, ttlMs).unref())
    return ttlMs
  }

  has (callId: string): boolean {
    return this.#expiring.has(callId)
  }

  /** The call is over: its id admits no connection any more. */
  delete (callId: string): void {
    clearTimeout(this.#expiring.get(callId))
    this.#expiring.delete(callId)
  }

  clear (): void {
    for (const callId of this.#expiring.keys()) this.delete(callId)
  }
}
