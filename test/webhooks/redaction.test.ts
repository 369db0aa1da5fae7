import t, { type Test } from 'tap'
import type { RetellWebhookEvent, WebhookEvent } from '../../lib/index.js'
import { readMillisEvent, redactedMillisEvent } from '../../lib/providers/millis/webhook-events.js'
import { readRetellEvent, redactedRetellEvent } from '../../lib/providers/retell/webhook-events.js'

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
  const { call, body, ...rest } = redactedRetellEvent(event, withoutDigits)
  t.strictSame(rest, { provider: 'retell', event: 'call_ended', callId: 'call_1' })
  t.strictSame(call, {
    call_id: 'call_1',
    from_number: '+15550100001',
    start_timestamp: 1_760_000_000_000,
    transcript: 'User: ###',
    transcript_object: [{ role: 'user', content: '###' }],
    transcript_with_tool_calls: [{ role: 'tool_call_invocation', tool_call_id: 'tool_1', name: 'book2', arguments: '{"n":#}' }],
    call_analysis: { call_summary: 'He is ###.', user_sentiment: 'Neutral', custom_analysis_data: { code: '###', tags: ['#', null, '#'] } }
  } as unknown as typeof call)
  t.strictSame(body['call'], call)
  t.equal(event.call.transcript, 'User: 007', 'what came is left as it was')
})

t.test('so it is of Millis\', be the chat readable or not', async t => {
  for (const [chat, entries] of [['[{"role":"user","content":"007"}]', [{ role: 'user', content: '###' }]], ['[7', undefined]] as const) {
    const event = redactedMillisEvent(readMillisEvent({ session_id: 'ses_1', chat, voip: { from: '+1555' }, duration: 7 }), withoutDigits)
    t.match(event, { callId: 'ses_1', chat: entries, call: { chat: withoutDigits(chat), voip: { from: '+1555' }, duration: 7 } } as WebhookEvent)
  }
})

const withoutLongNumbers = (text: string): string => text.replaceAll(/\d{9,}/g, '#').replaceAll(/\bJohn\b/g, '*')

/** What is left of a call, or a chat, at Retell. */
function redactedCall (t: Test, call: object, key = 'call') {
  const event = redactedRetellEvent(readRetellEvent({ event: 'call_analyzed', [key]: call }), withoutLongNumbers) as RetellWebhookEvent
  t.strictSame(event.body[key], event.call)
  return event.call
}

t.test('of what was found out every member is redacted, by whatever name, and numbers are, too', t => {
  const custom = { name: 'John', id: '123456789', type: { role: 'John' }, card: 4_111_111_111_111_111, visits: 7, words: ['John'], digit: '123456789', isNew: true }
  const redacted = { name: '*', id: '#', type: { role: '*' }, card: '#', visits: 7, words: ['*'], digit: '#', isNew: true }
  for (const analysis of ['call_analysis', 'chat_analysis']) {
    t.strictSame(redactedCall(t, { [analysis]: { name: 'John', user_sentiment: 'Neutral', call_successful: true, custom_analysis_data: { ...custom, user_sentiment: 'John' } } }),
      { [analysis]: { name: '*', user_sentiment: 'Neutral', call_successful: true, custom_analysis_data: { ...redacted, user_sentiment: '*' } } })
  }
  t.strictSame(redactedCall(t, { collected_dynamic_variables: custom }), { collected_dynamic_variables: redacted })
  t.end()
})

t.test('of an entry its own name, id and time stay, and what was told to a tool does not', t => {
  const entries = (name: string, text: string, number: unknown) => [
    { role: 'tool_call_invocation', tool_call_id: '123456789', name: 'John', type: 'function', time_sec: 12.123456789, arguments: { name, id: text } },
    { role: 'tool_call_result', tool_call_id: '123456789', content: name, metadata: { name } },
    { role: 'sms', message_id: '123456789', created_timestamp: 1_760_000_000_000, content: name, id: { name }, card: number },
    { role: 'user', name: [name] },
    name
  ]
  for (const member of ['transcript_object', 'transcript_with_tool_calls', 'scrubbed_transcript_with_tool_calls', 'message_with_tool_calls', 'function_calls']) {
    t.strictSame(redactedCall(t, { [member]: entries('John', '123456789', 123_456_789) }), { [member]: entries('*', '#', '#') }, member)
  }
  t.end()
})

t.test('of keys that were pressed it is told when, and not which', t => {
  const pressed = (digit?: string) => ({ role: 'dtmf', time_sec: 3, ...(digit !== undefined && { digit }) })
  t.strictSame(redactedCall(t, { transcript_with_tool_calls: [...'4111'].map(pressed) }), { transcript_with_tool_calls: Array(4).fill(pressed()) })
  t.end()
})

t.test('what the app attached stays, and so does a chat at Retell but for its words', t => {
  const attached = { metadata: { transcript: 'John', words: 5 }, retell_llm_dynamic_variables: { chat: 'John' }, custom_attributes: { transcript: 123_456_789 } }
  const cost = { product_costs: [{ product: 'John', cost: 123_456_789 }] }
  const chat = { chat_id: '123456789', start_timestamp: 1_760_000_000_000, words: 'John', chat_cost: cost, ...attached }
  t.strictSame(redactedCall(t, { ...chat, transcript: 'John' }, 'chat'), { ...chat, transcript: '*' } as unknown as RetellWebhookEvent['call'])
  t.end()
})

t.test('of Millis\' webhooks the tools and the error are redacted, and the chat as the text that it is', t => {
  const chat = (content: string) => [{ role: 'user', content }]
  const sent = { session_id: 'ses_1', chat: JSON.stringify(chat('I am\nJohn')), function_calls: [{ name: 'John', params: { name: 'John' } }], error_message: 'no tool for John', metadata: { name: 'John' } }
  t.strictSame(redactedMillisEvent(readMillisEvent(sent), withoutLongNumbers), {
    provider: 'millis',
    event: 'call_ended',
    callId: 'ses_1',
    chat: chat('I am\n*'),
    call: { ...sent, chat: JSON.stringify(chat('I am\n*')), function_calls: [{ name: 'John', params: { name: '*' } }], error_message: 'no tool for *' }
  })
  t.match(redactedMillisEvent(readMillisEvent({ chat: { said: 'John' } }), withoutLongNumbers), { chat: undefined, call: { chat: { said: '*' } } })
  t.end()
})
