import type { ToolCallDelta } from '../../tools/tool-calls.js'

/** What is read of a chunk. A server may send any JSON. */
export type Chunk = {
  error?: object
  model?: unknown
  usage?: { prompt_tokens?: unknown, completion_tokens?: unknown } | null
  choices?: Array<{ delta?: { content?: unknown, refusal?: unknown, tool_calls?: ToolCallDelta[] | null } | null, finish_reason?: unknown } | null> | null
} | null

/** The words of a chunk; `''` where it has none. */
export function wordsOf (chunk: Chunk): string {
  const delta = chunk?.choices?.[0]?.delta
  return textOf(delta?.content) || textOf(delta?.refusal)
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
