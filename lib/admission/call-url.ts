/**
 * The parts of the URL that a provider dials: the secret and the call id.
 */

/** The parts of a dialled URL, decoded. */
export interface CallUrl {
  /** The presented secret, unchecked. Never empty. */
  readonly secret: string | undefined
  /**
   * The provider's id of the call: 1 to 256 ASCII letters, digits and `_.~:@-`, and neither `.` nor `..`, so that it
   * is safe in a log line, a key or another URL. `undefined` when the URL holds no such id, or is ambiguous.
   */
  readonly callId: string | undefined
  /** True if the operator's URL contains a literal `{call_id}`, which should be removed: the provider appends the id. */
  readonly placeholder: boolean
}

const PLACEHOLDER = '{call_id}'
const SAFE_ID = /^(?!\.{1,2}$)[\w.~:@-]{1,256}$/

/** True if a text is a valid call id: see {@link CallUrl.callId}. */
export function isCallId (id: string): boolean {
  return SAFE_ID.test(id)
}

/**
 * Parses the URL that a provider dialled: `[/<secret>][/{call_id}]/<call id>`. Empty path segments are skipped. Never
 * throws; parts that cannot be decoded are `undefined`.
 * @param rest the path after the route's base path, decoded, as the router gives it
 * @param query the raw query string, without `?`
 * @param hasSecret true if the first segment is the secret
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
    // Malformed percent-encoding counts as absent.
    return undefined
  }
}
