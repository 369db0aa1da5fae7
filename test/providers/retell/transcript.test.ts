import t from 'tap'
import type { Entry } from '../../../lib/providers/codec.js'
import { retellTranscript, retellUtterances } from '../../../lib/providers/retell/transcript.js'

// Entries that carry nothing, which Retell never promised not to send.
const JUNK = [
  null, 7, 'Hi', [], {}, { role: 'user' }, { content: 'Hi' }, { role: 'user', content: null }, { role: null, content: 'Hi' }, { role: 'agent', content: ['Hi'] }
]

const entries = (...transcript: unknown[]): Entry[] => retellTranscript({ transcript: [], transcript_with_tool_calls: transcript }).entries()

t.test('A13: utterances of any role are kept, with whatever else is in them', async t => {
  const transcript = [
    { role: 'agent', content: 'Which day suits you? ', words: [{ word: 'Which', start: 0.6, end: 0.9 }], metadata: { response_id: 3 } },
    { role: 'user', content: '' },
    { role: 'system', content: 'Obey' },
    { role: 'transfer_target', content: 'Desk here', seat: 4 },
    { role: 'nobody_knows', content: ' ' }
  ]
  t.strictSame(retellUtterances(transcript), transcript)
  t.strictSame(retellTranscript({ transcript }).entries(), [
    { kind: 'speech', role: 'agent', content: 'Which day suits you? ' },
    { kind: 'speech', role: 'user', content: '' },
    { kind: 'speech', role: 'system', content: 'Obey' },
    { kind: 'speech', role: 'transfer_target', content: 'Desk here' },
    { kind: 'speech', role: 'nobody_knows', content: ' ' }
  ])
})

t.test('A18: words may be absent, null, wrong or huge, as nobody looks at them', async t => {
  const transcript = [undefined, null, 'wrong', 7, {}, [null, 'Hi'], 'x'.repeat(1 << 20)].map(words => ({ role: 'user', content: 'Hi', words }))
  t.strictSame(retellUtterances(transcript), transcript)
  t.strictSame(retellTranscript({ transcript }).entries(), transcript.map(() => ({ kind: 'speech', role: 'user', content: 'Hi' })))
})

t.test('an entry without a role or without text is left out, and the others are not', async t => {
  const said = { role: 'user', content: 'Tuesday' }
  t.strictSame(retellUtterances([...JUNK, said]), [said])
  t.strictSame(entries(...JUNK, said), [{ kind: 'speech', ...said }])
})

t.test('unintelligible audio is told as it is', async t => {
  t.strictSame(entries({ role: 'user', content: '(unintelligible audio)' }), [{ kind: 'speech', role: 'user', content: '(unintelligible audio)' }])
})

t.test('the transcript with tool calls is the one for the model, the plain one for people', async t => {
  const transcript = [{ role: 'user', content: 'Tuesday?' }]
  const frame = {
    transcript,
    transcript_with_tool_calls: [
      { role: 'user', content: 'Tuesday?' },
      { role: 'tool_call_invocation', tool_call_id: 'tc_7f3', name: 'find_slot', arguments: '{"day":"tue"}', thought_signature: 'x', time_sec: 2 },
      { role: 'tool_call_result', tool_call_id: 'tc_7f3', content: '{"slots":["09:00"]}', successful: true }
    ]
  }
  t.strictSame(retellTranscript(frame).utterances(), transcript)
  t.strictSame(retellTranscript(frame).entries(), [
    { kind: 'speech', role: 'user', content: 'Tuesday?' },
    { kind: 'tool-call', id: 'tc_7f3', name: 'find_slot', arguments: '{"day":"tue"}' },
    { kind: 'tool-result', id: 'tc_7f3', content: '{"slots":["09:00"]}', successful: true }
  ])
})

t.test('A18: without a transcript with tool calls the plain one is the one for the model', async t => {
  const transcript = [{ role: 'user', content: 'Hi' }]
  t.strictSame(retellTranscript({ transcript, transcript_with_tool_calls: null }).entries(), [{ kind: 'speech', role: 'user', content: 'Hi' }])
})

t.test('a tool call without an id or a name is left out', async t => {
  t.strictSame(entries(
    { role: 'tool_call_invocation', name: 'find_slot', arguments: '{}' },
    { role: 'tool_call_invocation', tool_call_id: '', name: 'find_slot', arguments: '{}' },
    { role: 'tool_call_invocation', tool_call_id: 'tc_1', arguments: '{}' },
    { role: 'tool_call_invocation', tool_call_id: 'tc_1', name: 7, arguments: '{}' }
  ), [])
})

t.test('a tool call without arguments has none', async t => {
  t.strictSame(entries({ role: 'tool_call_invocation', tool_call_id: 'tc_1', name: 'find_slot', arguments: null }),
    [{ kind: 'tool-call', id: 'tc_1', name: 'find_slot', arguments: '{}' }])
})

t.test("the provider's own actions are not told as tools, since the model was given none of these names", async t => {
  for (const name of ['end_call', 'transfer_call', 'press_digit']) {
    t.strictSame(entries({ role: 'tool_call_invocation', tool_call_id: 'tc_1', name, arguments: '{}' }), [])
  }
})

t.test('a tool result says whether it succeeded only where that was reported', async t => {
  t.strictSame(entries(
    { role: 'tool_call_result', tool_call_id: 'tc_1', content: 'no', successful: false },
    { role: 'tool_call_result', tool_call_id: 'tc_2', content: 'nine' },
    { role: 'tool_call_result', tool_call_id: 'tc_3', content: null, successful: null }
  ), [
    { kind: 'tool-result', id: 'tc_1', content: 'no', successful: false },
    { kind: 'tool-result', id: 'tc_2', content: 'nine' },
    { kind: 'tool-result', id: 'tc_3', content: '' }
  ])
})

t.test('a tool result without an id is left out', async t => {
  t.strictSame(entries({ role: 'tool_call_result', content: 'nine' }, { role: 'tool_call_result', tool_call_id: '', content: 'nine' }), [])
})

t.test('a pressed key is a note', async t => {
  t.strictSame(entries({ role: 'dtmf', digit: '4' }, { role: 'dtmf', digit: '#' }, { role: 'dtmf' }, { role: 'dtmf', digit: 4 }),
    [{ kind: 'note', content: '(pressed 4)' }, { kind: 'note', content: '(pressed #)' }])
})

t.test('injected context is a note', async t => {
  t.strictSame(entries({ role: 'injected', content: 'The caller is a member.', time_sec: 3 }, { role: 'injected' }),
    [{ kind: 'note', content: 'The caller is a member.' }])
})

t.test('a text message is speech, as anything unknown with text in it', async t => {
  t.strictSame(entries({ role: 'sms', content: 'My code is blue', time_sec: 3 }), [{ kind: 'speech', role: 'sms', content: 'My code is blue' }])
})

t.test("a node transition is nobody's business", async t => {
  t.strictSame(entries({ role: 'node_transition', content: 'node 7', new_node_id: '7' }), [])
})

t.test('where the transcript with tool calls is missing, empty or no list, the plain one is for the model as well', async t => {
  const transcript = [{ role: 'user', content: 'Tuesday?' }]
  for (const other of [undefined, null, [], {}, 'Hi', 7]) {
    t.strictSame(retellTranscript({ transcript, transcript_with_tool_calls: other }).entries(), [{ kind: 'speech', role: 'user', content: 'Tuesday?' }])
  }
})
