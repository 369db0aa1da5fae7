/**
 * Harmony, the format of OpenAI's open models: each message has a channel. `analysis` is reasoning, `final` is the answer, and
 * `commentary` is a tool call if it has a recipient (`to=functions.find`), and words for the caller otherwise.
 */
import { BalancedText } from './balanced-text.js'
import { isBeginning, until, WAIT, type Reader } from './mark.js'
import { HARMONY_CALL_END } from './roles.js'

const CHANNELS = ['analysis', 'thought', 'final', 'commentary']
const REASONING_END = /(?=<\|(?:end|return|call|start|channel)\|>)|<channel\|>/

/** Reads the channel behind `<|channel|>`. */
export const readChannel: Reader = (ahead, isEnd) => {
  const isUnfinished = ahead === 'commentary' || isBeginning(ahead, [...CHANNELS, 'commentary to='])
  if (!isEnd && isUnfinished) return WAIT
  const channel = CHANNELS.find(name => ahead.startsWith(name))
  if (channel === undefined) return undefined
  const { length } = channel
  if (channel === 'final') return { length, kind: 'control token' }
  if (channel !== 'commentary') return { length, kind: 'reasoning', region: until('reasoning', REASONING_END) }
  return ahead.startsWith('commentary to=')
    ? { length, kind: 'tool call', region: until('tool call', HARMONY_CALL_END) }
    : { length, kind: 'control token' }
}

const CALL = 'to=functions.'

// Where a server took the marks out, and not what is between them: "analysisThe caller wants…assistantfinalWe open at nine." An ordinary
// answer may begin with one of these words, but has no letter directly behind it. Half a surrogate pair could be anything.
const LOST = /^(?:analysis(?![\u{10000}-\u{10ffff}])(?=[\p{L}\p{N}])|assistant(?=analysis|commentary|final|\n|\p{Lu})|(?:commentary|final)(?=\p{Lu}))/u
const UNFINISHED = ['analysis to=', 'commentary to=', 'assistantanalysis', 'assistantcommentary', 'assistantfinal', 'final', CALL]
const WORDS = ['analysis', 'assistant', 'commentary', 'final']

/** Reads the channel of a message that lost its marks, at the beginning of an answer. */
export const readLostChannel: Reader = (ahead, isEnd) => {
  if (ahead.startsWith(CALL)) return { length: CALL.length, kind: 'tool call', region: new BalancedText('some') }
  if (!isEnd && (WORDS.includes(ahead) || isBeginning(ahead, UNFINISHED))) return WAIT
  if (/^(?:analysis|commentary) to=/.test(ahead)) return { length: ahead.indexOf(' '), kind: 'control token' }
  const [word] = LOST.exec(ahead) ?? []
  if (word === undefined) return undefined
  if (word !== 'analysis') return { length: word.length, kind: 'control token' }
  return { length: word.length, kind: 'reasoning', region: until('reasoning', /(?=assistant(?:final|commentary|analysis))/) }
}

/** Reads a call that lost its marks after words. Its "to" was already spoken, since it may belong to a sentence. */
export const readLostCall: Reader = (ahead, isEnd, said) => {
  const call = CALL.slice('to'.length)
  if (!said.endsWith('to')) return undefined
  if (ahead.startsWith(call)) return { length: call.length, kind: 'tool call', region: new BalancedText('some') }
  return !isEnd && isBeginning(ahead, [call]) ? WAIT : undefined
}
