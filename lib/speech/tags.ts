/**
 * Tags in angle brackets: reasoning, tool calls, ends of turns, and HTML. Other tags stay, since voices understand some of them
 * (`<break time="1s"/>`).
 */
import { isBeginning, until, WAIT, type Mark, type Reader } from './mark.js'
import { readRole } from './roles.js'

type Treatment = 'reasoning' | 'tool call' | 'control token' | 'inline' | 'block'

const NAMES: Readonly<Record<Treatment, string>> = {
  reasoning: 'think thinking thought thoughts reasoning reflection scratchpad inner_monologue analysis antthinking antml:thinking seed:think longcat_think',
  'tool call': 'tool_call tool_calls toolcall function_call function_calls function invoke tool_code tool_response tool_result tool_use ' +
    'antml:function_calls antml:invoke minimax:tool_call xai:function_call seed:tool_call longcat_tool_call start_function_call',
  'control token': 's bos eos pad unk end_of_turn start_of_turn end_of_utterance end_function_call parameter arg_key arg_value answer final_answer response',
  inline: 'a abbr b bdi bdo big cite code del dfn em font i img ins kbd label mark nobr q samp small span strike strong sub sup time tt u var wbr',
  block: 'address article aside blockquote body br center dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 head header ' +
    'hr html li main nav ol option p pre section select summary table tbody td tfoot th thead title tr ul'
}

const TREATMENTS = new Map(Object.entries(NAMES).flatMap(([treatment, names]) =>
  names.split(' ').map(name => [name, treatment as Treatment])))
const ALL_NAMES = [...TREATMENTS.keys()]

/** Closing tags of reasoning: models may close it by another name than they opened it. */
const REASONING_END = new RegExp(`</(?:${NAMES.reasoning.replaceAll(' ', '|')})\\s{0,4}>`, 'i')

const WHOLE = /^\s*\/?>/
const ATTRIBUTE = /^(?:\s+[a-z][\w:-]*\s*=|=)/i
const UNFINISHED = /^(?:\s*\/?|\s+[a-z][\w:-]*\s*)$/i

/** Reads a tag at a `<`. `a<b and c>d` is no tag, since its "attribute" has no value. */
export const readTag: Reader = (ahead, isEnd) => {
  const [head, slash, written = ''] = /^<(\/?)([a-z][\w:]*)?/i.exec(ahead)!
  const name = written.toLowerCase()
  const rest = ahead.slice(head.length)
  const treatment = TREATMENTS.get(name)
  if (!isEnd && rest === '' && (treatment !== undefined || isBeginning(name, ALL_NAMES))) return WAIT
  if (treatment === undefined) return undefined
  const [end] = WHOLE.exec(rest) ?? []
  const isOpening = slash === ''
  if (end !== undefined) return markOf(treatment, name, head.length + end.length, isOpening && !end.includes('/'))
  if (isOpening && ATTRIBUTE.test(rest)) return openWithAttributes(treatment, name, head.length)
  return !isEnd && UNFINISHED.test(rest) ? WAIT : undefined
}

function markOf (treatment: Treatment, name: string, length: number, isOpening: boolean): Mark {
  switch (treatment) {
    case 'reasoning': return { length, kind: treatment, ...(isOpening && { region: until(treatment, REASONING_END) }) }
    case 'tool call': return { length, kind: treatment, ...(isOpening && { region: until(treatment, endOf(name)) }) }
    case 'control token': return { length, kind: treatment, ...(name === 'start_of_turn' && { next: readRole }) }
    case 'inline': return { length, kind: 'HTML' }
    case 'block': return { length, kind: 'HTML', words: '\n' }
  }
}

function openWithAttributes (treatment: Treatment, name: string, length: number): Mark {
  // Their region ends with the tag's partner, and so behind the attributes.
  if (treatment === 'reasoning' || treatment === 'tool call') return markOf(treatment, name, length, true)
  const { kind, words = '' } = markOf(treatment, name, length, true)
  return { length, kind: kind!, words, region: until(kind!, />|(?=\n)/, 1) }
}

function endOf (name: string): RegExp {
  return name === 'start_function_call' ? /<end_function_call>/ : new RegExp(`</${name}\\s{0,4}>`, 'i')
}

/** The region of an answer that begins inside the reasoning, since the opening tag was part of the prompt. */
export function openReasoning (): ReturnType<typeof until> {
  return until('reasoning', REASONING_END)
}
