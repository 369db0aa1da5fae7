/**
 * Places calls. `POST /dial` has a provider call somebody, and from then on admits the id that the provider gave the call;
 * `POST /twilio/voice` takes calls to your Twilio number. See docs/placing-calls.md.
 */
import createError from '@fastify/error'
import type { FastifyInstance } from 'fastify'
import { ConfigError, Type } from 'fastify-voice-agent'
import { bearerCheck } from 'fastify-voice-agent/control'
import { placeMillisCall } from './dialling/millis.js'
import { placePhoneCall, placeWebCall } from './dialling/retell.js'
import { placeTwilioCall } from './dialling/twilio.js'
import { twilioVoice } from './dialling/twilio-voice.js'
import type { DialContext } from './dialling/vendor.js'

const WAYS = {
  'retell-phone': placePhoneCall,
  'retell-web': placeWebCall,
  'retell-twilio': placeTwilioCall,
  'millis-phone': placeMillisCall
}

/** A way to place a call: whose agent answers, and how it is reached. */
export type Way = keyof typeof WAYS

const DialBody = Type.Object({
  way: Type.Unsafe<Way>({ enum: Object.keys(WAYS) }),
  /** In E.164. Whom to call; nobody for a web call. */
  to: Type.Optional(Type.String({ pattern: '^\\+[1-9][0-9]{1,14}$' })),
  /** Given to the provider, and found again in `call.metadata`. */
  metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown()))
}, {
  if: { properties: { way: { enum: ['retell-web'] } } },
  else: { required: ['to'] }
})

/** What `POST /dial` is sent. */
export type DialRequest = typeof DialBody.static

/** The bearer token is not DIAL_TOKEN. */
const UnauthorizedError = createError<[]>('DIAL_ERR_UNAUTHORIZED', 'Unauthorized', 401)

/** Options of {@link dialling}. */
export interface DiallingOptions {
  /** Where the settings are. Default `process.env`. */
  readonly env?: DialContext['env']
  /** How long a vendor may take to answer, in ms. Default 60,000: who gives up early does not know whether a phone rings. */
  readonly timeoutMs?: number
}

/** The plugin. Each route exists only where the secrets that guard it are set. */
export async function dialling (app: FastifyInstance, { env = process.env, timeoutMs = 60_000 }: DiallingOptions): Promise<void> {
  const context: DialContext = { env, timeoutMs, log: app.log, admit: callId => app.admitCall(callId) }
  const { DIAL_TOKEN: token, TWILIO_AUTH_TOKEN: authToken, PUBLIC_URL: publicUrl } = env

  // Twilio's SDK would throw an error that quotes it.
  if (publicUrl && (!/^https?:\/\//.test(publicUrl) || !URL.canParse(publicUrl))) throw new ConfigError('PUBLIC_URL must be an http or https URL')
  if (authToken && publicUrl) app.register(twilioVoice, { context, authToken, publicUrl })
  if (!token) return
  const knowsToken = bearerCheck(token)

  app.post<{ Body: DialRequest }>('/dial', {
    schema: { body: DialBody },
    // Before the body is read.
    async onRequest (request) {
      if (!knowsToken(request)) throw new UnauthorizedError()
    }
  }, async ({ body, log }, reply) => {
    const { way, to = '', metadata } = body
    const placed = await WAYS[way]({ ...context, log }, { to, ...(metadata !== undefined && { metadata }) })
    log.info({ way, callId: placed.callId }, 'call placed')
    reply.code(201)
    return placed
  })
}
