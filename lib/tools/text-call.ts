/**
 * Reads a tool call from text that a model wrote into its answer and the speech filter cut.
 */
import { isObject } from '../contract/json.js'
import type { ModelToolCall } from './tool-loop.js'

/** The beginning of tool results, which models make up, and of lists of tools. */
const NO_CALL = /^(?:<tool_res|\[TOOL_RESULTS|\[AVAILABLE)/

/**
 * Reads the call of one of these tools: JSON with its name and arguments, or its name with a JSON object after it, with any marks around
 * them. Undefined for anything else, such as an expression (`find(day="Friday")`) or an incomplete call.
 */
export function readTextCall (text: string, names: readonly string[]): ModelToolCall | undefined {
  if (NO_CALL.test(text)) return undefined
  const object = text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)
  const parsed = parse(object)
  if (!isObject(parsed)) return undefined
  const before = text.slice(0, text.indexOf(object))
  // Whole words: Kimi's models write `functions.find:0`, and `find_slots` in `find_slots_v2` is part of another tool's name.
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
