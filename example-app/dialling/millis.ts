/**
 * Calls that Millis places. Its session id is admitted as soon as it is known.
 */
import { admitted, answered, settings, type DialContext } from './vendor.js'

/** A call from a number that Millis has, to somebody's phone. */
export async function placeMillisCall (context: DialContext, { to, metadata }: { to: string, metadata?: Record<string, unknown> }) {
  const { MILLIS_PRIVATE_KEY, MILLIS_AGENT_ID, MILLIS_FROM_NUMBER } = settings(context, 'MILLIS_PRIVATE_KEY', 'MILLIS_AGENT_ID', 'MILLIS_FROM_NUMBER')
  const url = `${context.env['MILLIS_BASE_URL'] || 'https://api-west.millis.ai'}/start_outbound_call`
  const asked = fetch(url, {
    method: 'POST',
    // The key alone, without `Bearer`.
    headers: { authorization: MILLIS_PRIVATE_KEY, 'content-type': 'application/json' },
    body: JSON.stringify({ from_phone: MILLIS_FROM_NUMBER, to_phone: to, agent_id: MILLIS_AGENT_ID, metadata }),
    signal: AbortSignal.timeout(context.timeoutMs)
  }).then(readSession)
  const { session_id: callId } = await answered(context, 'Millis', 'session_id', asked)
  return { callId: await admitted(context, 'Millis', callId) }
}

async function readSession (response: Response): Promise<{ session_id: string }> {
  if (!response.ok) throw Object.assign(new Error(await response.text()), { status: response.status })
  return await response.json() as { session_id: string }
}
