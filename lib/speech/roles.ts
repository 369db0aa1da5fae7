/**
 * Message heads of chat templates, which hold the role of the speaker.
 */
import { isBeginning, until, WAIT, type Reader } from './mark.js'

const OTHERS = ['user', 'system', 'developer', 'tool', 'function', 'ipython', 'observation']
const ROLES = ['assistant', 'model', ...OTHERS]

/** The roles of the assistant. */
const ASSISTANT_AGAIN = /(?=<[|｜](?:im_start|start|start_header_id)[|｜]>assistant|<start_of_turn>model)/

/** A call in Harmony, whose recipient stands behind the role or the channel. */
export const HARMONY_CALL_END = /<\|(?:call|end|return)\|>|(?=<\|start\|>)/

/**
 * Reads the role behind the mark that opens a message. A model that goes on behind its answer makes up what the caller says next: the
 * messages of others are cut.
 */
export const readRole: Reader = (ahead, isEnd) => {
  const [role = ''] = /^\w+/.exec(ahead) ?? []
  const rest = ahead.slice(role.length)
  if (!isEnd && (isBeginning(ahead, ROLES) || ROLES.includes(ahead) || isBeginning(ahead, ['assistant to=']))) return WAIT
  if (!ROLES.includes(role)) return undefined
  if (OTHERS.includes(role)) return { length: role.length, kind: 'control token', region: until('control token', ASSISTANT_AGAIN, 36) }
  if (rest.startsWith(' to=')) return { length: role.length, kind: 'tool call', region: until('tool call', HARMONY_CALL_END) }
  return { length: role.length, kind: 'control token' }
}
