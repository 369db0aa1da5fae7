/**
 * The rules of the chat-completions API that a list of messages can break, and the stricter ones of servers that speak
 * it too (no blank text, no two texts of one role in a row). Written from the API's reference, not from our code.
 */

/** A message as it goes over the wire; whatever may be missing is optional, so that broken lists can be checked. */
export interface WireMessage {
  readonly role: string
  readonly content?: unknown
  readonly tool_call_id?: string
  readonly tool_calls?: ReadonlyArray<{
    readonly id: string
    readonly type: string
    readonly function: { readonly name: string, readonly arguments: string }
  }>
}

/**
 * What a model would reject, one sentence each; empty when the list is valid. One assistant message may hold several
 * tool calls, answered in any order. The agent's own system prompt is not expected: cut it off first.
 */
export function messageFaults (messages: readonly WireMessage[]): string[] {
  const faults: string[] = []
  const ids = new Set<string>()
  const unanswered = new Set<string>()
  if (messages.length === 0) faults.push('the list is empty')

  for (const [i, message] of messages.entries()) {
    const { role, content, tool_calls: calls } = message
    const fault = (what: string) => faults.push(`${i}: ${what}`)

    if (role === 'tool') {
      if (!unanswered.delete(message.tool_call_id ?? '')) fault('result without a call right before it')
      if (isBlank(content)) fault('blank content')
      continue
    }

    if (unanswered.size > 0) fault('call without a result right after it')
    unanswered.clear()

    if (role !== 'user' && role !== 'assistant') fault(`role ${role}`)
    if (calls === undefined) {
      if (isBlank(content)) fault('blank content')
      const before = messages[i - 1]
      if (before?.role === role && before.tool_calls === undefined) fault(`two texts of the ${role} in a row`)
      continue
    }

    if (role !== 'assistant') fault(`tool calls of the ${role}`)
    if (content !== null && isBlank(content)) fault('blank content')
    if (calls.length === 0) fault('no tool calls')
    for (const { id, type, function: { name, arguments: args } } of calls) {
      if (ids.has(id)) fault('tool call id used twice')
      if (type !== 'function' || name === '' || isBlank(args)) fault('malformed tool call')
      ids.add(id)
      unanswered.add(id)
    }
  }

  if (unanswered.size > 0) faults.push('the list ends in a call without a result')
  return faults
}

function isBlank (content: unknown): boolean {
  return typeof content !== 'string' || content.trim() === ''
}
