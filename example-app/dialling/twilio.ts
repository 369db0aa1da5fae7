/**
 * Calls over your own Twilio number, answered by a Retell agent: Retell gives the call an id, and Twilio dials it by SIP.
 */
import { registerCall, type Metadata } from './retell.js'
import { answered, settings, type DialContext } from './vendor.js'

/** Loaded by whoever uses it: it takes some 150 ms and 25 MB. */
export async function loadTwilio () {
  return (await import('twilio')).default
}

type Twilio = Awaited<ReturnType<typeof loadTwilio>>

/** What Twilio is to do with a call: https://docs.retellai.com/deploy/custom-telephony, "Dial to SIP URI". */
export function dialRetell ({ twiml: { VoiceResponse } }: Twilio, callId: string): string {
  const response = new VoiceResponse()
  response.dial().sip(`sip:${callId}@sip.retellai.com`)
  return response.toString()
}

/** A call from your Twilio number to somebody's phone. Retell is dialled when it is answered. */
export async function placeTwilioCall (context: DialContext, { to, metadata }: { to: string, metadata?: Metadata }) {
  const { TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM_NUMBER: from } =
    settings(context, 'RETELL_API_KEY', 'RETELL_AGENT_ID', 'TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'TWILIO_FROM_NUMBER')
  const twilio = await loadTwilio()
  const client = twilio(TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, { timeout: context.timeoutMs, autoRetry: false })
  client.api.baseUrl = context.env['TWILIO_BASE_URL'] || client.api.baseUrl
  const callId = await registerCall(context, { direction: 'outbound', from, to, ...(metadata !== undefined && { metadata }) })
  const { sid } = await answered(context, 'Twilio', 'sid', client.calls.create({ to, from, twiml: dialRetell(twilio, callId) }))
  return { callId, twilioCallSid: sid }
}
