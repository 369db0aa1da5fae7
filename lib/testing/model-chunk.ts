/**
 * Chunks of OpenAI's streaming chat completions.
 */
import { randomUUID } from 'node:crypto'
import type { Answer, Step } from './script.js'

/** An answer that calls tools. */
export function callTools (...calls: ReadonlyArray<{ readonly name: string, readonly arguments: object }>): Answer {
  return {
    steps: calls.map(({ name, arguments: args }, index) => toolCallChunk({
      index, id: `call_${randomUUID()}`, type: 'function', function: { name, arguments: JSON.stringify(args) }
    })),
    finishReason: 'tool_calls'
  }
}

interface ToolCallDelta {
  index: number
  id?: string
  type?: 'function'
  function?: { name?: string, arguments?: string }
}

/** A step: a chunk with these deltas of tool calls. */
export function toolCallChunk (...toolCalls: readonly ToolCallDelta[]): Step {
  return { chunk: chunkOf({ delta: { tool_calls: toolCalls } }) }
}

/** A step: the chunk of token counts that `stream_options.include_usage` requests, without choices. */
export function usageChunk (promptTokens = 20, completionTokens = 10): Step {
  return {
    chunk: {
      ...chunkOf({}),
      choices: [],
      usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens }
    }
  }
}

/** A chunk with one choice. */
export function chunkOf (choice: { delta?: object, finish_reason?: string }, model = 'scripted') {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1_750_000_000,
    model,
    choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: null as string | null, ...choice }]
  }
}
