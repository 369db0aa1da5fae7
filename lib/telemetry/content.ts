/**
 * Speech in span attributes, by the semantic conventions for generative AI. Recorded only if the operator opts in.
 */
import type { Attributes } from '@opentelemetry/api'
import type { ChatMessage, Turn } from '../contract/agent.js'
import type { Show } from './operation.js'

/** A message to or from a model. */
export type Message = ChatMessage
  | { readonly role: 'system', readonly content: string }
  | { readonly role: 'assistant', readonly content: string | null, readonly tool_calls: readonly MessageToolCall[] }

interface MessageToolCall {
  readonly id: string
  readonly function: { readonly name: string, readonly arguments: string }
}

/** The caller's last words and the answer. */
export function turnContent (turn: Turn, said: string, show: Show): Attributes {
  const last = turn.transcript.at(-1)
  return {
    'gen_ai.input.messages': JSON.stringify(last?.role === 'user' ? [toMessage({ role: 'user', content: last.content }, show)] : []),
    'gen_ai.output.messages': JSON.stringify(said === '' ? [] : [toMessage({ role: 'assistant', content: said }, show)])
  }
}

/** The messages that a model gets. Its instructions are an attribute of their own. */
export function inputContent (messages: readonly Message[], show: Show): Attributes {
  const instructions = messages.flatMap(message => message.role === 'system' ? [textPart(message.content, show)] : [])
  return {
    ...(instructions.length > 0 && { 'gen_ai.system_instructions': JSON.stringify(instructions) }),
    'gen_ai.input.messages': JSON.stringify(messages.filter(({ role }) => role !== 'system').map(message => toMessage(message, show)))
  }
}

/** The model's answer. */
export function outputContent (message: Message, finish: string, show: Show): Attributes {
  return { 'gen_ai.output.messages': JSON.stringify([{ ...toMessage(message, show), finish_reason: finish }]) }
}

/** The id and arguments of a tool call. The id may be the model's invention too. */
export function toolCallContent (id: string, args: string, show: Show): Attributes {
  return { 'gen_ai.tool.call.id': show(id), 'gen_ai.tool.call.arguments': show(args) }
}

/** The result of a tool. */
export function toolResultContent (content: string, show: Show): Attributes {
  return { 'gen_ai.tool.call.result': show(content) }
}

function toMessage (message: Message, show: Show): object {
  if (message.role === 'tool') {
    return { role: 'tool', parts: [{ type: 'tool_call_response', id: show(message.tool_call_id), response: show(message.content) }] }
  }
  const texts = message.content === null || message.content === '' ? [] : [textPart(message.content, show)]
  const toolCalls = 'tool_calls' in message ? message.tool_calls.map(call => toolCallPart(call, show)) : []
  return { role: message.role, parts: [...texts, ...toolCalls] }
}

function toolCallPart ({ id, function: { name, arguments: args } }: MessageToolCall, show: Show): object {
  return { type: 'tool_call', id: show(id), name: show(name), arguments: show(args) }
}

function textPart (content: string, show: Show): object {
  return { type: 'text', content: show(content) }
}
