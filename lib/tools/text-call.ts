/**
 * A tool call that a model wrote into its answer, read from the text that the speech filter cut.
 */
import { isObject } from './tool-options.js'
import type { ModelToolCall } from './tool-loop.js'

/** Text of calls' results, which models make up, and of lists of tools. */
const NO_CALL = /^(?:<tool_res|\[TOOL_RESULTS|\[AVAILABLE)/

/**
 * Reads the call of one of these tools: JSON with its name and arguments, or its name with a JSON object behind it, whatever marks are
 * around them. Undefined where it is anything else, such as an expression (`find(day="Friday")`) or a call without an end.
 */
export function readTextCall (text: string, names: readonly string[]): ModelToolCall | undefined {
  if (NO_CALL.test(text)) return undefined
  const object = text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)
  const parsed = parse(object)
  if (!isObject(parsed)) return undefined
  const before = text.slice(0, text.indexOf(object))
  // `functions.find:0` is Kimi's, `find_slots` in `find_slots_v2` is another tool's.
  const written: readonly string[] = before.match(/[\w-]+/g) ?? []
  const named = names.filter(name => written.includes(name))
  if (named.length === 1) return callOf(named[0]!, parsed)
  const { name, arguments: args = parsed['parameters'] } = parsed
  if (named.length > 1 || typeof name !== 'string' || !names.includes(name)) return undefined
  const given = typeof args === 'string' ? parse(args) : args
  return isObject(given) ? callOf(name, given) : undefined
}

function callOf (name: string, args: object): ModelToolCall {
  return { id: '', name, arguments: JSON.stringify(args), extra: {} }
}

function parse (json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
