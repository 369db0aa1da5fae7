/**
 * Reasons for refusals, and their counts since the start.
 */

/** Limits that are checked before the upgrade: how many calls there may be. */
export type Ceiling = 'maxCalls' | 'maxCallsPerAddress' | 'maxUnstartedCalls' | 'maxUpgradesPerSecond' | 'maxClusterCalls'

/** Limits of a single call. */
export type CallCeiling = 'maxFramesPerSecond' | 'maxBytesPerCall' | 'maxTurnsPerCall' | 'maxCallDurationMs' | 'maxTokensPerCall'

/**
 * Why a connection or a call was refused: it is not admitted, it comes from a web page that may not place calls (`origin`, `host`), it has
 * too many headers or no id in its URL, it was dialled again too often, the server closes, the app is under pressure, or a limit is
 * reached, by the name of its option.
 */
export type Refusal =
  | 'address' | 'secret' | 'origin' | 'host' | 'call' | 'headers' | 'url' | 'redials' | 'closing' | 'pressure' | Ceiling | CallCeiling

/** The number of refusals for each reason. */
export type Refusals = Readonly<Record<Refusal, number>>

/** @returns every reason at 0 */
export function noRefusals (): Record<Refusal, number> {
  return {
    address: 0,
    secret: 0,
    origin: 0,
    host: 0,
    call: 0,
    headers: 0,
    url: 0,
    redials: 0,
    closing: 0,
    pressure: 0,
    maxCalls: 0,
    maxCallsPerAddress: 0,
    maxUnstartedCalls: 0,
    maxUpgradesPerSecond: 0,
    maxClusterCalls: 0,
    maxFramesPerSecond: 0,
    maxBytesPerCall: 0,
    maxTurnsPerCall: 0,
    maxCallDurationMs: 0,
    maxTokensPerCall: 0
  }
}
