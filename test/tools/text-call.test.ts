import t from 'tap'
import { readTextCall } from '../../lib/tools/text-call.js'

const NAMES = ['find', 'find_slots']

const READ: Array<[text: string, name: string, args: object]> = [
  ['<tool_call>{"name": "find", "arguments": {"day": "Friday"}}</tool_call>', 'find', { day: 'Friday' }],
  ['{"name":"find","parameters":{"day":"}"}}', 'find', { day: '}' }],
  ['{"name":"find","arguments":"{\\"day\\":1}"}', 'find', { day: 1 }],
  ['[TOOL_CALLS][{"name":"find","arguments":{}}]', 'find', {}],
  ['[TOOL_CALLS]find_slots[ARGS]{"a":1}', 'find_slots', { a: 1 }],
  ['<function=find_slots>{"a":1}</function>', 'find_slots', { a: 1 }],
  ['find({"day":"Friday"})', 'find', { day: 'Friday' }],
  ['<|tool_call_begin|>functions.find:0<|tool_call_argument_begin|>{"a":1}<|tool_call_end|>', 'find', { a: 1 }],
  ['<｜tool▁call▁begin｜>function<｜tool▁sep｜>find\n```json\n{"a":1}\n```<｜tool▁call▁end｜>', 'find', { a: 1 }],
  ['commentary to=functions.find <|constrain|>json<|message|>{"a":1}<|call|>', 'find', { a: 1 }]
]

for (const [text, name, args] of READ) {
  t.test(
    `a call: ${text}`, async t => t.strictSame(readTextCall(text, NAMES), { id: '', name, arguments: JSON.stringify(args), extra: {} })
  )
}

const NONE = [
  'find(day="Friday")', '{"day":"Friday"}', '{"name":"other","arguments":{}}', '{"name":"find","arguments":[]}', '{"name":"find","arguments":"{"}', '{"name":"find"}',
  '<tool_call>{"name":"find","arguments":{}', 'find_slots_v2({"a":1})', 'find find_slots {"a":1}', '[1]', '',
  '<tool_response>{"name":"find","arguments":{}}</tool_response>', '[AVAILABLE_TOOLS][{"name":"find","arguments":{}}]'
]

for (const text of NONE) {
  t.test(`no call: ${text}`, async t => t.equal(readTextCall(text, NAMES), undefined))
}
