/**
 * Marks in other brackets than angle brackets: control tokens of Mistral and Llama, reasoning, and sources.
 */
import { BalancedText } from './balanced-text.js'
import { isBeginning, until, WAIT, type Mark, type Reader } from './mark.js'

const TOKENS: Readonly<Record<string, () => Omit<Mark, 'length'>>> = {
  '[TOOL_CALLS]': () => ({ kind: 'tool call', region: new BalancedText('some') }),
  '[/TOOL_CALLS]': () => ({ kind: 'tool call' }),
  '[AVAILABLE_TOOLS]': () => ({ kind: 'tool call', region: until('tool call', /\[\/AVAILABLE_TOOLS\]/) }),
  '[TOOL_RESULTS]': () => ({ kind: 'tool call', region: until('tool call', /\[\/TOOL_RESULTS\]/) }),
  '[THINK]': () => ({ kind: 'reasoning', region: until('reasoning', /\[\/THINK\]/) }),
  '[/THINK]': () => ({ kind: 'reasoning' }),
  '[INST]': () => ({ kind: 'control token' }),
  '[/INST]': () => ({ kind: 'control token' }),
  '◁think▷': () => ({ kind: 'reasoning', region: until('reasoning', /◁\/think▷/) }),
  '◁/think▷': () => ({ kind: 'reasoning' })
}
const ALL_TOKENS = Object.keys(TOKENS)

/** Reads a token at a `[` or a `◁`. */
export const readBracketToken: Reader = (ahead, isEnd) => {
  const token = ALL_TOKENS.find(token => ahead.startsWith(token))
  if (token !== undefined) return { length: token.length, ...TOKENS[token]!() }
  return !isEnd && isBeginning(ahead, ALL_TOKENS) ? WAIT : undefined
}

// [1], [1, 2], [^3], [citation:4], [doc1]. No source has the number 0, and a year is none.
const SOURCE = /^\[(?:\^?[1-9]\d{0,2}\^?(?:\s?[,;–-]\s?[1-9]\d{0,2}){0,3}|(?:citation|source|ref|doc)[ :_-]?\d{1,3})\](\(https?:)?/i
const UNFINISHED_SOURCE = /^\[(?:[\^\d,;\s–-]*|(?:citation|source|ref|doc)[ :_-]?\d{0,3})$/i
const SOURCE_NAMES = ['[citation', '[source', '[ref', '[doc']
const LINKS = ['(http:', '(https:']

// OpenAI's 【4:0†file】, and what others write in these brackets.
const WIDE_SOURCE = /^【\d{1,3}(?::\d{1,3})?[†】]/
const UNFINISHED_WIDE_SOURCE = /^【(?:\d{1,3}(?::\d{0,3})?)?$/

/** a[1] is an index, and so is the second of a[0][1]. */
const INDEXED = /(?:^|\W)[a-z]$|\]$/

/** Reads the mark of a source, with the blank ahead of it if that is still held. */
export const readSource: Reader = (text, isEnd, said) => {
  const blank = text.startsWith(' ') ? 1 : 0
  const ahead = text.slice(blank)
  if (ahead === '') return isEnd ? undefined : WAIT
  // ChatGPT's, in characters of private use.
  if (ahead[0] === '\ue200') return { length: blank + 1, kind: 'source mark', region: until('source mark', /\ue201|(?=\n)/, 1) }
  const [wide] = WIDE_SOURCE.exec(ahead) ?? []
  if (wide !== undefined) {
    const isWhole = wide.endsWith('】')
    return { length: blank + wide.length, kind: 'source mark', ...(!isWhole && { region: until('source mark', /】|(?=\n)/, 1) }) }
  }
  if (!isEnd && UNFINISHED_WIDE_SOURCE.test(ahead)) return WAIT
  if (ahead[0] !== '[' || (blank === 0 && INDEXED.test(said))) return undefined
  const [source, link] = SOURCE.exec(ahead) ?? []
  if (source === undefined) {
    const isUnfinished = UNFINISHED_SOURCE.test(ahead) || isBeginning(ahead.toLowerCase(), SOURCE_NAMES)
    return isUnfinished && !isEnd ? WAIT : undefined
  }
  const rest = ahead.slice(source.length)
  if (link === undefined && !isEnd && (rest === '' || isBeginning(rest, LINKS))) return WAIT
  // A number that is a link to its source.
  return { length: blank + source.length, kind: 'source mark', ...(link !== undefined && { region: until('source mark', /\)|(?=\s)/, 1) }) }
}
