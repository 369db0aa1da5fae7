import t from 'tap'
import type { WebhookEvent } from '../../lib/index.js'
import { readMillisEvent, readRetellEvent } from '../../lib/webhooks/events.js'
import { redactedEvent } from '../../lib/webhooks/redaction.js'

const withoutDigits = (text: string): string => text.replaceAll(/\d/g, '#')

t.test('of Retell\'s webhooks what was said is redacted wherever it stands, and nothing else is', async t => {
  const event = readRetellEvent({
    event: 'call_ended',
    call: {
      call_id: 'call_1',
      from_number: '+15550100001',
      start_timestamp: 1_760_000_000_000,
      transcript: 'User: 007',
      transcript_object: [{ role: 'user', content: '007', words: [{ word: '007', start: 0.1 }] }],
      transcript_with_tool_calls: [{ role: 'tool_call_invocation', tool_call_id: 'tool_1', name: 'book2', arguments: '{"n":7}' }],
      call_analysis: { call_summary: 'He is 007.', user_sentiment: 'Neutral', custom_analysis_data: { code: '007', tags: ['7', null, 7] } }
    }
  })
  const { call, body, ...rest } = redactedEvent(event, withoutDigits) as typeof event
  t.strictSame(rest, { provider: 'retell', event: 'call_ended', callId: 'call_1' })
  t.strictSame(call, {
    call_id: 'call_1',
    from_number: '+15550100001',
    start_timestamp: 1_760_000_000_000,
    transcript: 'User: ###',
    transcript_object: [{ role: 'user', content: '###' }],
    transcript_with_tool_calls: [{ role: 'tool_call_invocation', tool_call_id: 'tool_1', name: 'book2', arguments: '{"n":#}' }],
    call_analysis: { call_summary: 'He is ###.', user_sentiment: 'Neutral', custom_analysis_data: { code: '###', tags: ['#', null, 7] } }
  } as unknown as typeof call)
  t.strictSame(body['call'], call)
  t.equal(event.call.transcript, 'User: 007', 'what came is left as it was')
})

t.test('so it is of Millis\', be the chat readable or not', async t => {
  for (const [chat, entries] of [['[{"role":"user","content":"007"}]', [{ role: 'user', content: '###' }]], ['[7', undefined]] as const) {
    const event = redactedEvent(readMillisEvent({ session_id: 'ses_1', chat, voip: { from: '+1555' }, duration: 7 }), withoutDigits)
    t.match(event, { callId: 'ses_1', chat: entries, call: { chat: withoutDigits(chat), voip: { from: '+1555' }, duration: 7 } } as WebhookEvent)
  }
})
