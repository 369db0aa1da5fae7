/**
 * What the URL a provider dials says: the secret, and the id of the call.
 */

/** The parts of a dialled URL, decoded. */
export interface CallUrl {
  /** What the caller presents as the secret; still to be checked. Never empty. */
  readonly secret: string | undefined
  /**
   * The provider's id of the call: 1 to 256 ASCII letters, digits and `_.~:@-`, and neither `.` nor `..`, so that it
   * can stand in a log line, a key or another URL as it is. `undefined` when the URL holds no such id, or leaves open
   * which part it is.
   */
  readonly callId: string | undefined
  /** The operator's URL ends in a literal `{call_id}`, which should be removed from it: the provider adds the id. */
  readonly placeholder: boolean
}

const PLACEHOLDER = '{call_id}'
const SAFE_ID = /^(?!\.{1,2}$)[\w.~:@-]{1,256}$/

/** Could it be a provider's id of a call? See {@link CallUrl.callId}. */
export function isCallId (id: string): boolean {
  return SAFE_ID.test(id)
}

/**
 * Takes apart the URL a provider dialled: `[/<secret>][/{call_id}]/<call id>`. Empty path segments are skipped. Never
 * throws; what cannot be decoded is `undefined`.
 * @param rest the path after the route's base path, decoded, as the router gives it
 * @param query the raw query string, without `?`
 * @param hasSecret whether the first segment is the secret
 */
export function readCallUrl (rest: string, query: string, hasSecret: boolean): CallUrl {
  const path = rest.split('/').filter(segment => segment !== '')
  const secret = hasSecret ? path.shift() : undefined
  const placeholder = path[0] === PLACEHOLDER
  if (placeholder) path.shift()

  const id = path.length === 0 ? idInQuery(query) : path[0]
  const usable = path.length < 2 && id !== undefined && isCallId(id)
  return { secret, callId: usable ? id : undefined, placeholder }
}

/** A provider that appends `/<call id>` to a configured URL with a query appends it to the last value. */
function idInQuery (query: string): string | undefined {
  const last = decode(query.slice(query.lastIndexOf('&') + 1))
  return last?.includes('/') ? last.slice(last.lastIndexOf('/') + 1) : undefined
}

function decode (text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    // Malformed percent-encoding, which no provider sends: the same as nothing.
    return undefined
  }
}
