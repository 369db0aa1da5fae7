/**
 * Call ids that the app expects: those that a provider's REST API gave it.
 */
import { ActionError } from '../contract/errors.js'
import { isCallId } from './call-url.js'

/** Providers give up a registered call that was not used within 5 min; a phone does not ring for as long. */
const TTL_MS = 300_000

/** For timers, and far longer than anybody waits. */
const MAX_TTL_MS = 86_400_000

/** Options of `app.admitCall`. */
export interface AdmitCallOptions {
  /** How long the provider may take to connect, in ms, at most a day. Default 300,000. */
  ttlMs?: number
}

/** Whoever has it calls {@link AdmittedCalls.clear} when done. */
export class AdmittedCalls {
  readonly #expiring = new Map<string, NodeJS.Timeout>()
  /** Tells the other nodes, where there are any. Resolves with whether they know. */
  share = async (_callId: string, _ttlMs: number): Promise<boolean> => true

  /** As {@link AdmittedCalls.admit}, on all nodes. Throws at once, and never rejects. */
  expect (callId: string, options?: AdmitCallOptions): Promise<boolean> {
    return this.share(callId, this.admit(callId, options))
  }

  /**
   * @returns for how long, in ms
   * @throws VOICE_AGENT_ERR_ACTION when the id is none, or the time is out of range
   */
  admit (callId: string, { ttlMs = TTL_MS }: AdmitCallOptions = {}): number {
    if (typeof callId !== 'string' || !isCallId(callId)) throw new ActionError('admitCall: callId is no call id')
    if (!Number.isFinite(ttlMs) || ttlMs <= 0 || ttlMs > MAX_TTL_MS) throw new ActionError(`admitCall: ttlMs is a number above 0, at most ${MAX_TTL_MS}`)
    this.delete(callId)
    this.#expiring.set(callId, setTimeout(() => { this.delete(callId) }, ttlMs).unref())
    return ttlMs
  }

  has (callId: string): boolean {
    return this.#expiring.has(callId)
  }

  /** The call is over: its id admits nobody any more. */
  delete (callId: string): void {
    clearTimeout(this.#expiring.get(callId))
    this.#expiring.delete(callId)
  }

  clear (): void {
    for (const callId of this.#expiring.keys()) this.delete(callId)
  }
}
