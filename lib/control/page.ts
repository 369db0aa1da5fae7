/**
 * The calls of all nodes, a page at a time.
 */
import type { Provider } from '../contract/agent.js'
import type { ClusterCall } from '../cluster/cluster.js'
import { PROVIDER_NAMES } from '../providers/index.js'

/** Which calls, and how many of them at once. */
export interface PageQuery {
  readonly limit: number
  /** Where the page before ended. */
  readonly after?: string
  readonly provider?: Provider
  readonly node?: string
}

/** Some calls, and where the next ones begin, if there are more. */
export interface Page {
  readonly calls: ClusterCall[]
  readonly next: string | undefined
}

/** What {@link placeOf} makes. */
export const PLACE = `^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z,(${PROVIDER_NAMES.join('|')}),.`

/**
 * Reads a page. A cluster lists calls in no order, and anew each time: here they come by when they began, so that of those that
 * go on none is missed, though others begin and end between two pages.
 */
export async function readPage (calls: AsyncIterable<ClusterCall>, { limit, after = '', provider, node }: PageQuery): Promise<Page> {
  // By place, as one that moves may be listed twice.
  const found = new Map<string, ClusterCall>()
  for await (const call of calls) {
    if (provider !== undefined && call.provider !== provider) continue
    if (node !== undefined && call.node !== node) continue
    const place = placeOf(call)
    if (place > after) found.set(place, call)
  }
  const places = Array.from(found.keys()).sort()
  const page = places.slice(0, limit)
  return { calls: page.map(place => found.get(place)!), next: places.length > limit ? page.at(-1) : undefined }
}

/** Unique, and in the order of beginning. */
function placeOf ({ startedAt, provider, id }: ClusterCall): string {
  return `${new Date(startedAt).toISOString()},${provider},${id}`
}
