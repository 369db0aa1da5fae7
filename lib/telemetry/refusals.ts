/**
 * What was refused, and why, counted since the start: for whoever watches a server, and for its metrics.
 */

/** What stands before the upgrade and bounds how many calls there are. */
export type Ceiling = 'maxCalls' | 'maxCallsPerAddress' | 'maxUnstartedCalls' | 'maxUpgradesPerSecond' | 'maxClusterCalls'

/** What bounds a single call. */
export type CallCeiling = 'maxFramesPerSecond' | 'maxBytesPerCall' | 'maxTurnsPerCall' | 'maxCallDurationMs' | 'maxTokensPerCall'

/**
 * Why somebody was refused: not admitted, a web page that may place no call (`origin`, `host`), too many headers, no id in the URL, a call
 * dialled again too often, the server closes, the app is under pressure, or a ceiling by the name of its option.
 */
export type Refusal =
  | 'address' | 'secret' | 'origin' | 'host' | 'call' | 'headers' | 'url' | 'redials' | 'closing' | 'pressure' | Ceiling | CallCeiling

/** How often each happened. */
export type Refusals = Readonly<Record<Refusal, number>>

/** All of them, at 0. */
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
