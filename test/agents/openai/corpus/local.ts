/**
 * Servers that people run themselves.
 */
import {
  BONN, DONE, envelope, KIEL, MARKED, MARKED_SPOKEN, MARKED_WORDS, piece, THOUGHT, TIME, unspoken, type RecordedServer
} from './recording.js'

const MARKED_ANSWER = { words: MARKED_WORDS, spoken: MARKED_SPOKEN }
const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 }

const vllm = envelope('Qwen/Qwen3-32B', {}, { logprobs: null, stop_reason: null })
const llamaCpp = envelope('qwen3-8b', { system_fingerprint: 'b6000' })
const TIMINGS = { timings: { prompt_n: 20, predicted_n: 10, predicted_ms: 100 } }
const llamaBox = envelope('qwen3-8b', { usage: { ...USAGE, prompt_tokens_per_second: 100 } })
const mistralRs = envelope('default', { system_fingerprint: 'local' }, { logprobs: null })
const ollama = envelope('qwen3:8b', { system_fingerprint: 'fp_ollama' })
const cloud = envelope('gpt-oss:120b-cloud', { system_fingerprint: 'fp_ollama' })

export const local: readonly RecordedServer[] = [
  {
    name: 'vLLM (Doubleword)',
    differs: '`tool_calls: []` in each delta, `reasoning_content` or `reasoning`, `abort` for a `finish_reason`, errors of the kind `object: error`',
    recordings: [
      { about: 'words beside empty lists of tool calls', events: [vllm({ role: 'assistant', content: '' }), ...MARKED.map(content => vllm({ content, reasoning_content: null, tool_calls: [] })), vllm({ content: '', tool_calls: [] }, 'stop'), { ...vllm({}), choices: [], usage: USAGE }, DONE], ...MARKED_ANSWER },
      { about: 'words behind thoughts', events: [vllm({ reasoning: THOUGHT, tool_calls: [] }), vllm({ content: 'We open at nine.' }), vllm({}, 'stop'), DONE], words: 'We open at nine.' },
      { about: 'tool calls behind thoughts', events: [vllm({ reasoning_content: THOUGHT, tool_calls: [] }), vllm(piece(0, undefined, 'chatcmpl-tool-1', 'find')), vllm(piece(0, '{"city": "Kiel"')), vllm(piece(0, '}')), vllm(piece(1, undefined, 'chatcmpl-tool-2', 'time')), vllm(piece(1, '{}')), vllm({ content: '' }, 'tool_calls'), DONE], words: '', calls: [KIEL, TIME] },
      { about: 'an answer that is aborted', events: [vllm({ content: 'We open ' }), vllm({ content: '' }, 'abort'), DONE], words: 'We open ', fails: true },
      { about: 'an error in mid-answer', events: [vllm({ content: 'We open ' }), { object: 'error', message: 'engine died', type: 'InternalServerError', param: null, code: 500 }, DONE], words: 'We open ', fails: true, hasEnd: false },
      unspoken('thoughts in the text', vllm, ['<th', 'ink>\n', THOUGHT, '\n</think', '>\n\n', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('a tool call as text', vllm, ['One moment.', '\n<tool', '_call>\n', '{"name": "find", ', '"arguments": {"city": "Kiel"}}', '\n</tool_call>'], 'One moment.')
    ]
  },
  {
    name: 'llama.cpp',
    differs: '`error:` in place of `data:`, `timings`, arguments from an empty text on',
    recordings: [
      { about: 'words', events: [llamaCpp({ role: 'assistant', content: null }), ...MARKED.map(content => llamaCpp({ content })), llamaCpp({}, 'stop', TIMINGS), DONE], ...MARKED_ANSWER },
      { about: 'a tool call one character at a time', events: [llamaCpp(piece(0, '{', 'XNlc9FBxJ', 'find')), ...Array.from('"city":"Kiel"}', args => llamaCpp(piece(0, args))), llamaCpp({}, 'tool_calls', TIMINGS), DONE], words: '', calls: [KIEL] },
      { about: 'an error as a field', events: [llamaCpp({ content: 'We open ' }), 'error: {"code":500,"message":"context shift is disabled","type":"server_error"}\n\n'], words: 'We open ', fails: true, hasEnd: false },
      unspoken('a control token', llamaCpp, ['We open', ' at nine.', '<|im', '_end|>'], 'We open at nine.'),
      unspoken('channels without their marks', llamaCpp, ['analysis', THOUGHT, 'assistant', 'final', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('a call as a function', llamaCpp, ['One moment.', ' <function', '=find>', '{"city":"Kiel"}', '</function>'], 'One moment.')
    ]
  },
  {
    name: 'llama-box',
    differs: 'token counts and speeds in each chunk',
    recordings: [
      { about: 'words', events: [llamaBox({ role: 'assistant', content: '' }), ...MARKED.map(content => llamaBox({ content })), llamaBox({}, 'stop'), DONE], ...MARKED_ANSWER },
      { about: 'arguments as an object', events: [llamaBox(piece(0, { city: 'Kiel' }, 'call_1', 'find')), llamaBox({}, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'arguments that are null first', events: [llamaBox(piece(0, null, 'call_1', 'find')), llamaBox(piece(0, 'null')), llamaBox(piece(0, '{"city":"Kiel"}')), llamaBox({}, 'tool_calls'), DONE], words: '', calls: [KIEL] }
    ]
  },
  {
    name: 'mistral.rs',
    differs: 'tool calls whole beside an empty `content`, JSON within JSON',
    recordings: [
      { about: 'words', events: [...MARKED.map(content => mistralRs({ content, role: 'assistant' })), mistralRs({ content: '', role: 'assistant' }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'a tool call whole', events: [mistralRs({ content: '', role: 'assistant', tool_calls: [{ index: 0, id: 'call-5', type: 'function', function: { name: 'find', arguments: '{"city":"Kiel"}' } }] }, 'tool_calls', { usage: USAGE }), DONE], words: '', calls: [KIEL] },
      { about: 'arguments that are JSON within JSON', events: [mistralRs(piece(0, JSON.stringify('{"city":"Kiel"}'), 'call-5', 'find')), mistralRs({}, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      unspoken('a tool call as text', mistralRs, ['One moment.', ' [TOOL', '_CALLS]', 'find', '{"city":"Kiel"}'], 'One moment.')
    ]
  },
  {
    name: 'Ollama',
    differs: 'the role in each chunk, tool calls whole, `reasoning`',
    recordings: [
      { about: 'words', events: [ollama({ role: 'assistant', content: '', reasoning: THOUGHT }), ...MARKED.map(content => ollama({ role: 'assistant', content })), ollama({ role: 'assistant', content: '' }, 'stop'), DONE], ...MARKED_ANSWER },
      { about: 'tool calls whole', events: [ollama({ role: 'assistant', content: '', ...piece(0, '{"city":"Kiel"}', 'call_1', 'find') }), ollama({ role: 'assistant', content: '', ...piece(1, '{"city":"Bonn"}', 'call_2', 'find') }), ollama({ role: 'assistant', content: '' }, 'tool_calls'), DONE], words: '', calls: [KIEL, BONN] },
      { about: 'tool calls with one number and no ids', events: [ollama({ tool_calls: [{ index: 0, function: { name: 'find', arguments: '{"city":"Kiel"}' } }] }), ollama({ tool_calls: [{ index: 0, function: { name: 'time', arguments: '{}' } }] }), ollama({ role: 'assistant', content: '' }, 'stop'), DONE], words: '', calls: [KIEL, TIME] },
      unspoken('empty thoughts', ollama, ['<think>', '\n\n', '</think>', '\n\n', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('arguments as bare JSON', ollama, ['{"name": ', '"find", "parameters": ', '{"city": "Kiel"}}', '\n\nOne', ' moment.'], 'One moment.')
    ]
  },
  {
    name: 'Ollama cloud',
    differs: 'an error that is a text, arguments with all so far in each piece',
    recordings: [
      { about: 'words', events: [cloud({ role: 'assistant', content: '', reasoning: THOUGHT }), ...MARKED.map(content => cloud({ role: 'assistant', content })), cloud({ role: 'assistant', content: '' }, 'stop'), DONE], ...MARKED_ANSWER },
      { about: 'arguments with all so far in each piece', events: [cloud(piece(0, '{"ci', 'call_1', 'find')), cloud(piece(0, '{"city":"K')), cloud(piece(0, '{"city":"Kiel"}')), cloud({}, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'two calls in the arguments of one', events: [cloud(piece(0, '{"city":"Kiel"}', 'call_1', 'find')), cloud(piece(0, '{"city":"Bonn"}')), cloud({}, 'tool_calls'), DONE], words: '', calls: [KIEL, BONN] },
      { about: 'an error that is a text', events: [cloud({ content: 'We open ' }), { error: 'an error was encountered while running the model' }], words: 'We open ', fails: true, hasEnd: false },
      unspoken('channels', cloud, ['<|channel|>', 'analysis', '<|message|>', THOUGHT, '<|end|>', '<|start|>', 'assistant', '<|channel|>', 'final', '<|message|>', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('a call in a channel', cloud, ['<|channel|>final<|message|>', 'One moment.', '<|end|><|start|>assistant', '<|channel|>commentary to=', 'functions.find <|constrain|>json', '<|message|>', '{"city":"Kiel"}', '<|call|>'], 'One moment.')
    ]
  }
]
