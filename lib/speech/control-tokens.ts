/**
 * Control tokens of models, such as `<|im_end|>`, that a server left in the text.
 */
import { readChannel } from './harmony.js'
import { isBeginning, until, WAIT, type Mark, type Reader } from './mark.js'
import { readRole } from './roles.js'

// <|im_end|>, DeepSeek's <｜tool▁call▁begin｜>, Gemma's <|channel> and <channel|>.
const TOKEN = /^<[|｜]([^<>|｜\s]{1,24})[|｜]?>/
const UNFINISHED = /^<[|｜](?:[^<>|｜\s]{1,24}[|｜]?)?$/
const CLOSING_TOKENS = ['<channel|>', '<tool_call|>', '<turn|>']
/** How DeepSeek writes its tags of calls. */
const DSML = ['<｜DSML｜', '</｜DSML｜']

const REASONING = /^(?:start_thinking|start_of_thinking|begin_of_thinking|begin_of_thought|think|thinking|thought)$/
const REASONING_END = /<[|｜](?:\/think|\/thinking|\/thought|end_thinking|end_of_thinking|end_of_thought)[|｜]>/i
const CALL = /^(?:tool_calls?|tool_call_begin|tool_call_start|start_action|action_start|python_tag)$/
const CALL_END = /<[|｜](?:\/tool_calls?|tool[_▁]call[_▁]end|end_action|action_end|eom_id|eot_id|im_end)[|｜]>|<tool_call\|>/i
const ROLE = /^(?:im_start|start|start_header_id|turn)$/

/** Reads a control token at a `<`, and the kind of its message. */
export const readControlToken: Reader = (ahead, isEnd) => {
  const closing = CLOSING_TOKENS.find(token => ahead.startsWith(token))
  if (closing !== undefined) return { length: closing.length, kind: 'control token' }
  const dsml = DSML.findIndex(mark => ahead.startsWith(mark))
  if (dsml === 0) return { length: DSML[0]!.length, kind: 'tool call', region: until('tool call', /<\/｜DSML｜(?:function|tool)_calls>/) }
  if (dsml === 1) return { length: DSML[1]!.length, kind: 'tool call', region: until('tool call', />|(?=\n)/, 1) }
  const [token, name] = TOKEN.exec(ahead) ?? []
  if (token !== undefined) return markOf(name!.toLowerCase().replaceAll('▁', '_'), token.length)
  return !isEnd && (UNFINISHED.test(ahead) || isBeginning(ahead, CLOSING_TOKENS) || isBeginning(ahead, DSML)) ? WAIT : undefined
}

function markOf (name: string, length: number): Mark {
  if (REASONING.test(name)) return { length, kind: 'reasoning', region: until('reasoning', REASONING_END) }
  if (CALL.test(name)) return { length, kind: 'tool call', region: until('tool call', CALL_END) }
  if (ROLE.test(name)) return { length, kind: 'control token', next: readRole }
  return { length, kind: 'control token', ...(name === 'channel' && { next: readChannel }) }
}
