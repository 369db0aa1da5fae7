/**
 * What people say, as the conventions for generative AI have it in spans: only where the operator asked for that.
 */
import type { Attributes } from '@opentelemetry/api'
import type { ChatMessage, Turn } from '../contract/agent.js'
import type { Show } from './operation.js'

/** A message to a model, or of one. */
export type Message = ChatMessage
  | { readonly role: 'system', readonly content: string }
  | { readonly role: 'assistant', readonly content: string | null, readonly tool_calls: ReadonlyArray<{ readonly id: string, readonly function: { readonly name: string, readonly arguments: string } }> }

/** What the caller said last, and what was answered. */
export function turnContent (turn: Turn, said: string, show: Show): Attributes {
  const last = turn.transcript.at(-1)
  return {
    'gen_ai.input.messages': JSON.stringify(last?.role === 'user' ? [toMessage({ role: 'user', content: last.content }, show)] : []),
    'gen_ai.output.messages': JSON.stringify(said === '' ? [] : [toMessage({ role: 'assistant', content: said }, show)])
  }
}

/** What a model was asked: what it is told of its task stands apart. */
export function inputContent (messages: readonly Message[], show: Show): Attributes {
  const instructions = messages.flatMap(message => message.role === 'system' ? [textPart(message.content, show)] : [])
  return {
    ...(instructions.length > 0 && { 'gen_ai.system_instructions': JSON.stringify(instructions) }),
    'gen_ai.input.messages': JSON.stringify(messages.filter(({ role }) => role !== 'system').map(message => toMessage(message, show)))
  }
}

/** What it answered. */
export function outputContent (message: Message, finish: string, show: Show): Attributes {
  return { 'gen_ai.output.messages': JSON.stringify([{ ...toMessage(message, show), finish_reason: finish }]) }
}

/** What a tool was called with. A model may have made up the id, too. */
export function toolCallContent (id: string, args: string, show: Show): Attributes {
  return { 'gen_ai.tool.call.id': show(id), 'gen_ai.tool.call.arguments': show(args) }
}

/** What it returned. */
export function toolResultContent (content: string, show: Show): Attributes {
  return { 'gen_ai.tool.call.result': show(content) }
}

function toMessage (message: Message, show: Show): object {
  if (message.role === 'tool') return { role: 'tool', parts: [{ type: 'tool_call_response', id: show(message.tool_call_id), response: show(message.content) }] }
  const said = message.content === null || message.content === '' ? [] : [textPart(message.content, show)]
  const called = 'tool_calls' in message ? message.tool_calls.map(({ id, function: { name, arguments: args } }) => ({ type: 'tool_call', id: show(id), name: show(name), arguments: show(args) })) : []
  return { role: message.role, parts: [...said, ...called] }
}

function textPart (content: string, show: Show): object {
  return { type: 'text', content: show(content) }
}
