import { isObject, type JsonObject } from '../../contract/json.js'
import type { ToolRecord } from '../caller-events.js'
import type { Flaw } from '../frame-check.js'

/** The result of {@link recordTool}: the entry for the transcript, and the finding, if there is one. */
export interface RecordedTool {
  readonly entry?: object
  readonly flaw?: Flaw
}

/** Adds the call or the result in a frame to the tools of the call. */
export function recordTool (frame: JsonObject, tools: ToolRecord[]): RecordedTool {
  const id = frame['tool_call_id'] as string
  const index = tools.findIndex(tool => tool.id === id)
  if (frame['response_type'] === 'tool_call_invocation') {
    if (index !== -1) return { flaw: { code: 'repeated-tool-call', message: 'ids of tool calls must be unique' } }
    const { name, arguments: args } = frame as unknown as ToolRecord
    tools.push({ id, name, arguments: args })
    const entry = { role: 'tool_call_invocation', tool_call_id: id, name, arguments: args }
    if (isJsonObject(args)) return { entry }
    return { entry, flaw: { code: 'tool-arguments', message: 'arguments must be a JSON object in a string' } }
  }
  const tool = tools[index]
  if (tool === undefined) return { flaw: { code: 'orphaned-tool-result', message: 'no tool was called with this id' } }
  if (tool.result !== undefined) return { flaw: { code: 'repeated-tool-result', message: 'a tool call has one result' } }
  const content = frame['content'] as string
  const outcome = typeof frame['successful'] === 'boolean' && { successful: frame['successful'] }
  tools[index] = { ...tool, result: content, ...outcome }
  return { entry: { role: 'tool_call_result', tool_call_id: id, content, ...outcome } }
}

function isJsonObject (text: string): boolean {
  try {
    return isObject(JSON.parse(text))
  } catch {
    return false
  }
}
