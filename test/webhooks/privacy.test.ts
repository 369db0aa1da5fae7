/**
 * Nothing that was said, no number and no key is in the log of a webhook, whatever becomes of it.
 */
import t from 'tap'
import type { WebhookEvent } from '../../lib/index.js'
import { setEnv } from '../helpers/env.js'
import { BEARER, KEY, SECRET, signed, withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

// Whatever must not be in the log holds one of these.
const CANARY = 'canary'
const NUMBER = '+14155550101'
const NEEDLES = [CANARY, '14155550101', KEY, SECRET]

t.test('a webhook leaves nothing in the log that anybody said', async t => {
  const quote = (value: unknown): never => { throw Object.assign(new Error(`no database for ${JSON.stringify(value)}`), { value, [CANARY]: CANARY }) }
  let isOdd = false
  const told: WebhookEvent[] = []
  const { app, logs, retell, millis, complaints } = await withWebhooks(t, {
    onWebhook: async event => {
      told.push(event)
      quote(event)
    },
    onInboundCall: call => isOdd ? { metadata: CANARY, dynamic_variables: { [CANARY]: CANARY } } as never : quote(call),
    onPrefetch: session => isOdd ? { extra_prompt: [CANARY], metadata: { [CANARY]: CANARY } } as never : quote(session)
  }, { level: 'info' })

  const call = { call_id: 'call_1', from_number: NUMBER, to_number: NUMBER, transcript: CANARY, transcript_object: [{ role: 'user', content: CANARY }], metadata: { [CANARY]: CANARY }, access_token: CANARY }
  for (const event of ['call_started', 'call_started', 'call_analyzed', CANARY]) t.equal((await retell({ event, call })).statusCode, 204)
  t.equal((await retell({ event: 'transfer_started', call, transfer_destination: { number: NUMBER } })).statusCode, 204)
  t.equal((await millis({ session_id: 'ses_1', chat: JSON.stringify([{ role: 'user', content: CANARY }]), voip: { from: NUMBER } })).statusCode, 204)
  t.equal((await millis({ session_id: 'ses_2', chat: `[${CANARY}` })).statusCode, 204)
  for (const odd of [false, true]) {
    isOdd = odd
    t.equal((await retell({ event: 'call_inbound', odd, call_inbound: { from_number: NUMBER, agent_id: CANARY } })).statusCode, 200)
    t.equal((await app.inject({ url: `/webhooks/millis?session_id=ses_1&from=${encodeURIComponent(NUMBER)}&name=${CANARY}`, headers: BEARER })).statusCode, 200)
  }

  // Refused.
  const body = `{"event":"${CANARY}"`
  for (const headers of [signed(body), signed(CANARY), signed(body, { at: 5 }), { 'x-retell-signature': CANARY }, {}]) {
    t.ok((await retell(body, headers as Record<string, string>)).statusCode >= 400)
  }
  for (const headers of [BEARER, { authorization: `Bearer ${CANARY}` }, {}]) {
    t.ok((await millis(body, headers as Record<string, string>)).statusCode >= 400)
  }
  for (const authorization of ['', CANARY, `Bearer ${CANARY}`]) {
    t.equal((await app.inject({ url: `/webhooks/millis?from=${NUMBER}&name=${CANARY}`, headers: { authorization } })).statusCode, 401)
  }
  t.equal((await app.inject({ method: 'POST', url: `/webhooks/retell?name=${CANARY}`, remoteAddress: '192.0.2.1' })).statusCode, 403)

  await app.close()
  t.equal(told.length, 6)
  for (const needle of NEEDLES) t.strictSame(logs.filter(line => JSON.stringify(line).toLowerCase().includes(needle)), [], needle)
  t.strictSame([...new Set(complaints())].sort(), [
    'onInboundCall failed', 'onPrefetch failed', 'onWebhook failed',
    'refused: The webhook is not JSON',
    'refused: address is not on the allowlist',
    "refused: no Authorization header: let the webhook's headers have one, Bearer and the secret",
    'refused: no x-retell-signature header',
    'refused: the Authorization header is not Bearer and MILLIS_WEBHOOK_SECRET (option millis.webhookSecret)',
    'refused: the signature is too old, or the clock of this machine is wrong',
    'refused: the signature is wrong: is RETELL_API_KEY (option retell.apiKey) the key with the webhook badge?',
    'refused: the x-retell-signature header is malformed',
    'the chat of a call cannot be read: it is in event.call as it was sent'
  ], 'all that could have told')
  t.match(logs.find(({ msg }) => msg === 'incoming request'), { req: { method: 'POST', url: '/webhooks/retell', remoteAddress: '127.0.0.1' } })
})
