/**
 * What is read of a chunk of a streamed answer. A server may send any JSON.
 */
import type { ToolCallDelta } from '../../tools/tool-calls.js'

/** What a chunk adds to the answer. */
export interface Delta {
  content?: unknown
  refusal?: unknown
  tool_calls?: readonly ToolCallDelta[] | ToolCallDelta
}

/** A chunk, as far as it is read. */
export type Chunk = {
  error?: unknown
  errors?: unknown
  detail?: unknown
  message?: unknown
  object?: unknown
  model?: unknown
  usage?: Usage
  x_groq?: { usage?: Usage } | null
  choices?: Array<{ delta?: Delta | null, message?: Delta | null, usage?: Usage, error?: unknown, finish_reason?: unknown } | null> | null
} | null

type Usage = { prompt_tokens?: unknown, completion_tokens?: unknown, input_tokens?: unknown, output_tokens?: unknown } | null

/** What the first choice adds to the answer. A server that does not stream has a `message` in place of the `delta`. */
export function deltaOf (chunk: Chunk): Delta | null | undefined {
  const choice = chunk?.choices?.[0]
  return choice?.delta ?? choice?.message
}

/** The words of a chunk; `''` where it has none. */
export function wordsOf (chunk: Chunk): string {
  return wordsIn(deltaOf(chunk))
}

/** The words of a delta; `''` where it has none. */
export function wordsIn (delta: Delta | null | undefined): string {
  return textOf(delta?.content) || textOf(delta?.refusal)
}

// Mistral's thinking models send a list of parts, of which those of type `thinking` are no speech.
function textOf (value: unknown): string {
  if (typeof value === 'string') return value
  return Array.isArray(value) ? value.map(part => part?.type === 'text' && typeof part.text === 'string' ? part.text : '').join('') : ''
}

/** How many tokens the answer took so far, where the chunk says so: Groq's and Moonshot's servers say it elsewhere than OpenAI's. */
export function tokensOf (chunk: Chunk): { readonly read: unknown, readonly written: unknown } | undefined {
  const usage = chunk?.usage ?? chunk?.x_groq?.usage ?? chunk?.choices?.[0]?.usage
  if (!usage) return undefined
  return { read: usage.prompt_tokens ?? usage.input_tokens, written: usage.completion_tokens ?? usage.output_tokens }
}

/** The error that a server reports in place of a chunk, in any of the forms that servers use; undefined where there is none. */
export function errorIn (chunk: Chunk): object | undefined {
  if (typeof chunk !== 'object' || chunk === null) return undefined
  const reported = chunk.error || chunk.choices?.[0]?.error
  if (reported) return errorObject(reported)
  if (chunk.object === 'error') return chunk
  if (chunk.choices !== undefined) return undefined
  const described = chunk.detail ?? chunk.errors
  if (described) return errorObject(described)
  return typeof chunk.message === 'string' ? chunk : undefined
}

function errorObject (error: unknown): object {
  if (typeof error !== 'object' || error === null) return { message: String(error) }
  if (Array.isArray(error)) return { message: JSON.stringify(error) }
  const inner = (error as { error?: unknown }).error
  return inner ? errorObject(inner) : error
}
