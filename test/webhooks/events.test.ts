/**
 * What is kept of events, and what members with odd names do.
 */
import t from 'tap'
import { millisNotice } from '../../lib/providers/millis/webhook-events.js'
import { retellNotice } from '../../lib/providers/retell/webhook-events.js'
import { setEnv } from '../helpers/env.js'
import { withWebhooks } from '../helpers/webhooks.js'

setEnv(t)

t.test('what an event is known by is of one length, however long its id and its destination are', async t => {
  const long = 'x'.repeat(1024 * 1024)
  const events = [
    retellNotice({ event: 'call_ended', call: { call_id: 'call_1' } }),
    retellNotice({ event: 'call_ended', call: { call_id: 'x'.repeat(256) } }),
    retellNotice({ event: 'transfer_started', call: { call_id: 'call_1' }, transfer_destination: { number: long } }),
    millisNotice({ session_id: 'x'.repeat(256) })
  ]
  const identities = events.map(({ identity }) => identity)
  t.strictSame(identities.map(identity => identity?.length), [44, 44, 44, 44])
  t.equal(new Set(identities).size, 4)
})

t.test('a body whose members are named like those of all objects changes no object but itself', async t => {
  const { retell, millis, allTold } = await withWebhooks(t, { redact: text => text.replace('canary', '[name]') })
  const odd = '"__proto__":{"polluted":"canary"},"constructor":{"prototype":{"polluted":"canary"}}'
  t.equal((await retell(`{"event":"call_ended","call":{"call_id":"call_1",${odd},"transcript_object":[{"content":"canary",${odd}}]},${odd}}`)).statusCode, 204)
  t.equal((await millis(`{"session_id":"ses_1","chat":[{"content":"canary",${odd}}],${odd}}`)).statusCode, 204)
  const told = await allTold()
  t.strictSame(told.map(({ callId }) => callId), ['call_1', 'ses_1'])
  t.equal(JSON.stringify(told[0]!.call['transcript_object']), `[{"content":"[name]",${odd.replaceAll('canary', '[name]')}}]`)
  t.equal(({} as { polluted?: string }).polluted, undefined)
  for (const { call } of told) t.equal((call as { polluted?: string }).polluted, undefined)
})
