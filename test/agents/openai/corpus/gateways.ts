/**
 * Servers that host, or pass on to, models of others.
 */
import {
  BONN, DONE, envelope, KIEL, MARKED, MARKED_SPOKEN, MARKED_WORDS, piece, THOUGHT, TIME, unspoken, type RecordedServer
} from './recording.js'

const MARKED_ANSWER = { words: MARKED_WORDS, spoken: MARKED_SPOKEN }
const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 }

const openrouter = envelope('anthropic/claude-haiku-4.5', { provider: 'Anthropic' }, { native_finish_reason: null, logprobs: null })
const PROCESSING = ': OPENROUTER PROCESSING\n\n'

const vercel = envelope('openai/gpt-4.1-mini', { system_fingerprint: 'fp_4' })
const copilot = envelope('claude-sonnet-4', {}, { content_filter_offsets: { check_offset: 0, start_offset: 0, end_offset: 0 } })

const groq = envelope('openai/gpt-oss-20b', { system_fingerprint: 'fp_5' }, { logprobs: null })
const cerebras = envelope('gpt-oss-120b', { system_fingerprint: 'fp_6' })
const TIMES = { time_info: { queue_time: 0.1, prompt_time: 0.1, completion_time: 0.1 } }

const huggingFace = (delta: object, reason: string | null = null): string => `data:${JSON.stringify(envelope('meta-llama/Llama-3.3-70B-Instruct', { system_fingerprint: '3.2.1-sha' }, { logprobs: null })(delta, reason))}\n\n`
const snowflake = (text: string): object => ({ id: '1', created: 1, model: 'mistral-large2', choices: [{ delta: { type: 'text', content: text, content_list: [{ type: 'text', text }], text } }], usage: {} })
const cortex = envelope('claude-4-sonnet')
const crusoe = envelope('deepseek-ai/DeepSeek-V3', {}, { logprobs: null, stop_reason: null, token_ids: null })
const venice = envelope('venice-uncensored', {}, { logprobs: null })
const avian = envelope('deepseek/deepseek-v3.2')

export const gateways: readonly RecordedServer[] = [
  {
    name: 'OpenRouter',
    differs: 'comments while it waits, `reasoning` and `reasoning_details`, errors in mid-answer beside the `finish_reason` `error`',
    recordings: [
      { about: 'words between comments', events: [PROCESSING, PROCESSING, openrouter({ role: 'assistant', content: '', reasoning: THOUGHT, reasoning_details: [{ type: 'reasoning.text', text: THOUGHT, index: 0 }] }), ...MARKED.map(content => openrouter({ role: 'assistant', content })), PROCESSING, openrouter({ role: 'assistant', content: '' }, 'stop'), openrouter({ role: 'assistant', content: '' }, null, { usage: { ...USAGE, cost: 0.1 } }), DONE], ...MARKED_ANSWER },
      { about: 'a tool call', events: [PROCESSING, openrouter({ role: 'assistant', content: null, ...piece(0, '', 'toolu_1', 'find') }), openrouter({ role: 'assistant', content: null, ...piece(0, '{"city": "Ki') }), openrouter({ role: 'assistant', content: null, ...piece(0, 'el"}') }), openrouter({ role: 'assistant', content: '' }, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'an empty object ahead of the arguments of a tool call', events: [openrouter({ content: '', ...piece(0, '{}', 'tool_0_find', 'find') }), openrouter({ content: '', ...piece(0, '{"city":"Kiel"}') }), openrouter({ content: '' }, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'an error in mid-answer', events: [openrouter({ content: 'We open ' }), { ...openrouter({ content: '' }, 'error'), error: { code: 502, message: 'Provider disconnected' } }], words: 'We open ', fails: true, hasEnd: false },
      { about: 'an error in the choice', events: [openrouter({ content: 'We open ' }), { choices: [{ index: 0, delta: { content: '' }, error: { code: 429, message: 'Rate limited' }, finish_reason: 'error' }] }], words: 'We open ', fails: true, hasEnd: false }
    ]
  },
  {
    name: 'Vercel AI Gateway',
    differs: 'facts of the route in the last chunk, `event: error`',
    recordings: [
      { about: 'words', events: [vercel({ role: 'assistant', content: '' }), ...MARKED.map(content => vercel({ content })), vercel({ content: '', provider_metadata: { gateway: { cost: '0.1' } } }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'tool calls, each with an index', events: [vercel(piece(0, '', 'call_1', 'find')), vercel(piece(0, '{"city":"Kiel"}')), vercel(piece(1, '', 'call_2', 'time')), vercel({}, 'tool_calls'), DONE], words: '', calls: [KIEL, TIME] },
      { about: 'an error event', events: [vercel({ content: 'We open ' }), 'event: error\ndata: {"error":{"message":"upstream failed","type":"internal_server_error"}}\n\n'], words: 'We open ', fails: true, hasEnd: false }
    ]
  },
  {
    name: 'Copilot',
    differs: 'reports of a filter, one number for several tool calls',
    recordings: [
      { about: 'words', events: [{ choices: [], created: 0, id: '', prompt_filter_results: [] }, copilot({ content: '', role: 'assistant' }), ...MARKED.map(content => copilot({ content, role: 'assistant' })), copilot({ content: null, role: 'assistant' }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'tool calls with one number', events: [copilot({ content: 'Let me see.' }), copilot({ content: null, ...piece(0, '{"city":"Kiel"}', 'tooluse_1', 'find') }), copilot({ content: null, ...piece(0, '{"city":"Bonn"}', 'tooluse_2', 'find') }), copilot({ content: null }, 'tool_calls'), DONE], words: 'Let me see.', calls: [KIEL, BONN] }
    ]
  },
  {
    name: 'Groq',
    differs: 'token counts in `x_groq`, tool calls whole, `reasoning`, names with marks of a channel',
    recordings: [
      { about: 'words', events: [groq({ role: 'assistant', content: '' }, null, { x_groq: { id: 'req_1' } }), groq({ channel: 'analysis', reasoning: THOUGHT }), ...MARKED.map(content => groq({ channel: 'final', content })), groq({}, 'stop', { x_groq: { id: 'req_1', usage: USAGE } }), DONE], ...MARKED_ANSWER },
      { about: 'tool calls whole', events: [groq({ role: 'assistant', content: null }), groq({ tool_calls: [{ id: 'fc_1', type: 'function', function: { name: 'find', arguments: '{"city":"Kiel"}' }, index: 0 }, { id: 'fc_2', type: 'function', function: { name: 'find', arguments: '{"city":"Bonn"}' }, index: 1 }] }), groq({}, 'tool_calls', { x_groq: { usage: USAGE } }), DONE], words: '', calls: [KIEL, BONN] },
      { about: 'a name with marks of a channel', events: [groq(piece(0, '{"city":"Kiel"}', 'fc_1', 'find<|channel|>commentary')), groq({}, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'an error in mid-answer', events: [groq({ content: 'We open ' }), 'event: error\ndata: {"error":{"message":"over capacity","type":"internal_server_error","status_code":503}}\n\n'], words: 'We open ', fails: true, hasEnd: false },
      unspoken('thoughts in the text', groq, ['<think>\n', THOUGHT, '\n</think>\n\n', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('a call as a function', groq, ['One moment. ', '<function=find>', '{"city": "Kiel"}', '</function>'], 'One moment.')
    ]
  },
  {
    name: 'Cerebras',
    differs: 'times in the last chunk, tool calls whole',
    recordings: [
      { about: 'words', events: [cerebras({ role: 'assistant' }), cerebras({ reasoning: THOUGHT }), ...MARKED.map(content => cerebras({ content })), cerebras({}, 'stop', { usage: USAGE, ...TIMES }), DONE], ...MARKED_ANSWER },
      { about: 'a tool call whole', events: [cerebras({ role: 'assistant', tool_calls: [{ function: { name: 'find', arguments: '{"city":"Kiel"}' }, type: 'function', id: '8a1b2c3d4', index: 0 }] }), cerebras({}, 'tool_calls', { usage: USAGE, ...TIMES }), DONE], words: '', calls: [KIEL] },
      { about: 'an error as one event', events: [cerebras({ content: 'We open ' }), { error: { message: 'Encountered a server error', type: 'server_error', param: '', code: '' }, status_code: 500 }], words: 'We open ', fails: true, hasEnd: false }
    ]
  },
  {
    name: 'Hugging Face',
    differs: 'no blank behind `data:`, a single tool call in place of a list, `eos_token` for a `finish_reason`',
    recordings: [
      { about: 'words', events: [...MARKED.map(content => huggingFace({ role: 'assistant', content })), huggingFace({ role: 'assistant', content: '' }, 'eos_token'), 'data: [DONE]\n\n'], ...MARKED_ANSWER },
      { about: 'a tool call that is in no list', events: [...['{"city"', ':"Kiel"', '}'].map(args => huggingFace({ role: 'assistant', tool_calls: { index: 0, id: '0', type: 'function', function: { name: 'find', arguments: args } } })), huggingFace({ role: 'assistant', content: '' }, 'stop'), 'data:[DONE]\n\n'], words: '', calls: [KIEL] },
      { about: 'an error without a choice', events: [huggingFace({ role: 'assistant', content: 'We open ' }), 'data:{"error":"Request failed during generation","error_type":"generation"}\n\n'], words: 'We open ', fails: true, hasEnd: false }
    ]
  },
  {
    name: 'Snowflake Cortex',
    differs: 'the text three times in each delta, neither `finish_reason` nor `[DONE]` at its older address',
    recordings: [
      { about: 'words without an end', events: MARKED.map(snowflake), ...MARKED_ANSWER, hasEnd: false },
      { about: 'words with an end', events: [...MARKED.map(content => cortex({ role: 'assistant', content })), cortex({}, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'a tool call', events: [cortex({ role: 'assistant', content: '', ...piece(0, '', 'tooluse_1', 'find') }), cortex(piece(0, '{"city": "Kiel"}')), cortex({}, 'tool_use'), DONE], words: '', calls: [KIEL] }
    ]
  },
  {
    name: 'Crusoe',
    differs: 'members of vLLM beside each word',
    recordings: [
      { about: 'words', events: [crusoe({ role: 'assistant', content: '' }), ...MARKED.map(content => crusoe({ content, reasoning_content: null })), crusoe({ content: '' }, 'stop'), DONE], ...MARKED_ANSWER },
      { about: 'a tool call whose arguments come once more', events: [crusoe(piece(0, '', 'chatcmpl-tool-1', 'find')), crusoe(piece(0, '{"city": ')), crusoe(piece(0, '"Kiel"}')), crusoe(piece(0, '{"city": "Kiel"}')), crusoe({}, 'tool_calls'), DONE], words: '', calls: [KIEL] }
    ]
  },
  {
    name: 'Venice',
    differs: 'parameters of its own in the first chunk, sources',
    recordings: [
      { about: 'words', events: [venice({ role: 'assistant', content: '' }, null, { venice_parameters: { enable_web_search: 'off', web_search_citations: [] } }), ...MARKED.map(content => venice({ content })), venice({}, 'stop'), { ...venice({}), choices: [], usage: USAGE }, DONE], ...MARKED_ANSWER },
      { about: 'a tool call with an empty list ahead', events: [venice({ role: 'assistant', content: '', tool_calls: [] }), venice(piece(0, '{"city":"Kiel"}', 'call_1', 'find')), venice({ tool_calls: [] }, 'tool_calls'), DONE], words: '', calls: [KIEL] }
    ]
  },
  {
    name: 'Avian',
    differs: '`tool_calls: null` in each delta',
    recordings: [
      { about: 'words', events: [avian({ role: 'assistant', content: '', tool_calls: null }), ...MARKED.map(content => avian({ content, tool_calls: null, function_call: null })), avian({ content: '', tool_calls: null }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'a completion that does not stream', events: [JSON.stringify({ object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: 'We open at nine.' }, finish_reason: 'stop' }], usage: USAGE })], words: 'We open at nine.', hasEnd: false }
    ]
  }
]
