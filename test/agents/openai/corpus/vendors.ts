/**
 * Servers of those who make models.
 */
import {
  BONN, DONE, envelope, KIEL, MARKED, MARKED_SPOKEN, MARKED_WORDS, piece, THOUGHT, TIME, unspoken, type RecordedServer
} from './recording.js'

const MARKED_ANSWER = { words: MARKED_WORDS, spoken: MARKED_SPOKEN }
const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 }

const openai = envelope('gpt-4.1-mini', { service_tier: 'default', system_fingerprint: 'fp_1', usage: null }, { logprobs: null })
const padded = (delta: object, reason: string | null = null): object => ({ ...openai(delta, reason), obfuscation: 'x4Kq'.repeat(1 + JSON.stringify(delta).length % 3) })
const OPENAI_END = [openai({}, 'stop'), { ...openai({}), choices: [], usage: USAGE }, DONE]

const azure = envelope('gpt-4.1-mini', { system_fingerprint: 'fp_1' }, { logprobs: null, content_filter_results: { hate: { filtered: false, severity: 'safe' } } })
const AZURE_START = { id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: [{ prompt_index: 0, content_filter_results: {} }] }
const AZURE_OFFSETS = { id: '', object: '', created: 0, model: '', choices: [{ index: 0, finish_reason: null, content_filter_results: {}, content_filter_offsets: { check_offset: 1 } }] }

const deepseek = envelope('deepseek-reasoner', { system_fingerprint: 'fp_2' }, { logprobs: null })
const thoughtful = (content: string | null, thought: string | null): object => ({ content, reasoning_content: thought })

const mistral = envelope('magistral-medium')
const thinking = (text: string): object => ({ type: 'thinking', thinking: [{ type: 'text', text }] })

const xai = envelope('grok-4', { system_fingerprint: 'fp_3' })
const zai = envelope('glm-4.6')
const moonshot = envelope('kimi-k2', { system_fingerprint: 'fpv0_1' })
const alibaba = envelope('qwen-plus', { usage: null, system_fingerprint: null }, { logprobs: null })

const perplexity = (content: string, whole: string, reason: string | null = null): object => ({
  ...envelope('sonar', { usage: { ...USAGE, search_context_size: 'low' }, citations: ['https://example.com/a'], search_results: [] },
    { message: { role: 'assistant', content: whole } })({ role: 'assistant', content }, reason),
  object: reason === null ? 'chat.completion.chunk' : 'chat.completion.done'
})

/** Each word with all before it. */
function growing (words: readonly string[]): Array<readonly [word: string, whole: string]> {
  return words.map((word, index) => [word, words.slice(0, index + 1).join('')])
}

const writer = envelope('palmyra-x5', { service_tier: null, system_fingerprint: 'v1' }, { logprobs: null, message: null })
const writerDelta = (content: string | null, calls: unknown = null): object => ({ content, role: 'assistant', tool_calls: calls, graph_data: { sources: null, status: null }, llm_data: null, refusal: null })

export const vendors: readonly RecordedServer[] = [
  {
    name: 'OpenAI',
    differs: 'the reference; pads each chunk (`obfuscation`) and counts tokens in a last chunk without a choice',
    recordings: [
      { about: 'words in padded chunks', events: [padded({ role: 'assistant', content: '', refusal: null }), ...MARKED.map(content => padded({ content })), ...OPENAI_END], ...MARKED_ANSWER },
      { about: 'a refusal', events: [openai({ role: 'assistant', content: '', refusal: null }), openai({ refusal: 'I cannot ' }), openai({ refusal: 'do that.' }), ...OPENAI_END], words: 'I cannot do that.' },
      {
        about: 'words, and a tool call in pieces',
        events: [openai({ role: 'assistant', content: null }), openai({ content: 'Let me see.' }), openai(piece(0, '', 'call_1', 'find')), openai(piece(0, '{"ci')), openai(piece(0, 'ty":"Kiel"}')), openai({}, 'tool_calls'), DONE],
        words: 'Let me see.',
        calls: [KIEL]
      },
      {
        about: 'three tool calls in turns',
        events: [openai(piece(0, '', 'call_1', 'find')), openai(piece(0, '{"city":"Kiel"}')), openai(piece(1, '', 'call_2', 'find')), openai(piece(1, '{"city":"Bonn"}')), openai(piece(2, '', 'call_3', 'time')), openai(piece(2, '{}')), openai({}, 'tool_calls'), DONE],
        words: '',
        calls: [KIEL, BONN, TIME]
      },
      { about: 'a filter in mid-answer', events: [openai({ content: 'I will ' }), openai({}, 'content_filter'), DONE], words: 'I will ', fails: true },
      unspoken('marks of sources', openai, ['We open at nine', '【4:', '0†hours', '.pdf】', '.'], 'We open at nine.'),
      unspoken('LaTeX', openai, ['That is ', '\\(', '12', '\\)', ' euros.'], 'That is 12 euros.')
    ]
  },
  {
    name: 'Azure OpenAI',
    differs: 'reports of its filter in chunks without a choice or a delta, and in each choice',
    recordings: [
      { about: 'words between reports of the filter', events: [AZURE_START, azure({ role: 'assistant', content: '' }), ...MARKED.map(content => azure({ content })), AZURE_OFFSETS, azure({}, 'stop'), AZURE_OFFSETS, DONE], ...MARKED_ANSWER },
      { about: 'a tool call', events: [AZURE_START, azure({ role: 'assistant', content: null, ...piece(0, '', 'call_1', 'find') }), azure(piece(0, '{"city":')), azure(piece(0, '"Kiel"}')), AZURE_OFFSETS, azure({}, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'a filter that stops the answer', events: [AZURE_START, azure({ content: 'I will ' }), { choices: [{ index: 0, finish_reason: 'content_filter', content_filter_results: { hate: { filtered: true } } }] }, DONE], words: 'I will ', fails: true }
    ]
  },
  {
    name: 'DeepSeek',
    differs: 'comments while it thinks, `reasoning_content` beside `content`, token counts in the last chunk, `insufficient_system_resource`',
    recordings: [
      { about: 'words behind thoughts', events: [': keep-alive\n\n', deepseek({ role: 'assistant', content: '' }), ...THOUGHT.split(' ').map(word => deepseek(thoughtful(null, word))), ': keep-alive\n\n', ...MARKED.map(word => deepseek(thoughtful(word, null))), deepseek(thoughtful('', null), 'stop', { usage: { ...USAGE, prompt_cache_hit_tokens: 8 } }), DONE], ...MARKED_ANSWER },
      { about: 'a tool call behind thoughts', events: [deepseek(thoughtful(null, THOUGHT)), deepseek(piece(0, '', 'call_00_1', 'find')), deepseek(piece(0, '{"')), deepseek(piece(0, 'city": "Kiel"}')), deepseek({ content: '', reasoning_content: null }, 'tool_calls', { usage: USAGE }), DONE], words: '', calls: [KIEL] },
      { about: 'an answer that its server gives up', events: [deepseek(thoughtful('We open ', null)), deepseek(thoughtful('', null), 'insufficient_system_resource'), DONE], words: 'We open ', fails: true },
      unspoken('thoughts in the text', deepseek, ['<think>', THOUGHT, '</think>', '\n', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('a tool call as text', deepseek, ['One moment.', '<｜tool▁calls▁begin｜>', '<｜tool▁call▁begin｜>function', '<｜tool▁sep｜>find\n```json\n', '{"city":"Kiel"}', '\n```<｜tool▁call▁end｜>', '<｜tool▁calls▁end｜>'], 'One moment.')
    ]
  },
  {
    name: 'Mistral',
    differs: '`content` as a list of parts while it thinks, the last word and `finish_reason` in one chunk, tool calls whole',
    recordings: [
      { about: 'the first words in a list of parts', events: [mistral({ role: 'assistant', content: '' }), mistral({ content: [thinking('12 * 12 is ')] }), mistral({ content: [thinking('144.'), { type: 'text', text: '1' }] }), mistral({ content: '4' }), mistral({ content: '4' }, 'stop', { usage: USAGE }), DONE], words: '144' },
      { about: 'all words in lists of parts', events: [mistral({ content: [thinking(THOUGHT)] }), ...MARKED.map(text => mistral({ content: [{ type: 'text', text }] })), mistral({ content: '' }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'padded chunks', events: [mistral({ role: 'assistant', content: '' }, null, { p: 'abc' }), ...MARKED.map((content, index) => mistral({ content }, null, { p: 'abcdefghijk'.slice(index) })), mistral({ content: '' }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'tool calls whole', events: [mistral({ role: 'assistant', content: '' }), mistral({ content: '', tool_calls: [{ id: 'D681PevKs', function: { name: 'find', arguments: '{"city": "Kiel"}' }, index: 0 }, { id: 'aB3dE5fG7', function: { name: 'time', arguments: '{}' }, index: 1 }] }, 'tool_calls', { usage: USAGE }), DONE], words: '', calls: [KIEL, TIME] }
    ]
  },
  {
    name: 'xAI',
    differs: 'the role in each chunk, `reasoning_content`, tool calls whole, `citations`',
    recordings: [
      { about: 'words behind thoughts', events: [xai({ role: 'assistant', reasoning_content: THOUGHT }), ...MARKED.map(content => xai({ role: 'assistant', content })), xai({ role: 'assistant', content: '' }, 'stop'), { ...xai({}), choices: [], usage: USAGE, citations: [] }, DONE], ...MARKED_ANSWER },
      { about: 'words, and tool calls whole', events: [xai({ role: 'assistant', content: 'Let me see.' }), xai({ role: 'assistant', ...piece(0, '{"city":"Kiel"}', 'call_73', 'find') }), xai({ role: 'assistant', ...piece(1, '{"city":"Bonn"}', 'call_74', 'find') }), xai({ role: 'assistant', content: '' }, 'tool_calls'), DONE], words: 'Let me see.', calls: [KIEL, BONN] }
    ]
  },
  {
    name: 'Z.ai',
    differs: '`reasoning_content`, tool calls whole or in pieces, `network_error` and `sensitive` for a `finish_reason`',
    recordings: [
      { about: 'words behind thoughts', events: [zai({ role: 'assistant', reasoning_content: THOUGHT }), ...MARKED.map(content => zai({ role: 'assistant', content })), zai({ role: 'assistant', content: '' }, 'stop', { usage: USAGE }), DONE], ...MARKED_ANSWER },
      { about: 'a tool call', events: [zai({ role: 'assistant', content: '\n' }), zai({ role: 'assistant', ...piece(0, '{"city":"Kiel"}', 'call_-8001', 'find') }), zai({ role: 'assistant', content: '' }, 'tool_calls', { usage: USAGE }), DONE], words: '', calls: [KIEL] },
      { about: 'an answer that breaks off', events: [zai({ content: 'We open ' }), zai({ content: '' }, 'network_error'), DONE], words: 'We open ', fails: true },
      { about: 'an answer that is stopped as sensitive', events: [zai({ content: 'We open ' }), zai({ content: '' }, 'sensitive'), DONE], words: 'We open ', fails: true },
      unspoken('a box', zai, ['We open at ', '<|begin_of', '_box|>nine', '<|end_of_box|>', '.'], 'We open at nine.'),
      unspoken('a tool call as text', zai, ['One moment.\n', '<tool_call>', 'find\n', '<arg_key>city</arg_key>', '\n<arg_value>Kiel</arg_value>\n', '</tool_call>'], 'One moment.')
    ]
  },
  {
    name: 'Moonshot',
    differs: 'token counts in the last choice, ids of tool calls that name the function (`functions.find:0`)',
    recordings: [
      { about: 'words', events: [moonshot({ role: 'assistant', content: '' }), ...MARKED.map(content => moonshot({ content })), { ...moonshot({}), choices: [{ index: 0, delta: {}, finish_reason: 'stop', usage: USAGE }] }, DONE], ...MARKED_ANSWER },
      { about: 'tool calls', events: [moonshot({ role: 'assistant', content: '' }), moonshot({ reasoning_content: THOUGHT }), moonshot(piece(0, '', 'functions.find:0', 'find')), moonshot(piece(0, '{"city":')), moonshot(piece(0, ' "Kiel"}')), moonshot(piece(1, '', 'functions.time:1', 'time')), moonshot(piece(1, '{}')), moonshot({}, 'tool_calls'), DONE], words: '', calls: [KIEL, TIME] },
      { about: 'a name with its namespace', events: [moonshot(piece(0, '{"city":"Kiel"}', 'functions.find:0', 'functions.find')), moonshot({}, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      unspoken('thoughts in the text', moonshot, ['◁think▷', THOUGHT, '◁/think▷', 'We open', ' at nine.'], 'We open at nine.'),
      unspoken('a tool call as text', moonshot, ['One moment.', '<|tool_calls_section_begin|>', '<|tool_call_begin|>functions.find:0', '<|tool_call_argument_begin|>{"city":', '"Kiel"}<|tool_call_end|>', '<|tool_calls_section_end|>'], 'One moment.')
    ]
  },
  {
    name: 'Alibaba',
    differs: 'empty ids and names behind the first piece of a tool call, `null` members, `reasoning_content`',
    recordings: [
      { about: 'words behind thoughts', events: [alibaba({ content: null, role: 'assistant', reasoning_content: '' }), alibaba({ content: null, reasoning_content: THOUGHT }), ...MARKED.map(content => alibaba({ content, reasoning_content: null })), alibaba({ content: '', reasoning_content: null }, 'stop'), { ...alibaba({}), choices: [], usage: USAGE }, DONE], ...MARKED_ANSWER },
      { about: 'a tool call', events: [alibaba({ content: null, role: 'assistant', tool_calls: [{ index: 0, id: 'call_f7', type: 'function', function: { name: 'find', arguments: '' } }] }), ...['{"city"', ': "', 'Kiel', '"}', ''].map(args => alibaba({ content: null, tool_calls: [{ index: 0, id: '', type: 'function', function: { name: '', arguments: args } }] })), alibaba({ content: '' }, 'tool_calls'), DONE], words: '', calls: [KIEL] },
      { about: 'an error event', events: [alibaba({ content: 'We open ' }), 'event: error\ndata: {"code":"DataInspectionFailed","message":"stopped"}\n\n'], words: 'We open ', fails: true, hasEnd: false }
    ]
  },
  {
    name: 'Perplexity',
    differs: 'the whole message so far beside each delta, token counts and sources in each chunk, no `[DONE]`',
    recordings: [
      { about: 'words, beside all so far', events: [...growing(MARKED).map(([word, whole]) => perplexity(word, whole)), perplexity('', MARKED_WORDS, 'stop')], ...MARKED_ANSWER },
      { about: 'the last word and the end in one chunk', events: [perplexity('We open', 'We open'), perplexity(' at nine.', 'We open at nine.', 'stop')], words: 'We open at nine.' }
    ]
  },
  {
    name: 'Writer',
    differs: 'the whole message in its last chunk, members of its own beside each word',
    recordings: [
      { about: 'words, and the message at the end', events: [...MARKED.map(word => writer(writerDelta(word))), { ...writer(writerDelta('')), choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: MARKED_WORDS }, delta: writerDelta(''), logprobs: null }], usage: USAGE }, DONE], ...MARKED_ANSWER },
      { about: 'words, and the message at the end in place of a delta', events: [...MARKED.map(word => writer(writerDelta(word))), { choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: MARKED_WORDS } }] }, DONE], ...MARKED_ANSWER },
      { about: 'a tool call', events: [writer(writerDelta(null, [{ index: 0, id: 'chatcmpl-tool-1', type: 'function', function: { name: 'find', arguments: null } }])), writer(writerDelta(null, [{ index: 0, id: null, type: null, function: { name: null, arguments: '{"city":"Kiel"}' } }])), writer(writerDelta(''), 'tool_calls'), DONE], words: '', calls: [KIEL] }
    ]
  }
]
