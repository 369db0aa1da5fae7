/**
 * `POST /twilio/voice`: what Twilio asks when somebody calls your Twilio number. The answer takes the call to Retell.
 */
import createError from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { Type } from 'fastify-voice-agent'
import { registerCall } from './retell.js'
import { dialRetell, loadTwilio } from './twilio.js'
import type { DialContext } from './vendor.js'

/** The request was not signed by Twilio, or for another URL than PUBLIC_URL. */
const SignatureError = createError<[]>('DIAL_ERR_SIGNATURE', 'X-Twilio-Signature does not fit TWILIO_AUTH_TOKEN and PUBLIC_URL', 403)

// What is used of what Twilio tells of a call.
const TwilioCall = Type.Object({
  CallSid: Type.String(),
  From: Type.Optional(Type.String()),
  To: Type.Optional(Type.String())
})

// Twilio gives up on an answer after 15 s.
const ANSWER_MS = 10_000

// After that a registered call is of no use.
const REGISTERED_MS = 300_000

/** Options of {@link twilioVoice}. */
export interface TwilioVoiceOptions {
  readonly context: DialContext
  readonly authToken: string
  /** Under which Twilio knows this server, as `https://voice.example.com`. Behind a proxy its own requests do not tell. */
  readonly publicUrl: string
}

/** The route. It loads Twilio's SDK. */
export async function twilioVoice (app: FastifyInstance, { context, authToken, publicUrl }: TwilioVoiceOptions): Promise<void> {
  const twilio = await loadTwilio()
  const base = publicUrl.replace(/\/$/, '')
  // Twilio may ask twice for one call, which Retell would count as two. By CallSid.
  const registered = new Map<string, Promise<string>>()

  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, async (_request: unknown, body: string) => {
    return Object.fromEntries(new URLSearchParams(body))
  })

  app.post<{ Body: typeof TwilioCall.static }>('/twilio/voice', {
    schema: { body: TwilioCall },
    async preHandler ({ headers, url, body }) {
      if (!twilio.validateRequest(authToken, String(headers['x-twilio-signature']), base + url, body)) throw new SignatureError()
    }
  }, async ({ body: { CallSid, From, To }, log }, reply) => {
    reply.type('text/xml')
    try {
      const asked = registered.get(CallSid) ?? register(CallSid, From, To)
      return dialRetell(twilio, await asked)
    } catch (err) {
      // Twilio would say that an application error has occurred.
      log.error({ err }, 'a caller was turned away')
      const response = new twilio.twiml.VoiceResponse()
      response.say('We are sorry, nobody can take your call right now. Please call again later.')
      return response.toString()
    }
  })

  function register (sid: string, from: string | undefined, to: string | undefined): Promise<string> {
    const hurried = { ...context, timeoutMs: Math.min(context.timeoutMs, ANSWER_MS) }
    const asked = registerCall(hurried, { direction: 'inbound', from: numberOf(from), to: numberOf(to) })
    const forget = () => registered.delete(sid)
    registered.set(sid, asked)
    asked.then(() => setTimeout(forget, REGISTERED_MS).unref(), forget)
    return asked
  }
}

// A caller may be `anonymous`, or a `client:`.
function numberOf (party: string | undefined): string | undefined {
  return party?.startsWith('+') ? party : undefined
}
