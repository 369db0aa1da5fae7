/**
 * Calls that Retell creates: web calls, phone calls, and calls that somebody else's telephony brings to it.
 * Each id is admitted as soon as it is known.
 */
import Retell from 'retell-sdk'
import { admitted, answered, settings, type DialContext } from './vendor.js'

/** Whatever you want to find again in `call.metadata`. */
export type Metadata = Record<string, unknown>

/** A call of your own telephony. The numbers are for Retell's call history alone. */
export interface OwnCall {
  readonly direction: 'inbound' | 'outbound'
  readonly from: string | undefined
  readonly to: string | undefined
  readonly metadata?: Metadata
}

type Ask<Call> = (calls: Retell['call'], options: Retell.RequestOptions) => Promise<Call>

// Without retries: Retell knows no idempotency keys, and would ring twice if only its answer was lost.
async function create<Call extends { call_id: string }> (context: DialContext, ask: Ask<Call>): Promise<Call> {
  const { RETELL_API_KEY } = settings(context, 'RETELL_API_KEY')
  // While a key is replaced there are several: each may sign webhooks, and the first one places calls.
  const apiKey = RETELL_API_KEY.replaceAll(/^[ ,]+|[ ,].*$/g, '')
  const retell = new Retell({ apiKey, baseURL: context.env['RETELL_BASE_URL'] || null, maxRetries: 0 })
  // The client's own timeout ends with the answer's headers.
  const call = await answered(context, 'Retell', 'call_id', ask(retell.call, { signal: AbortSignal.timeout(context.timeoutMs) }))
  await admitted(context, 'Retell', call.call_id)
  return call
}

/** A call from a browser. Until it has joined, nobody hears anything. */
export async function placeWebCall (context: DialContext, { metadata }: { metadata?: Metadata }) {
  const { RETELL_AGENT_ID } = settings(context, 'RETELL_API_KEY', 'RETELL_AGENT_ID')
  const call = await create(context, (calls, options) => calls.createWebCall({ agent_id: RETELL_AGENT_ID, metadata }, options))
  return {
    callId: call.call_id,
    /** What the browser's `startCall` is given. */
    join: { callId: call.call_id, accessToken: call.access_token, transport: call.transport, iceServers: call.ice_servers }
  }
}

/** A call from a number that Retell has, to somebody's phone. */
export async function placePhoneCall (context: DialContext, { to, metadata }: { to: string, metadata?: Metadata }) {
  const { RETELL_AGENT_ID, RETELL_FROM_NUMBER } = settings(context, 'RETELL_API_KEY', 'RETELL_AGENT_ID', 'RETELL_FROM_NUMBER')
  const { call_id: callId } = await create(context, (calls, options) => calls.createPhoneCall(
    { from_number: RETELL_FROM_NUMBER, to_number: to, override_agent_id: RETELL_AGENT_ID, metadata }, options))
  return { callId }
}

/** Has Retell expect a call that your own telephony brings to it, within five minutes. */
export async function registerCall (context: DialContext, { direction, from, to, metadata }: OwnCall): Promise<string> {
  const { RETELL_AGENT_ID } = settings(context, 'RETELL_API_KEY', 'RETELL_AGENT_ID')
  const call = await create(context, (calls, options) => calls.registerPhoneCall({
    agent_id: RETELL_AGENT_ID,
    direction,
    ...(from !== undefined && { from_number: from }),
    ...(to !== undefined && { to_number: to }),
    metadata
  }, options))
  return call.call_id
}
